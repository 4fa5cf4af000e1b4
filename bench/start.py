"""How soon a box that is switched on takes images, and how soon it has read one.

The clock starts with the command `lantern serve`. As soon as its DICOM port takes a connection, dcmtk's echoscu asks
whether it is there; the next moment storescu sends a chest film, and the clock runs on until the film's reading is in
the database. Once with a fresh state, once with the state of a box that has been used. Files are in the page cache:
what a disk adds after a power cut depends on the disk. Beside it what cannot be saved: an interpreter that does
nothing, and one that imports ONNX Runtime, loads the same artefact and infers once.

    python -m bench.start [--rounds N] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from bench import bare, box, harness, sent_films
from bench.box import Box
from bench.outcome import Goal, Row, Table
from bench.sent_films import Film
from firmware_app import __version__
from firmware_app.core import run_status

_VERSION: Final = f"Lantern {__version__}"
_PACK: Final = "chest-xray-adult"


@dataclass
class Start:
    """The samples of one kind of start."""

    echo: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)


@dataclass
class Life:
    """Seconds from the command to a process's start and readiness, and its processor time until the reading."""

    began: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def main() -> None:
    options = harness.parse(harness.parser(rounds=(7, 1, "starts of each kind")))
    for tool in ("echoscu", "storescu"):
        harness.need_tool(tool, "dcmtk")
    fresh, used = Start(), Start()
    lives: dict[str, Life] = {}
    floors: dict[str, list[float]] = {"python": [], "first inference": []}
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        folder, numbers, film = Path(name), count(1), sent_films.large()
        _start(folder, film, numbers, {})
        for number in range(options.rounds):
            harness.progress(f"round {number + 1} of {options.rounds}")
            for start in (fresh, used) if number % 2 else (used, fresh):
                if start is fresh:
                    shutil.rmtree(folder / "state")
                echo, reading = _start(folder, film, numbers, lives if start is fresh else {})
                start.echo.append(echo)
                start.reading.append(reading)
            floors["python"].append(_seconds([sys.executable, "-c", "pass"]))
            floors["first inference"].append(_seconds([sys.executable, "-c", bare.FIRST, str(bare.artefact(_PACK))]))
    _publish(fresh, used, floors, lives, options)


def _seconds(command: list[str]) -> float:
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}  # as the box sets it
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=environment)
    return time.perf_counter() - begun


def _start(folder: Path, film: Film, numbers: Iterator[int], lives: dict[str, Life]) -> tuple[float, float]:
    """(seconds to the C-ECHO, seconds to the reading) of one box on the state in *folder*."""
    path = film.write(next(numbers), folder / "film.dcm")
    echoscu, storescu = (harness.need_tool(tool, "dcmtk") for tool in ("echoscu", "storescu"))
    with box.start(folder / "state") as served:
        served.open()
        subprocess.run([echoscu, "127.0.0.1", str(served.port)], check=True)
        echoed = time.perf_counter()
        with box.Readings(served.state) as readings:
            already = readings.count()
            subprocess.run([storescu, "127.0.0.1", str(served.port), str(path)], check=True)
            harness.await_true(lambda: readings.count() > already, box.READ_S, "the film was read")
        read = time.perf_counter()
        _note(served, lives)
        served.ready(*run_status.PROCESSES)  # stopping a box in the middle of its start is not measured here
    return echoed - served.begun, read - served.begun


def _note(served: Box, lives: dict[str, Life]) -> None:
    names, processes = served.names(), served.processes()
    begun = processes[0].create_time()
    for process in processes:
        try:
            used, began = process.cpu_times(), process.create_time() - begun
        except psutil.NoSuchProcess:
            continue
        life = lives.setdefault(names.get(process.pid, "another, not yet named"), Life())
        life.began.append(max(0.0, began))
        life.processor.append(used.user + used.system)


def _publish(
    fresh: Start, used: Start, floors: dict[str, list[float]], lives: dict[str, Life], options: argparse.Namespace
) -> None:
    starts = {"fresh state": fresh, "used state": used}
    rows = (
        *(Row(f"C-ECHO, {name}", tuple(one.echo), version=_VERSION) for name, one in starts.items()),
        *(Row(f"first reading, {name}", tuple(one.reading), version=_VERSION) for name, one in starts.items()),
        Row("limit: python -c pass", tuple(floors["python"]), "limit"),
        Row("limit: import, load, first inference", tuple(floors["first inference"]), "limit"),
    )
    began = sorted(lives.items(), key=lambda life: median(life[1].began))
    tables = [
        Table("From `lantern serve`", "s", rows, compared=False),
        Table.aside(
            "The processes of a fresh start: when each began",
            "s",
            (Row(name, tuple(life.began), version=_VERSION) for name, life in began),
        ),
        Table.aside(
            "The processes of a fresh start: processor time until the first reading",
            "s",
            (Row(name, tuple(life.processor), version=_VERSION) for name, life in began),
        ),
    ]
    goals = [
        Goal(f"`lantern serve` to {what}, {name}", median(seconds), most, "s")
        for name, one in starts.items()
        for what, seconds, most in (("C-ECHO", one.echo, 1.0), ("the first reading", one.reading, 2.5))
    ]
    harness.publish(options, "Cold start", tables, goals)


if __name__ == "__main__":
    main()

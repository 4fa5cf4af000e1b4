"""How long a chest film takes from the door's answer to its reading, and how much of that is the model.

A whole box (`lantern serve`) runs and is otherwise idle. Each round hands the door a real adult chest film under a new
identity; the clock starts when the door has returned (the modality has its 0x0000) and stops when the reading is in
the database, where the viewer finds it. Beside it the bare steps, one after the other in a process of their own:
decoding the same film, making the model's input, and the inference with the same artefact, runtime and threads.

    python -m bench.reading [--rounds N] [--packs DIR] [--json] [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from bench import bare, box, harness, sent_films
from bench.box import Readings
from bench.outcome import Goal, Row, Table
from bench.sent_films import Film
from firmware_app import __version__
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core.records import PackIdentity, Reading
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.packs.pack_folder import shipped_packs_dir

_WARM_UPS: Final = 3
_BLOCKS: Final = 4
"""Box and bare steps alternate in so many blocks, so that changes of the machine affect both."""


def main() -> None:
    options = _options()
    film = sent_films.large()
    waits: list[float] = []
    steps: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="lantern-bench-") as name:
        folder = Path(name)
        with box.start(folder / "state", LANTERN_PACKS__DIR=str(options.packs)) as served:
            served.ready("gateway", "reader", "viewer")
            _measure_waits(served.state, film, folder, _WARM_UPS, 0)
            identity = _identity(box.read_all(served.state))
            path = film.write(0, folder / "bare.dcm")
            for block in range(_BLOCKS):
                count = -(-options.rounds // _BLOCKS)
                waits += _measure_waits(served.state, film, folder, count, _WARM_UPS + block * count)
                measured = bare.measure("steps", options.packs, identity, Config().reader.threads, path, count)
                for step, values in measured.items():
                    steps.setdefault(step, []).extend(values)
            readings = box.read_all(served.state)[_WARM_UPS:]
    _publish(film, waits, readings, steps, options)


def _options() -> argparse.Namespace:
    parser = harness.parser(rounds=(60, 8, "films that count"))
    parser.add_argument("--packs", type=Path, default=shipped_packs_dir(), help="default: the shipped packs")
    return harness.parse(parser)


def _identity(readings: Sequence[Reading]) -> PackIdentity:
    assert readings[0].pack is not None
    return readings[0].pack


def _measure_waits(state: StateDir, film: Film, folder: Path, count: int, first: int) -> list[float]:
    """Milliseconds from the door's answer to the reading, film by film; each is handed in when the last is read."""
    clinical = ClinicalDatabase(state.clinical_db)
    door = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=4096)
    waits = []
    with Readings(state) as readings:
        for number in range(first + 1, first + count + 1):
            instance = door.accept_file(film.write(number, folder / "film.dcm")).instance
            begun = time.perf_counter()
            harness.await_true(partial(readings.contains, instance), box.READ_S, "the film was read", 0.0005)
            waits.append(1e3 * (time.perf_counter() - begun))
            harness.progress(f"film {number}: {waits[-1]:.0f} ms")
    clinical.database.close()
    return waits


def _publish(
    film: Film,
    waits: Sequence[float],
    readings: Sequence[Reading],
    steps: dict[str, list[float]],
    options: argparse.Namespace,
) -> None:
    pack = _identity(readings)
    version = f"Lantern {__version__}"
    timings = [reading.timing for reading in readings]
    summed = tuple(map(sum, zip(*steps.values(), strict=True)))
    rows = (
        Row("answer to reading", tuple(waits), version=version),
        Row("of it the reader, with a film for people", tuple(each.total for each in timings), version=version),
        Row("of it decode and input", tuple(each.decode for each in timings), version=version),
        Row("of it inference and heat map", tuple(each.infer for each in timings), version=version),
        Row("limit: decode + input + inference, bare", summed, "limit"),
        Row("limit: decode alone", tuple(steps["decode"]), "limit"),
        Row("limit: inference alone", tuple(steps["infer"]), "limit"),
    )
    facts = {"film": film.title, "pack": f"{pack.name} {pack.version}, {pack.runtime} {pack.precision}"}
    p50, p95 = (float(np.percentile(waits, p)) for p in (50, 95))
    goals = (
        Goal("answer to reading, p50, idle box", p50, 150, "ms"),
        Goal("answer to reading, p95, idle box", p95, 400, "ms"),
    )
    tables = [Table("From the door's answer to the reading", "ms", rows, facts)]
    harness.publish(options, "From answer to reading", tables, goals)


if __name__ == "__main__":
    main()

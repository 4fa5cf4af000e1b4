"""A whole box for a bench: `lantern serve` as a person would start it, and the memory of its processes."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from bench import harness
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import run_status
from firmware_app.core.records import Reading, ReadingStatus
from firmware_app.core.state_dir import StateDir
from tests.box import LANTERN, make_environment

READY_S: Final = 60.0
READ_S: Final = 60.0


@dataclass(frozen=True)
class Box:
    """A started box; `begun` is when the command was given."""

    state: StateDir
    process: subprocess.Popen[bytes]
    port: int
    begun: float

    def ready(self, *names: str) -> None:
        """Return when these processes have announced that they are ready."""
        for name in names:
            harness.await_true(partial(self._has_announced, name), READY_S, f"{name} was ready")

    def open(self) -> None:
        """Return when the DICOM port answers."""
        harness.await_true(lambda: self._alive() and harness.answers(self.port), READY_S, "the DICOM port opened")

    def names(self) -> dict[int, str]:
        """The name of each process, by its pid."""
        names = {self.process.pid: "supervisor"}
        for name in ("gateway", "reader", "viewer", "uplink"):
            announced = run_status.read_announcement(self.state, name) or {}
            for key, value in announced.items():
                if key == "pid" or key.endswith("_pid"):
                    names[int(value or 0)] = name if key == "pid" else f"{key.removesuffix('_pid')} child"
        return names

    def processes(self) -> list[psutil.Process]:
        """Every process of the box, the supervisor first."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def _has_announced(self, name: str) -> bool:
        return self._alive() and run_status.read_announcement(self.state, name) is not None

    def _alive(self) -> bool:
        if self.process.poll() is not None:
            harness.give_up(f"lantern serve ended with status {self.process.returncode}.")
        return True


@contextmanager
def start(state: Path, *arguments: str, **settings: str) -> Iterator[Box]:
    """`lantern serve` on *state*, ended with the block; *arguments* and *settings* (environment) are added."""
    port = harness.free_port()
    begun = time.perf_counter()
    with subprocess.Popen(
        [*LANTERN, "serve", *arguments],
        env=make_environment(state, LANTERN_DICOM__PORT=str(port), LANTERN_BOX__USUAL_POPULATION="adult", **settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=harness.REPOSITORY,
    ) as process:
        try:
            yield Box(StateDir(state), process, port, begun)
        finally:
            process.terminate()
            process.wait(30)


def await_readings(state: StateDir, count: int, seconds: float = READ_S) -> None:
    """Return as soon as *count* readings are in the box's database."""
    with Readings(state) as readings:
        harness.await_true(lambda: readings.count() >= count, seconds, f"the box had read {count} films")


class Readings:
    """Reads the readings from the database, as the viewer does."""

    def __init__(self, state: StateDir) -> None:
        self._connection = sqlite3.connect(f"file:{state.clinical_db}?mode=ro", uri=True, isolation_level=None)

    def __enter__(self) -> Readings:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM readings").fetchone()[0])

    def contains(self, instance: str) -> bool:
        """Whether *instance* has been read."""
        return self._connection.execute("SELECT 1 FROM readings WHERE key = ?", (instance,)).fetchone() is not None


def read_all(state: StateDir) -> list[Reading]:
    """Every reading of the box; ends the bench when one is “cannot judge”, since its time would mean nothing."""
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        readings = [reading for case in clinical.load_cases() for reading in case.readings]
    finally:
        clinical.database.close()
    for reading in readings:
        if reading.status is not ReadingStatus.READ:
            harness.give_up(f"A film was not read: {reading.reason.text('en') if reading.reason else ''}")
    return readings


def proportional_mb(pid: int) -> float:
    """PSS of a process in MB: shared memory is divided among the processes that share it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0

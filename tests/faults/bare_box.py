"""For tests that look closely at one box from `tests.box`: a sender with a given number of films, and two questions."""

from __future__ import annotations

import time
from pathlib import Path

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import run_status
from firmware_app.core.state_dir import StateDir
from tests.faults.ledger import Ledger
from tests.faults.modality import Film, FilmSource, store
from tests.reading_rig import wait_until


def settings(packs: Path) -> dict[str, str]:
    return {"LANTERN_PACKS__DIR": str(packs), "LANTERN_READER__PRECISION": "fp32"}


class Modality:
    """dcmtk's storescu with the films it has to send, one association each, as often as it is asked."""

    def __init__(self, folder: Path, count: int) -> None:
        self._films: list[Film] = FilmSource(folder, 0).take(count)
        self.uids = [film.uid for film in self._films]

    def store(self, number: int, port: int) -> bool:
        """Send film *number*; True only when it was acknowledged with success."""
        return not store(self._films[number : number + 1], port, Ledger(), time.monotonic())


def count_waiting(state: Path) -> int:
    """How many images wait to be read."""
    clinical = ClinicalDatabase(StateDir(state).clinical_db)
    try:
        return clinical.count_queue().waiting
    finally:
        clinical.database.close()


def port_of(state: Path) -> int:
    """The gateway's port; after a restart on port 0 it is another one."""
    wait_until(lambda: run_status.read_announcement(StateDir(state), "gateway") is not None)
    announced = run_status.read_announcement(StateDir(state), "gateway")
    return int(announced["port"] or 0) if announced else 0  # killed between the two lines: nothing listens on 0

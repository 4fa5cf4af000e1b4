"""Databases whose writer was killed, and a rescue that is."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from firmware_app.appliance import rescue
from firmware_app.core.state_dir import StateDir
from tests.unit.cases.test_rescue import SEED, Known, check_rebuilt, overwrite
from tests.unit.cases.test_rescue import closed as closed
from tests.unit.cases.test_rescue import filled as filled


def test_a_rescue_that_is_killed_at_a_file_operation_is_finished_by_the_next(closed: Known, tmp_path: Path) -> None:
    killed = 0
    for call in (*range(1, 30, 3), *range(30, 110, 20)):
        state = closed.copy(tmp_path / str(call))
        overwrite(state.clinical_db, 0, random.Random(SEED))
        killed += mended_until(state, call)
        rescue.rescue_database(state, state.clinical_db)
        check_rebuilt(state, closed)
    assert killed > 8


def mended_until(state: StateDir, call: int) -> bool:
    """A process that begins the rescue and is killed before its file operation number *call*; False when it ended."""
    left = iter(range(call, -1, -1))

    def count(event: str, _arguments: object) -> None:
        if event in ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "sqlite3.connect") and not next(left):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(count)
            rescue.rescue_database(state, state.clinical_db)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)

"""A link that one process of the box plants where another, or root, opens a file is not followed."""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from firmware_app.appliance.checks import hardware
from firmware_app.core import clock, locks, run_status
from firmware_app.core.clock_memory import ClockMemory
from firmware_app.core.errors import StateUnusable
from firmware_app.core.state_dir import StateDir


def hold_lock(state: StateDir) -> None:
    with run_status.hold_process_lock(state, "reader"):
        pass


def lock_database(state: StateDir) -> None:
    with locks.lock_exclusively(state.clinical_db, 0.0):
        pass


def keep_time(state: StateDir) -> ClockMemory:
    return clock.ClockFile(state.run / "clock.json").change(lambda memory: memory)


OPENED: dict[str, Callable[[StateDir], object]] = {
    "run/.clock.json.new": keep_time,
    "run/clock.lock": keep_time,
    "run/selftest.json": lambda state: run_status.read_check_result(state, "selftest"),
    "run/probe": lambda state: hardware._can_write_and_read(state.run / "probe"),
    "run/reader.lock": hold_lock,
    "clinical/clinical.db-lock": lock_database,
}


@pytest.mark.parametrize("place", OPENED)
def test_a_planted_link_is_not_followed(state: StateDir, tmp_path: Path, place: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's own file")
    secret.chmod(0o600)
    (state.root / place).symlink_to(secret)
    with suppress(OSError, StateUnusable):
        OPENED[place](state)
    assert secret.read_bytes() == b"root's own file"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600

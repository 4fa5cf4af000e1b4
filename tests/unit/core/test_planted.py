"""What one process of the box may plant where another, or root, will open a file: it is not followed nor waited for."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from firmware_app.appliance import preparation
from firmware_app.appliance.checks import hardware
from firmware_app.cases import usb_import
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.exports import Exports
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core import clock, database_health, locks, run_status
from firmware_app.core.clock_memory import ClockMemory
from firmware_app.core.errors import StateUnusable
from firmware_app.core.state_dir import StateDir
from firmware_app.packs import execution_variants

_SECRET = b"root's own file"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """What the links lead to."""
    path = tmp_path / "secret"
    path.write_bytes(_SECRET)
    path.chmod(0o600)
    return path


def tried(work: Callable[[], object]) -> None:
    """*work*, which may refuse, but must end."""

    def run() -> None:
        with suppress(OSError, StateUnusable):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits at a pipe"


def exporting(state: StateDir) -> None:
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        with Exports(clinical.database).under_way():
            pass
    finally:
        clinical.database.close()


def holding(state: StateDir) -> None:
    with run_status.hold_process_lock(state, "reader"):
        pass


def opening(state: StateDir) -> None:
    with locks.lock_exclusively(state.clinical_db, 0.0):
        pass


# Where something may be planted, by whoever writes that folder, and what then opens it.
OPENED: dict[str, tuple[str, Callable[[StateDir], object]]] = {
    "the memory of time": (
        f"run/{clock.CLOCK_FILE}",
        lambda state: clock.ClockFile(state.run / clock.CLOCK_FILE).read(),
    ),
    "its lock": (
        "run/clock.lock",
        lambda state: clock.ClockFile(state.run / "clock.json").change(_same, patient=False),
    ),
    "its next version": (
        f"run/.clock.json.{os.getpid()}",
        lambda state: clock.ClockFile(state.run / "clock.json").change(_same, patient=False),
    ),
    "what care remembers": ("run/selftest.json", lambda state: run_status.read_check_result(state, "selftest")),
    "what care will remember": (
        f"run/.selftest.json.{os.getpid()}",
        lambda state: run_status.write_check_result(state, "selftest", {}),
    ),
    "the probe of the disk": ("run/probe", lambda state: hardware._written_and_read(state.run / "probe")),
    "the lock of a process": ("run/reader.lock", holding),
    "the same, asked after": ("run/reader.lock", lambda state: run_status.is_running(state, "reader")),
    "what a process says of itself": ("run/reader.new", lambda state: run_status.announce_process(state, "reader", {})),
    "a database's lock": ("clinical/clinical.db-lock", opening),
    "the lock of an export": ("clinical/clinical.db-export", exporting),
}


def _same(memory: ClockMemory) -> ClockMemory:
    return memory


@pytest.mark.parametrize("where", OPENED)
def test_a_link_that_was_planted_is_not_followed(state: StateDir, secret: Path, where: str) -> None:
    place, work = OPENED[where]
    (state.root / place).unlink(missing_ok=True)
    (state.root / place).symlink_to(secret)
    tried(lambda: work(state))
    assert secret.read_bytes() == _SECRET
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


@pytest.mark.parametrize("where", OPENED)
def test_a_link_to_nowhere_makes_nothing_there(state: StateDir, tmp_path: Path, where: str) -> None:
    place, work = OPENED[where]
    (state.root / place).symlink_to(tmp_path / "nologin")
    tried(lambda: work(state))
    assert not (tmp_path / "nologin").exists()


@pytest.mark.parametrize("where", OPENED)
def test_nobody_waits_at_a_pipe_that_was_planted(state: StateDir, where: str) -> None:
    place, work = OPENED[where]
    os.mkfifo(state.root / place)
    tried(lambda: work(state))


# What is written under a name of its own first, and the name.
WRITTEN = ("its next version", "what care will remember", "the probe of the disk", "what a process says of itself")


@pytest.mark.parametrize("with_something", [False, True])
@pytest.mark.parametrize("where", WRITTEN)
def test_a_folder_that_was_planted_is_put_out_of_the_way(state: StateDir, where: str, with_something: bool) -> None:
    place, work = OPENED[where]
    (state.root / place).mkdir()
    if with_something:
        (state.root / place / "something").touch()
    work(state)
    assert not (state.root / place).is_dir()
    assert len(list(state.root.glob("run/**/something"))) == with_something, "whoever made it keeps it"


# The names under which they are read in the end.
READ: dict[str, Callable[[StateDir], object]] = {
    "run/clock.json": lambda state: clock.ClockFile(state.run / "clock.json").change(_same, patient=False),
    "run/selftest.json": lambda state: run_status.write_check_result(state, "selftest", {}),
    "run/reader.json": lambda state: run_status.announce_process(state, "reader", {}),
    "run/import.json": lambda state: usb_import.write_status(state, StickStatus(StickStage.SEARCHING, "")),
    "run/trials.json": lambda state: execution_variants._write_text(state.trials, "{}"),
}


@pytest.mark.parametrize("kind", ["empty", "full", "link"])
@pytest.mark.parametrize("place", READ)
def test_a_folder_that_was_planted_where_a_file_is_read_is_put_out_of_the_way_and_told(
    state: StateDir, place: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planted, outside = state.root / place, tmp_path / "outside"
    outside.mkdir()
    (outside / "something").touch()
    if kind == "link":
        planted.symlink_to(outside)
    else:
        planted.mkdir()
    if kind == "full":
        (planted / "something").touch()
    READ[place](state)
    assert stat.S_ISREG(planted.lstat().st_mode)
    assert len(list(state.run.glob("*/something"))) == (kind == "full"), "whoever made it keeps it"
    assert [path.name for path in outside.iterdir()] == ["something"]
    assert ("moved out of the way" in caplog.text) == (kind != "link"), "a link is replaced as a file is"


def test_a_note_of_damage_and_a_new_database_are_made_in_their_own_place(state: StateDir, tmp_path: Path) -> None:
    database_health._note_path(state.clinical_db).symlink_to(tmp_path / "nologin")
    database_health.write_damage_note(state.clinical_db)
    state.clinical_db.symlink_to(tmp_path / "nologin")
    clinical = ClinicalDatabase(state.clinical_db)
    with pytest.raises(OSError, match="symbolic links"):
        clinical.create()
    clinical.database.close()
    assert not (tmp_path / "nologin").exists()


def test_what_is_handed_to_a_group_is_what_lies_in_the_folder_and_nothing_that_is_linked_to(
    state: StateDir, secret: Path, tmp_path: Path
) -> None:
    """A copy of a whole state that root puts back holds what was planted in it."""
    outside, inside = tmp_path / "etc", state.packs / "one"
    outside.mkdir(mode=0o755)
    inside.mkdir(mode=0o700)
    (inside / "file").touch(0o600)
    (inside / "folder").symlink_to(outside)
    (inside / "link").symlink_to(secret)
    os.mkfifo(inside / "pipe", 0o600)
    preparation._hand_over(state.packs, os.getgid())
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE((inside / "file").stat().st_mode) == 0o660
    assert stat.S_IMODE(inside.stat().st_mode) == 0o2770

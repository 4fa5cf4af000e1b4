"""A full disk, one that can only be read and one that reports errors: three codes and three sentences, everywhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_app.appliance.checks import hardware, state_folder
from firmware_app.cases.accounts import Accounts
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import disk
from firmware_app.core.errors import DiskTrouble
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.storage import explain_not_kept
from tests.faults.loopfs import LoopFileSystem, loop_file_system
from web import reading_status
from web.app import create_app
from web.reading_status import DiskMonitor
from web.viewer_context import Box

Attack = Callable[[LoopFileSystem], object]
STATES: tuple[tuple[str, str, int, Attack], ...] = (
    ("disk.full", "intake.space_short", 0xA700, LoopFileSystem.fill),
    ("disk.read_only", "intake.read_only", 0xA701, LoopFileSystem.fail_read_only),
    ("disk.failing", "intake.disk_failing", 0xA701, LoopFileSystem.cut_power),  # ext4 then gives EIO
)


def find_write_error(folder: Path) -> OSError | sqlite3.Error:
    """What a writer meets there."""
    try:
        (folder / "probe").write_bytes(bytes(4096))
    except OSError as error:
        return error
    raise AssertionError("it was written")


def met_by_sqlite(connection: sqlite3.Connection) -> sqlite3.Error:
    try:
        connection.execute("INSERT INTO t VALUES (randomblob(2000000))")
        connection.commit()
    except sqlite3.Error as error:
        return error
    raise AssertionError("it was committed")


@pytest.mark.parametrize(("code", "refusal", "status", "attack"), STATES, ids=[state[0] for state in STATES])
def test_each_has_its_own_code_for_doctor_page_and_sender(
    tmp_path: Path, code: str, refusal: str, status: int, attack: Attack
) -> None:
    with loop_file_system(tmp_path, megabytes=64) as loop:
        state = StateDir(loop.mount / "state")
        config = Config.model_validate({"state": {"dir": str(state.root)}, "retention": {"high_water_free_mb": 16}})
        state.prepare()
        database = sqlite3.connect(state.root / "any.db")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (b)")
        database.commit()
        page = DiskMonitor(config, state)
        assert page.check() is None
        attack(loop)
        for error in (find_write_error(state.run), met_by_sqlite(database)):
            trouble = disk.classify_disk_error(state.run, error)
            assert isinstance(trouble, DiskTrouble)
            refused = explain_not_kept(state.run, error)
            assert (trouble.code, refused.code, refused.dimse_status) == (code, refusal, status)
            for sentence in (trouble, refused):
                assert ("replace" in sentence.text("en")) == (code == "disk.failing")
                assert ("更换" in sentence.text("zh_CN")) == (code == "disk.failing")
        database.close()
        assert code in {check.reason.code for check in hardware.check_disk(state.run, 16)}
        assert [check.reason.code for check in state_folder.examine(config, state)] == [code]
        fresh = DiskMonitor(config, state).check()
        assert fresh is not None
        assert fresh.code == code
        loop.restore_power()


def test_a_page_that_is_left_open_hears_that_the_disk_fails_and_that_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_status, "PULSE_WRITE_S", 0.5)
    with loop_file_system(tmp_path, megabytes=64) as loop:
        state = StateDir(tmp_path / "state")
        state.prepare()
        state.run.rmdir()
        state.run.symlink_to(loop.mount)  # the databases stay readable, as they do where only some writes fail
        config = Config.model_validate({"state": {"dir": str(state.root)}, "retention": {"high_water_free_mb": 16}})
        clinical, accounts = ClinicalDatabase(state.clinical_db), Accounts(state.accounts_db)
        clinical.create()
        accounts.create()
        box: Box = create_app(config, state, clinical, accounts).extensions["lantern"]
        box.pulse.start()
        try:
            seen = box.pulse.wait(0, 10)
            loop.cut_power()
            failing = box.pulse.wait(seen, 10)
            assert failing != seen
            loop.restore_power()
            assert box.pulse.wait(failing, 10) != failing
            assert box.disk.check() is None
        finally:
            box.pulse.stop()
            clinical.database.close()
            accounts.database.close()

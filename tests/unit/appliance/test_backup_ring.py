"""The ring of backups: what has a number is whole, and the newest are kept."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import backup, backup_ring, rescue, rescue_report
from firmware_app.appliance.checks import maintenance
from firmware_app.appliance.errors import BACKUP_DISK_ABSENT, BACKUP_NO_ROOM, BACKUP_NOT_WHOLE, BACKUP_UNDER_WAY
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_deletion import CaseDeletion
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patients
from firmware_app.core import database_health
from firmware_app.core.errors import STORE_DAMAGED
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange
from tests.finished import DOCTOR, make_finished_cases
from tests.peers import need_root
from tests.refusals import raises_refusal
from tests.unit.cases.test_clearing import LIMITS

SEED = 7


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """A box with two finished cases, an account and a line."""
    state, clinical, _, cases = make_finished_cases(tmp_path / "state", [200, 1])
    patients = Patients(clinical, state)
    for case in cases:
        patients.correct(case, replace(patients.load_displayed(case).patient, name="Li Hua"), DOCTOR)
    clinical.database.close()
    accounts = Accounts(state.accounts_db)
    accounts.create()
    accounts.redeem(accounts.add("li", Role.DOCTOR), "li", "a hash")
    accounts.database.close()
    exchange = Exchange(state.exchange_db)
    exchange.create()
    exchange.keep_keys("the hospital", 3, b"signed")
    exchange.database.close()
    return state


def make_copy(state: StateDir, keep: int = 3) -> backup_ring.BackupCopy:
    return backup_ring.BackupRing(state.backup).make(state.databases, keep, 0)


def config(state: StateDir, **more: object) -> Config:
    return Config.model_validate(
        {
            "state": {"dir": state.root},
            "box": {"language": "en"},
            "backup": more,
            "retention": {"high_water_free_mb": 16},
        }
    )


def test_a_backup_holds_every_database_whole_and_only_the_newest_are_kept(state: StateDir) -> None:
    numbers = [make_copy(state).number for _ in range(5)]
    assert numbers == [1, 2, 3, 4, 5]
    assert [copy.number for copy in backup_ring.list_copies(state)] == [5, 4, 3]
    assert sorted(path.name for path in state.backup.glob("[!.]*")) == ["000003", "000004", "000005"]
    for name in ("clinical.db", "accounts.db", "exchange.db"):
        newest = backup_ring.find_newest_whole(state, name)
        assert newest is not None
        with backup_ring.open_copy(newest[1]) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert not list(newest[1].parent.glob(f"{name}-*")), "one file, without a log"


def test_a_copy_of_the_accounts_lies_open_to_the_accounts_group_and_to_no_other(state: StateDir) -> None:
    """The ring is the whole clinic's; the folder of the accounts hands on a group that few are in."""
    need_root()
    clinic, few = 54001, 54002
    (state.accounts_db.parent / "copy-of-accounts.db").write_text("of a run that was killed", "utf-8")
    for folder, group in ((state.backup, clinic), (state.accounts_db.parent, few)):
        os.chown(folder, -1, group)
        folder.chmod(0o2770)
    make_copy(state)
    status_of = {path.name: path.stat() for path in (state.backup / "000001").iterdir()}
    assert {name: one.st_gid for name, one in status_of.items()} == {
        "clinical.db": clinic,
        "exchange.db": clinic,
        "report.json": clinic,
        "accounts.db": few,
    }
    assert {stat.S_IMODE(one.st_mode) for one in status_of.values()} == {0o660}
    assert backup_ring.find_newest_whole(state, "accounts.db") is not None
    assert not list(state.accounts_db.parent.glob("copy-of-*"))


def test_a_backup_is_of_one_moment_and_holds_what_lies_only_in_the_log(state: StateDir) -> None:
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.database.connection.execute("PRAGMA wal_autocheckpoint=0")
    Audit(clinical.database).record("li", "logged.in")
    make_copy(state)
    newest = backup_ring.find_newest_whole(state, "clinical.db")
    assert newest is not None
    with backup_ring.open_copy(newest[1]) as connection:
        assert connection.execute("SELECT action FROM audit ORDER BY sequence DESC").fetchone()[0] == "logged.in"
    clinical.database.close()


def test_a_damaged_database_makes_no_backup_and_is_noted(state: StateDir) -> None:
    make_copy(state)
    overwrite(state.clinical_db, root_of(state.clinical_db, "readings"))
    with raises_refusal(BACKUP_NOT_WHOLE):
        make_copy(state)
    assert database_health.has_damage_note(state.clinical_db)
    assert [copy.number for copy in backup_ring.list_copies(state)] == [1]
    with raises_refusal(STORE_DAMAGED):
        backup.run(config(state), now=True)
    assert next(check.reason.code for check in maintenance.check_backup(config(state), state)) == "store.damaged"
    assert "backup.failed" in maintenance.list_troubles(state)


def test_a_backup_that_went_bad_is_passed_over(state: StateDir) -> None:
    for _ in range(2):
        make_copy(state)
    overwrite(state.backup / "000002" / "clinical.db", 3)
    newest = backup_ring.find_newest_whole(state, "clinical.db")
    assert newest is not None
    assert newest[0].number == 1
    shutil.rmtree(state.backup / "000001")
    assert backup_ring.find_newest_whole(state, "clinical.db") is None


def test_the_last_backup_is_never_given_up_for_room(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        make_copy(state)
    monkeypatch.setattr(backup_ring, "free_bytes", lambda folder: 1_000)
    with raises_refusal(BACKUP_NO_ROOM) as raised:
        make_copy(state)
    assert raised.value.missing_mb > 0
    assert [copy.number for copy in backup_ring.list_copies(state)] == [3]


def test_two_backups_at_once_are_one(state: StateDir) -> None:
    with backup_ring._hold_ring_lock(state.backup), raises_refusal(BACKUP_UNDER_WAY):
        make_copy(state)


def test_a_backup_is_made_when_one_is_due(state: StateDir) -> None:
    assert backup.run(config(state)).code == "backup.done"
    assert backup.run(config(state)).code == "backup.not_due"
    assert backup.run(config(state), now=True).code == "backup.done"
    assert backup.run(config(state, every_hours=0)).details["number"] == 3


def test_an_hourly_run_makes_a_copy_each_hour(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer counts from the start of a run, and a copy is as old as its end."""
    monkeypatch.setattr(backup, "age_hours", lambda _copy: 0.99)
    make_copy(state)
    assert backup.run(config(state)).code == "backup.done"
    monkeypatch.setattr(backup, "age_hours", lambda _copy: 0.8)
    assert backup.run(config(state)).code == "backup.not_due"


def test_the_doctor_names_the_newest_copy(state: StateDir) -> None:
    make_copy(state)
    assert [check.reason.code for check in maintenance.check_backup(config(state), state)] == ["doctor.backup_ok"]


def test_an_empty_mount_point_is_no_disk_for_backups(state: StateDir, tmp_path: Path) -> None:
    mount = tmp_path / "mnt"
    mount.mkdir()
    for folder in (mount, tmp_path / "nowhere"):
        with raises_refusal(BACKUP_DISK_ABSENT):
            backup.run(config(state, dir=folder))
        assert not any(folder.glob("*"))
    assert [check.reason.code for check in maintenance.check_backup(config(state, dir=mount), state)] == [
        "care.backup_disk",
        "doctor.backup_none",
    ]


def overwrite(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * page)
        file.write(random.Random(SEED).randbytes(4096))


def root_of(path: Path, name: str) -> int:
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    connection.close()
    return int(row[0]) - 1


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return sorted(tuple(row) for row in connection.execute(f"SELECT * FROM {table}"))
    finally:
        connection.close()


def test_the_secret_behind_the_names_comes_back_from_the_ring(state: StateDir) -> None:
    names = rows(state.clinical_db, "cases")
    make_copy(state)
    for path in state.clinical_db.parent.glob("*"):
        if path.is_file():
            path.unlink()
    rescue.rescue_database(state, state.clinical_db)
    assert {row[0] for row in rows(state.clinical_db, "cases")} == {row[0] for row in names}


def test_a_case_that_was_deleted_after_the_copy_has_no_image_and_goes_again(state: StateDir) -> None:
    """The copy has its rows still; its files are gone, so it is told, and the next deletion takes it."""
    make_copy(state)
    clinical = ClinicalDatabase(state.clinical_db)
    clearing = CaseDeletion(state, clinical)
    (one,) = clearing.list_candidates(LIMITS)[0]
    assert clearing.delete(one)
    clinical.database.close()
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    ((_, report),) = rescue_report.list_reports(state)
    assert report.missing == one.images
    clinical = ClinicalDatabase(state.clinical_db)
    clearing = CaseDeletion(state, clinical)
    assert [again.case for again in clearing.list_candidates(LIMITS)[0]] == [one.case]
    clinical.database.close()

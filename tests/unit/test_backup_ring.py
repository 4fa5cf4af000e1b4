"""The ring of backups: what has a number is whole, the newest are kept, and a rescue takes from it what it lacks."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import backup, backup_ring, rescue
from firmware_app.appliance.checks import maintenance
from firmware_app.appliance.errors import (
    BACKUP_DISK_ABSENT,
    BACKUP_NO_ROOM,
    BACKUP_NOT_WHOLE,
    BACKUP_UNDER_WAY,
)
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.case_deletion import CaseDeletion
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patients
from firmware_app.cases.worklist import Worklist
from firmware_app.core import database_health
from firmware_app.core.errors import (
    STORE_DAMAGED,
)
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange
from tests.finished import DOCTOR, film, finished, opened, read_all, sign, taken
from tests.peers import need_root
from tests.refusals import raises_refusal
from tests.unit.test_clearing import LIMITS

SEED = 7
PEOPLE = ("identities", "entered", "verdicts", "remarks", "reviews")


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """A box with two finished cases, an account and a line."""
    state, clinical, _, cases = finished(tmp_path / "state", [200, 1])
    patients = Patients(clinical, state)
    for case in cases:
        patients.correct(case, replace(patients.known(case).patient, name="Li Hua"), DOCTOR)
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


def made(state: StateDir, keep: int = 3) -> backup_ring.BackupCopy:
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
    numbers = [made(state).number for _ in range(5)]
    assert numbers == [1, 2, 3, 4, 5]
    assert [copy.number for copy in backup_ring.list_copies(state)] == [5, 4, 3]
    assert sorted(path.name for path in state.backup.iterdir()) == ["000003", "000004", "000005"]
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
    made(state)
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
    made(state)
    newest = backup_ring.find_newest_whole(state, "clinical.db")
    assert newest is not None
    with backup_ring.open_copy(newest[1]) as connection:
        assert connection.execute("SELECT action FROM audit ORDER BY sequence DESC").fetchone()[0] == "logged.in"
    clinical.database.close()


def test_a_damaged_database_makes_no_backup_and_is_noted(state: StateDir) -> None:
    made(state)
    overwrite(state.clinical_db, root_of(state.clinical_db, "readings"))
    with raises_refusal(BACKUP_NOT_WHOLE):
        made(state)
    assert database_health.has_damage_note(state.clinical_db)
    assert [copy.number for copy in backup_ring.list_copies(state)] == [1]
    with raises_refusal(STORE_DAMAGED):
        backup.run(config(state), now=True)
    assert next(check.reason.code for check in maintenance.check_backup(config(state), state)) == "store.damaged"
    assert "backup.failed" in maintenance.list_troubles(state)


def test_a_backup_that_went_bad_is_passed_over(state: StateDir) -> None:
    for _ in range(2):
        made(state)
    overwrite(state.backup / "000002" / "clinical.db", 3)
    newest = backup_ring.find_newest_whole(state, "clinical.db")
    assert newest is not None
    assert newest[0].number == 1
    shutil.rmtree(state.backup / "000001")
    assert backup_ring.find_newest_whole(state, "clinical.db") is None


def test_the_last_backup_is_never_given_up_for_room(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        made(state)
    monkeypatch.setattr(backup_ring, "free_bytes", lambda folder: 1_000)
    with raises_refusal(BACKUP_NO_ROOM) as raised:
        made(state)
    assert raised.value.missing_mb > 0
    assert [copy.number for copy in backup_ring.list_copies(state)] == [3]


def test_two_backups_at_once_are_one(state: StateDir) -> None:
    with backup_ring._alone(state.backup), raises_refusal(BACKUP_UNDER_WAY):
        made(state)


def test_a_backup_is_made_when_one_is_due(state: StateDir) -> None:
    assert backup.run(config(state)).code == "backup.done"
    assert backup.run(config(state)).code == "backup.not_due"
    assert backup.run(config(state), now=True).code == "backup.done"
    assert backup.run(config(state, every_hours=0)).details["number"] == 3
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


# --- what a rescue takes from it -------------------------------------------------------------------------------------


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


def people(state: StateDir) -> dict[str, list[tuple[object, ...]]]:
    return {table: rows(state.clinical_db, table) for table in PEOPLE}


@pytest.mark.parametrize("how", ["gone", "pages"])
def test_what_people_entered_comes_back_from_the_newest_backup(state: StateDir, how: str) -> None:
    before, entries = people(state), rows(state.clinical_db, "audit")
    made(state)
    if how == "gone":
        for path in state.clinical_db.parent.glob("clinical.db*"):
            path.unlink()
    else:
        for page in {root_of(state.clinical_db, name) for name in (*PEOPLE, "audit")}:
            overwrite(state.clinical_db, page)
    rescue.rescue_database(state, state.clinical_db)
    assert people(state) == before
    after = rows(state.clinical_db, "audit")
    assert after[: len(entries)] == entries
    ((_, report),) = rescue.list_reports(state)
    assert report.restored == len(entries) + sum(map(len, before.values()))
    assert report.people == 0
    assert report.backup
    clinical = ClinicalDatabase(state.clinical_db)
    whole, reason = Audit(clinical.database).verify()
    # Nothing shows whether entries came behind the backup's last, so the chain fits and is not called whole.
    assert (whole, reason.code, reason.details["after"]) == (False, "audit.cut_off", len(entries))
    clinical.database.close()


def test_the_secret_behind_the_names_comes_back_from_the_ring(state: StateDir) -> None:
    names = rows(state.clinical_db, "cases")
    made(state)
    for path in state.clinical_db.parent.glob("*"):
        if path.is_file():
            path.unlink()
    rescue.rescue_database(state, state.clinical_db)
    assert {row[0] for row in rows(state.clinical_db, "cases")} == {row[0] for row in names}


@pytest.mark.parametrize("how", ["changed", "withdrawn"])
def test_a_word_that_was_taken_back_after_the_backup_does_not_come_back(state: StateDir, how: str) -> None:
    made(state)
    clinical = ClinicalDatabase(state.clinical_db)
    case, other = [row.case for row in Worklist(clinical).rows("done", 9)]
    if how == "changed":
        Worklist(clinical).judge(case, "pneumonia", "disagree", DOCTOR)
    else:
        Worklist(clinical).withdraw(case, "pneumonia", DOCTOR)
    Worklist(clinical).judge(other, "pneumonia", "unsure", "another doctor")
    clinical.database.close()
    overwrite(state.clinical_db, root_of(state.clinical_db, "verdicts"))
    rescue.rescue_database(state, state.clinical_db)
    assert [row[0] for row in rows(state.clinical_db, "verdicts")] == [other]


def test_a_row_that_is_still_there_is_not_replaced_by_an_older_one(state: StateDir) -> None:
    made(state)
    clinical = ClinicalDatabase(state.clinical_db)
    (case, _) = [row.case for row in Worklist(clinical).rows("done", 9)]
    Worklist(clinical).judge(case, "pneumonia", "disagree", DOCTOR)
    clinical.database.close()
    before = rows(state.clinical_db, "verdicts")
    overwrite(state.clinical_db, root_of(state.clinical_db, "sqlite_autoindex_verdicts_1"))
    database_health.write_damage_note(state.clinical_db)
    rescue.rescue_database(state, state.clinical_db)
    assert rows(state.clinical_db, "verdicts") == before


def test_a_deleted_case_does_not_come_back_from_the_ring(state: StateDir) -> None:
    made(state)
    clinical = ClinicalDatabase(state.clinical_db)
    clearing = CaseDeletion(state, clinical)
    (one,) = clearing.candidates(LIMITS)[0]
    assert clearing.delete(one)
    left = {row[0] for row in clinical.database.connection.execute("SELECT reference FROM cases")}
    clinical.database.close()
    state.clinical_db.unlink()
    rescue.rescue_database(state, state.clinical_db)
    assert {row[0] for row in rows(state.clinical_db, "cases")} == left
    for table in ("identities", "verdicts", "reviews"):
        assert {row[0] for row in rows(state.clinical_db, table)} == left


def test_a_backup_of_a_history_that_went_another_way_gives_the_audit_nothing(state: StateDir) -> None:
    made(state)
    for path in state.clinical_db.parent.glob("clinical.db*"):
        path.unlink()
    shutil.move(state.backup / "000001", state.root / "hidden")
    rescue.rescue_database(state, state.clinical_db)  # without it: the numbers begin anew
    clinical = ClinicalDatabase(state.clinical_db)
    Audit(clinical.database).record("li", "logged.in")
    entries = rows(state.clinical_db, "audit")
    clinical.database.close()
    shutil.move(state.root / "hidden", state.backup / "000001")
    overwrite(state.clinical_db, root_of(state.clinical_db, "identities"))
    database_health.write_damage_note(state.clinical_db)
    rescue.rescue_database(state, state.clinical_db)
    assert rows(state.clinical_db, "audit")[: len(entries)] == entries
    clinical = ClinicalDatabase(state.clinical_db)
    assert Audit(clinical.database).verify()[1].code != "audit.broken"
    clinical.database.close()


def test_lost_accounts_come_back_without_a_password_and_the_hospitals_key_as_it_was_signed(state: StateDir) -> None:
    made(state)
    keys = rows(state.exchange_db, "hospital_keys")
    for database in (state.accounts_db, state.exchange_db):
        overwrite(database, 0)
        overwrite(database, root_of_copy(state, database.name))
        rescue.rescue_database(state, database)
    accounts = Accounts(state.accounts_db)
    (user,) = accounts.users()
    assert (user.name, user.role, user.has_password) == ("li", Role.DOCTOR, False)
    accounts.database.close()
    assert rows(state.exchange_db, "hospital_keys") == keys


def root_of_copy(state: StateDir, name: str) -> int:
    table = {"accounts.db": "users", "exchange.db": "hospital_keys"}[name]
    return root_of(state.backup / "000001" / name, table)


def test_nothing_is_taken_from_a_ring_where_nothing_is_lost(tmp_path: Path) -> None:
    state, clinical, door = opened(tmp_path / "state")
    case = taken(door, film(tmp_path / "films", 1), "2026-01-02T00:00:00.000+00:00")
    read_all(state, clinical)
    sign(clinical, case)
    clinical.database.close()
    made(state)
    overwrite(state.clinical_db, root_of(state.clinical_db, "instances_case"))
    database_health.write_damage_note(state.clinical_db)
    rescue.rescue_database(state, state.clinical_db)
    ((_, report),) = rescue.list_reports(state)
    assert (report.restored, report.backup) == (0, "")

"""What is settled before a rescue begins: whose database it is, whether it was left in order, locks, room."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from firmware_app.appliance import database_repair, rescue, rescue_report
from firmware_app.appliance.errors import RESCUE_NEEDS_ROOM
from firmware_app.cases.clinical_db import SCHEMA_VERSION, ClinicalDatabase
from firmware_app.core import database_health, locks
from firmware_app.core.errors import STORE_DAMAGED, STORE_LOOKED_AT, STORE_UNREADABLE, StateUnusable, StoreTooNew
from firmware_app.core.state_dir import StateDir
from tests.refusals import raises_refusal


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path)
    made.prepare()
    clinical = ClinicalDatabase(made.clinical_db)
    clinical.create()
    clinical.database.close()
    return made


def overwrite_a_table(state: StateDir) -> None:
    connection = sqlite3.connect(state.clinical_db)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'arrivals'").fetchone()
    connection.close()
    with state.clinical_db.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(random.Random(4).randbytes(4096))


@pytest.mark.parametrize("only_in_the_log", [False, True])
def test_a_newer_versions_damaged_database_is_not_touched(state: StateDir, only_in_the_log: bool) -> None:
    newer = sqlite3.connect(state.clinical_db)
    newer.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    if only_in_the_log:  # and not damaged: this version may not use it at all
        newer.execute(f"PRAGMA application_id={SCHEMA_VERSION + 1}")
    newer.commit()
    if not only_in_the_log:
        newer.close()
        overwrite_a_table(state)
    before = state.clinical_db.read_bytes()
    with pytest.raises(StoreTooNew):
        rescue.rescue_database(state, state.clinical_db)
    assert state.clinical_db.read_bytes() == before
    assert not database_health.has_any_damage_note(state.databases)
    newer.close()


def test_a_newer_versions_database_that_sqlite_cannot_open_is_not_touched(state: StateDir) -> None:
    newer = sqlite3.connect(state.clinical_db)
    newer.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    newer.commit()
    newer.close()
    with state.clinical_db.open("r+b") as file:
        file.seek(16)  # the page size and what follows
        file.write(b"\xff" * 8)
    before = state.clinical_db.read_bytes()
    with pytest.raises(StoreTooNew):
        rescue.rescue_database(state, state.clinical_db)
    assert state.clinical_db.read_bytes() == before


def test_looking_for_the_version_leaves_nothing_beside_the_database(state: StateDir) -> None:
    before = set(state.clinical_db.parent.iterdir())
    assert database_health.read_schema_version(state.clinical_db) == SCHEMA_VERSION
    assert set(state.clinical_db.parent.iterdir()) == before


def test_after_an_end_in_order_only_the_beginning_is_looked_at(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    find = database_health.find_damage

    def told(database: Path) -> str | None:
        looked.append(database)
        return find(database)

    monkeypatch.setattr(database_health, "find_damage", told)
    database_repair.mark_clean([state.clinical_db])
    rescue.rescue_database(state, state.clinical_db)
    assert looked == []
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()  # from here on a power cut is no end in order
    clinical.database.close()
    rescue.rescue_database(state, state.clinical_db)
    assert looked == [state.clinical_db]


def test_a_file_that_somebody_touched_after_the_end_is_looked_at(state: StateDir) -> None:
    database_repair.mark_clean([state.clinical_db])
    assert database_health.was_closed_cleanly(state.clinical_db)
    overwrite_a_table(state)
    rescue.rescue_database(state, state.clinical_db)
    assert len(list(rescue_report.list_reports(state))) == 1


def test_being_looked_at_is_not_called_damage(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.0)
    with locks.lock_exclusively(state.clinical_db, 0.0) as alone:
        assert alone
        with raises_refusal(STORE_LOOKED_AT):
            ClinicalDatabase(state.clinical_db).require()


def test_waiting_for_others_ends_with_the_box_and_names_them(state: StateDir, caplog: pytest.LogCaptureFixture) -> None:
    other = ClinicalDatabase(state.clinical_db)
    other.require()
    database_health.write_damage_note(state.clinical_db)
    stop = threading.Event()
    stop.set()
    began = time.monotonic()
    with raises_refusal(STORE_DAMAGED):
        rescue.rescue_database(state, state.clinical_db, stop)
    assert time.monotonic() - began < 10.0
    assert f"process {os.getpid()}" in caplog.text
    other.database.close()


def test_without_locks_a_database_is_opened_and_never_rebuilt(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    overwrite_a_table(state)
    before = state.clinical_db.read_bytes()
    rescue.rescue_database(state, state.clinical_db)
    clinical = ClinicalDatabase(state.clinical_db)
    clinical.require()
    clinical.database.close()
    assert state.clinical_db.read_bytes() == before


def test_a_lock_file_that_cannot_be_opened_is_no_read_only_disk(state: StateDir) -> None:
    lock = state.clinical_db.with_name("clinical.db-lock")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(StateUnusable):
        ClinicalDatabase(state.clinical_db).require()
    with pytest.raises(StateUnusable):
        rescue.rescue_database(state, state.clinical_db)


def test_a_database_that_cannot_be_opened_is_a_sentence(state: StateDir) -> None:
    state.clinical_db.unlink()
    state.clinical_db.symlink_to(state.root / "images")
    with raises_refusal(STORE_UNREADABLE, StateUnusable):
        rescue.rescue_database(state, state.clinical_db)


def test_too_little_room_is_told_before_anything_is_done(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite_a_table(state)
    monkeypatch.setattr(rescue, "free_bytes", lambda _folder: 0)
    with raises_refusal(RESCUE_NEEDS_ROOM) as refused:
        rescue.rescue_database(state, state.clinical_db)
    assert refused.value.missing_mb >= 4
    assert not (state.clinical_db.parent / "damaged").exists()

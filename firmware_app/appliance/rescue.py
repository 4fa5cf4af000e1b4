"""Detect a damaged database at start, set it aside unchanged, and replace it by its newest whole copy.

`database_restore` makes the new file: the copy, with what lies on the disk as a file admitted again, or an empty
database where there is no whole copy.  The report says since when something is missing.

Everything is prepared in ``damaged/new/`` beside the database: hard links to the damaged files, the new database as
``fresh.db``, and the report.  The rename of this folder to its number commits the rescue.  After a kill before it, the
next start begins again; after a kill later, the next start puts the new file in place.

No rescue begins where the database is of a newer version, or where the disk has too little space.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from firmware_app.appliance import backup_ring, database_restore, rescue_report
from firmware_app.appliance.errors import RESCUE_IMPOSSIBLE, RESCUE_NEEDS_ROOM
from firmware_app.appliance.rescue_report import RescueReport
from firmware_app.cases import accounts, clinical_db
from firmware_app.core import clock, database_health, disk, locks
from firmware_app.core.database import may_use_schema
from firmware_app.core.errors import STORE_DAMAGED, StoreTooNew
from firmware_app.core.state_dir import StateDir, free_bytes, make_directory, sync_directory, sync_file
from firmware_app.uplink.exchange import exchange_db

log = logging.getLogger("lantern.store")

_WAIT_S: Final = 20.0  # for the other processes to see the note and end
_SPARE_BYTES: Final = 4_000_000


@contextmanager
def stop_on_damage(state: StateDir, databases: Iterable[Path] | None = None) -> Iterator[None]:
    """Around a process that has *databases* open: raises `STORE_DAMAGED` instead of the errors caused by damage."""
    mine = tuple(databases or state.databases)
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not (database_health.is_damage(error) and database_health.has_any_damage_note(mine)):
            raise
    for database in mine:
        if database_health.has_damage_note(database):
            raise STORE_DAMAGED(database=database.name)


def rescue_database(state: StateDir, database: Path, stop: threading.Event | None = None) -> None:
    """Check *database*, and replace it if it is damaged.  Does nothing while others have it open undamaged.

    Raises `STORE_DAMAGED` when others keep a damaged one open (or *stop* is set), `StoreTooNew`, a `StoreError` (see
    `fault.named`) when it cannot be checked, and `RESCUE_NEEDS_ROOM`, `REFERENCES_LOST` and `RESCUE_IMPOSSIBLE` when it
    cannot be rebuilt.
    """
    try:
        check_version(state, database)
        noted = database_health.has_damage_note(database)
        with locks.lock_exclusively(database, _WAIT_S if noted else 0.0, stop) as alone:
            if alone:
                _rescue_exclusively(state, database)
            elif noted:
                raise STORE_DAMAGED(database=database.name)
    except locks.NoLocks:
        if database_health.has_damage_note(database):
            raise RESCUE_IMPOSSIBLE(
                database=database.name, detail="the file system of the state has no locks"
            ) from None
    except sqlite3.Error as error:
        raise disk.classify_disk_error(database.parent, error) from None
    except OSError as error:
        raise disk.classify_disk_error(database.parent, error) from None


def _rescue_exclusively(state: StateDir, database: Path) -> None:
    _put_in_place(database)
    if not database_health.has_damage_note(database) and database_health.was_closed_cleanly(database):
        return
    cause = _find_cause(state, database)
    if cause is None:
        database_health.remove_damage_note(database)
        return
    check_version(state, database, rebuilding=True)
    database_health.write_damage_note(database)
    try:
        check_room(state, database)
        report = _rescue(state, database, cause)
    except (OSError, sqlite3.Error) as error:
        raise RESCUE_IMPOSSIBLE(database=database.name, detail=str(error)) from None
    log.warning(
        "%s was damaged and is as of %s now: %d images taken in again, %d to be read",
        database.name,
        report.since or "its beginning",
        report.admitted,
        report.again,
    )


def _find_cause(state: StateDir, database: Path) -> str | None:
    if not database.exists() or database.stat().st_size == 0:
        # As before the first start, unless images or a backup show that there was a database.
        had_images = database == state.clinical_db and any(state.images.glob("*/*"))
        was_there = had_images or any(database.name in copy.files for copy in backup_ring.list_copies(state))
        return "the file is missing or empty" if was_there else None
    return database_health.find_damage(database) or database_health.find_lost_images(state, database)


def _rescue(state: StateDir, database: Path, cause: str) -> RescueReport:
    restore = {
        state.clinical_db: database_restore.restore_clinical,
        state.exchange_db: database_restore.restore_exchange,
        state.accounts_db: database_restore.restore_accounts,
    }[database]
    folder = database.parent / "damaged"
    new = folder / "new"
    shutil.rmtree(new, ignore_errors=True)
    state.release_ballast()  # the copies need room
    make_directory(folder)
    make_directory(new)
    sync_directory(database.parent)
    for name in (database.name, f"{database.name}-wal"):
        if (database.parent / name).exists():
            os.link(database.parent / name, new / name)
    report = RescueReport(1, database.name, clock.stamp_text("seconds"), cause)
    report.raise_number(max((rescue_report.read_counter(database), *rescue_report.list_numbers(database))))
    restore(new / "fresh.db", state, report)
    for left in new.glob("fresh.db-*"):
        left.unlink()
    report.write(new)
    sync_file(new / "fresh.db")
    sync_directory(new)
    rescue_report.write_counter(database, report.number)
    new.rename(folder / str(report.number))
    sync_directory(folder)
    _put_in_place(database)
    return report


def _put_in_place(database: Path) -> None:
    """Finish a committed rescue: the old log is removed first, because it must never be used with the new file."""
    for number in rescue_report.list_numbers(database):
        fresh = database.parent / "damaged" / str(number) / "fresh.db"
        if fresh.exists():
            _mark_cut(database.parent.parent, fresh.with_name(rescue_report.REPORT))
            for suffix in ("-wal", "-shm"):
                database.with_name(database.name + suffix).unlink(missing_ok=True)
            sync_directory(database.parent)
            fresh.replace(database)
            sync_directory(database.parent)
            sync_directory(fresh.parent)
            database_health.remove_damage_note(database)


def _mark_cut(root: Path, report: Path) -> None:
    """Rename the images that are incomplete, so that the same image can be sent again."""
    for file in json.loads(report.read_text("utf-8")).get("cut", ()):
        try:
            (root / file).rename(root / (file + database_health.DAMAGED_SUFFIX))
        except FileNotFoundError:  # already done before a kill
            continue
        except OSError as error:
            log.warning("a damaged image cannot be renamed: %s", error.strerror)


def check_version(state: StateDir, database: Path, *, rebuilding: bool = False) -> None:
    """Refuse the database of a newer version that this one may not use, and when *rebuilding* that of any newer one: a
    rebuild would lose what this version does not know.
    """
    known = {
        state.clinical_db: clinical_db.SCHEMA_VERSION,
        state.exchange_db: exchange_db.SCHEMA_VERSION,
        state.accounts_db: accounts.SCHEMA_VERSION,
    }[database]
    version, least = database_health.read_schema_versions(database)
    if version > known and (rebuilding or not may_use_schema(known, least)):
        raise StoreTooNew(database=database.name, found=version, known=known)


def check_room(state: StateDir, database: Path) -> None:
    """Check the space for the new file and its log; the ballast is released for them."""
    parts = [path for path in (database, database.with_name(database.name + "-wal")) if path.exists()]
    needed = 2 * sum(path.stat().st_size for path in parts) + _SPARE_BYTES
    missing = needed - state.ballast_bytes - free_bytes(database.parent)
    if missing > 0:
        raise RESCUE_NEEDS_ROOM(database=database.name, missing_mb=missing // 1_000_000 + 1)

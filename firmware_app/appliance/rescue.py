"""Detect a damaged database at start, set it aside, rebuild it and report the loss.  Nothing is thrown away.

Everything is prepared in ``damaged/new/`` beside the database: hard links to the damaged files, the rebuilt database
as ``fresh.db``, and the report.  The rename of this folder to its number commits the rescue.  After a kill before it,
the next start begins again; after a kill later, the next start puts the new file in place.

No rescue begins where the database is of a newer version, or where the disk has too little space.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.appliance import backup_ring
from firmware_app.appliance.errors import (
    RESCUE_IMPOSSIBLE,
    RESCUE_NEEDS_ROOM,
)
from firmware_app.cases.references import References
from firmware_app.core import clock, database_health, disk, locks
from firmware_app.core.database import may_use_schema
from firmware_app.core.errors import (
    STORE_DAMAGED,
    StoreTooNew,
)
from firmware_app.core.salvage import DamagedCopy
from firmware_app.core.state_dir import StateDir, free_bytes, make_directory, sync_directory

log = logging.getLogger("lantern.store")

_KEYED_VERSION: Final = 4  # of clinical.db: before, references were drawn at random
_WAIT_S: Final = 20.0  # for the other processes to see the note and end
_REVISIONS_EACH: Final = 1000
_MOST_RESCUES: Final = 998
_COUNTER: Final = "-rescues"


@dataclass(slots=True)
class RescueReport:
    """What one rescue kept and what it lost.  `lost` counts the rows known to be missing; there may be more."""

    number: int
    database: str
    at: str
    cause: str
    kept: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    admitted: int = 0  # files that had lost their row
    again: int = 0  # images that are read again
    missing: int = 0  # rows whose file is gone
    unusable: int = 0  # files that are incomplete or unreadable
    cut: list[str] = field(default_factory=list)  # the unusable files to be renamed
    doubtful: int = 0  # commits of the log after the last one that SQLite uses
    repeated: int = 0  # cases sent to the hospital again, because the outbox may have lost them
    restored: int = 0  # entries of people and of the audit that came from a backup
    backup: str = ""  # the time of that backup

    def count_on_from(self, known: int) -> None:
        """Take a higher number than *known*, the number of an earlier rescue.

        Raises `RESCUE_IMPOSSIBLE` when no number is left: none may be used twice.
        """
        self.number = max(self.number, known + 1)
        if self.number > _MOST_RESCUES:
            detail = f"it was rebuilt {known} times, and a revision's number must not be used twice"
            raise RESCUE_IMPOSSIBLE(database=self.database, detail=detail)

    @property
    def revision_floor(self) -> int:
        """The least revision after this rescue.  No case has so many revisions between two rescues; the wire format
        allows a million."""
        return self.number * _REVISIONS_EACH

    @property
    def people(self) -> int:
        """Entries of people that are known to be lost."""
        return sum(
            self.lost.get(name, 0)
            for name in ("identities", "verdicts", "remarks", "reviews", "background", "audit", "users")
        )


Rebuild = Callable[[DamagedCopy, Path, StateDir, RescueReport], None]
"""Makes the database at the given path from what the damaged one still holds, and fills in the report."""


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
    """Check *database*, and rebuild it if it is damaged.  Does nothing while others have it open undamaged.

    Raises `STORE_DAMAGED` when others keep a damaged one open (or *stop* is set), `StoreTooNew`, a `StoreError` (see
    `fault.named`) when it cannot be checked, and `RESCUE_NEEDS_ROOM`, `REFERENCES_LOST` and `RESCUE_IMPOSSIBLE` when it
    cannot be rebuilt.
    """
    try:
        check_version(state, database)
        noted = database_health.has_damage_note(database)
        with locks.lock_exclusively(database, _WAIT_S if noted else 0.0, stop) as alone:
            if alone:
                _rescue_alone(state, database)
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


def _rescue_alone(state: StateDir, database: Path) -> None:
    _put_in_place(database)
    if not database_health.has_damage_note(database) and database_health.was_closed_cleanly(database):
        return
    cause = _cause(state, database)
    if cause is None:
        database_health.remove_damage_note(database)
        return
    check_version(state, database, rebuilding=True)
    database_health.write_damage_note(database)
    try:
        check_room(state, database)
        if database == state.clinical_db:
            unnamed = 0 < database_health.read_schema_version(database) < _KEYED_VERSION or not any(
                state.images.glob("*/*")
            )
            backups = (copy.folder / database.name for copy in backup_ring.list_copies(state))
            References(database.parent).recover(database, unnamed, backups)
        report = _rescue(state, database, cause, _rebuild(state, database))
    except (OSError, sqlite3.Error) as error:
        raise RESCUE_IMPOSSIBLE(database=database.name, detail=str(error)) from None
    log.warning(
        "%s was rebuilt: %d images taken in again, %d readings made again, at least %d entries of people lost",
        database.name,
        report.admitted,
        report.again,
        report.people,
    )


def list_reports(state: StateDir) -> Iterator[tuple[Path, RescueReport]]:
    """Every readable rescue report of this box with the folder of its damaged files, oldest first."""
    for database in state.databases:
        for number in _numbers(database):
            folder = database.parent / "damaged" / str(number)
            try:
                report = RescueReport(**json.loads((folder / "report.json").read_text("utf-8")))
            except (OSError, ValueError, TypeError):  # not readable by this user, or of a newer version
                continue
            yield folder, report


def _cause(state: StateDir, database: Path) -> str | None:
    if not database.exists() or database.stat().st_size == 0:
        # As before the first start, unless images or a backup show that there was a database.
        had_images = database == state.clinical_db and any(state.images.glob("*/*"))
        was_there = had_images or any(database.name in copy.files for copy in backup_ring.list_copies(state))
        return "the file is missing or empty" if was_there else None
    return database_health.find_damage(database) or database_health.find_lost_images(state, database)


def _rebuild(state: StateDir, database: Path) -> Rebuild:
    """The function that rebuilds *database*; imported only when it is needed."""
    if database == state.clinical_db:
        from firmware_app.appliance.rebuild_clinical import rebuild_clinical

        return rebuild_clinical
    from firmware_app.appliance import rebuild

    return rebuild.rebuild_exchange if database == state.exchange_db else rebuild.rebuild_accounts


def _rescue(state: StateDir, database: Path, cause: str, rebuild: Rebuild) -> RescueReport:
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
    report = RescueReport(1, database.name, _now(), cause)
    report.count_on_from(max((_read_counter(database), *_numbers(database))))
    rebuild(DamagedCopy(database, new / "copy.db"), new / "fresh.db", state, report)
    for left in (*new.glob("copy.db*"), *new.glob("fresh.db-*")):
        left.unlink()
    _write(new / "report.json", json.dumps(asdict(report)))
    _sync_file(new / "fresh.db")
    sync_directory(new)
    _write_counter(database, report.number)
    new.rename(folder / str(report.number))
    sync_directory(folder)
    _put_in_place(database)
    return report


def _put_in_place(database: Path) -> None:
    """Finish a committed rescue: the old log is removed first, because it must never be used with the new file."""
    for number in _numbers(database):
        fresh = database.parent / "damaged" / str(number) / "fresh.db"
        if fresh.exists():
            _mark_cut(database.parent.parent, fresh.with_name("report.json"))
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


def _read_counter(database: Path) -> int:
    """The highest number so far, kept in a file of its own in case somebody empties damaged/ to free space."""
    try:
        return int(database.with_name(database.name + _COUNTER).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _write_counter(database: Path, number: int) -> None:
    counter = database.with_name(database.name + _COUNTER)
    fresh = counter.with_name(counter.name + ".new")
    _write(fresh, str(number))
    fresh.replace(counter)
    sync_directory(counter.parent)


def _numbers(database: Path) -> list[int]:
    try:
        names = os.listdir(database.parent / "damaged")
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def _write(path: Path, text: str) -> None:
    """Make *path*, of the box's mode and durable."""
    path.write_text(text, "utf-8")
    path.chmod(0o660)
    _sync_file(path)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return clock.stamp_text("seconds")


_SPARE_BYTES: Final = 4_000_000


def check_version(state: StateDir, database: Path, *, rebuilding: bool = False) -> None:
    """Refuse the database of a newer version that this one may not use, and when *rebuilding* that of any newer one: a
    rebuild would lose what this version does not know.
    """
    from firmware_app.cases import (
        accounts,  # they are rebuilt with this module
        clinical_db,  # they are rebuilt with this module
    )
    from firmware_app.uplink.exchange import exchange_db  # they are rebuilt with this module

    known = {
        state.clinical_db: clinical_db.SCHEMA_VERSION,
        state.exchange_db: exchange_db.SCHEMA_VERSION,
        state.accounts_db: accounts.SCHEMA_VERSION,
    }[database]
    version, least = database_health.read_schema_versions(database)
    if version > known and (rebuilding or not may_use_schema(known, least)):
        raise StoreTooNew(database=database.name, found=version, known=known)


def check_room(state: StateDir, database: Path) -> None:
    """Check the space for a copy to read from and for the new file; the ballast is released for them."""
    parts = [path for path in (database, database.with_name(database.name + "-wal")) if path.exists()]
    needed = 3 * sum(path.stat().st_size for path in parts) + _SPARE_BYTES
    missing = needed - state.ballast_bytes - free_bytes(database.parent)
    if missing > 0:
        raise RESCUE_NEEDS_ROOM(database=database.name, missing_mb=missing // 1_000_000 + 1)

"""A damaged inbox.db is moved aside unchanged and rebuilt from the rows that can still be read.

Boxes send again what was not confirmed yet. A confirmed case revision that can no longer be read is lost to the
hospital: the boxes keep their cases, but do not send them again.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core.salvage import DamagedCopy, DamagedDatabase, copy_table
from hospital import keyring
from hospital.errors import (
    INBOX_DAMAGED,
    INBOX_NEEDS_ROOM,
    InboxPutBack,
    InboxRebuilt,
)
from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_db import Inbox

_SPARE_BYTES: Final = 4_000_000
_PAGES: Final = 5_000


@dataclass(frozen=True, slots=True)
class RescueResult:
    """The result of a rescue: the rows of each table now, and where the damaged file is kept."""

    damage: str
    rows: dict[str, int]
    kept: Path

    @property
    def error(self) -> InboxRebuilt:
        """What a person is told of it."""
        return InboxRebuilt(self.damage, self.rows["cases"], self.rows["boxes"], str(self.kept))


def find_damage(inbox_db: Path) -> str | None:
    """What `PRAGMA quick_check` finds wrong; None when the file is sound or not there yet."""
    if not inbox_db.exists():
        return None
    try:
        with closing(sqlite3.connect(inbox_db, isolation_level=None)) as connection:
            answer: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else answer.splitlines()[-1]


def rescue_inbox(house: HospitalSite) -> RescueResult | None:
    """Rebuild a damaged inbox; None when it is sound. No other process may have it open.

    May be killed at any time: the next call goes on.  The damaged file stays where it is until the new one is whole.
    Raises `INBOX_NEEDS_ROOM`.
    """
    fresh = house.inbox_db.with_name(f"{house.inbox_db.name}.new")
    defect = find_damage(house.inbox_db)
    if defect is None and (house.inbox_db.exists() or not fresh.exists() or find_damage(fresh)):
        _remove(fresh)
        _remove(_copy_beside(fresh))
        return None
    if defect is not None:
        _remove(fresh)
        _remove(_copy_beside(fresh))
        _check_room(house.inbox_db, defect)
        _rebuild(house, fresh)
    kept = _put_in_place(house, fresh)
    with closing(sqlite3.connect(house.inbox_db)) as made:
        rows: dict[str, int] = {
            table: made.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in _tables(made)
        }
    return RescueResult(defect or "an earlier start was cut short while it made the file again", rows, kept)


def put_inbox_back(
    house: HospitalSite, connection: sqlite3.Connection, alive: Callable[[], None] = lambda: None
) -> InboxPutBack:
    """Write what *connection* holds, whose files were removed or replaced, to the inbox's place again.

    What lies there now is kept in `damaged/`; the boxes enrolled since are taken over.  *alive* is called now and then.
    Raises `INBOX_DAMAGED`, OSError or sqlite3.Error, and has then changed nothing.
    """
    held = house.inbox_db.with_name(f"{house.inbox_db.name}.held")
    fresh = house.inbox_db.with_name(f"{house.inbox_db.name}.new")
    for file in (held, fresh):
        _remove(file)
    keyring.write_private(held, b"")
    with closing(sqlite3.connect(held, isolation_level=None)) as copy:
        connection.backup(copy, pages=_PAGES, progress=lambda *_: alive())
        copy.execute("PRAGMA journal_mode=DELETE").fetchone()
    if defect := find_damage(held):
        raise INBOX_DAMAGED(detail=defect)
    what = InboxPutBack(path=str(house.root / "damaged"))
    with closing(Inbox(held)) as inbox:
        with inbox.transaction() as copy:
            house.enrol_known_boxes(copy)
            inbox_tables.record_loss(copy, what)
        inbox.connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    held.rename(fresh)
    _put_in_place(house, fresh)
    return what


def _check_room(inbox_db: Path, defect: str) -> None:
    """A copy to read from, its rows in order and a new file, beside what stays."""
    parts = [path for path in (inbox_db, inbox_db.with_name(inbox_db.name + "-wal")) if path.exists()]
    needed = 3 * sum(path.stat().st_size for path in parts) + _SPARE_BYTES
    missing = needed - shutil.disk_usage(inbox_db.parent).free
    if missing > 0:
        raise INBOX_NEEDS_ROOM(detail=defect, missing_mb=missing // 1_000_000 + 1, path=str(inbox_db.parent))


def _rebuild(house: HospitalSite, fresh: Path) -> None:
    """Write *fresh* from the readable rows of the inbox and from `boxes/`; all of it is on the disk on return."""
    inbox = Inbox(fresh)
    with closing(inbox):
        inbox.create()
        inbox.connection.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, whole after each commit
        inbox.connection.execute("PRAGMA cache_size=-200000")  # 200 MB: the indexes of a million rows grow all over
        damaged = DamagedCopy(house.inbox_db, _copy_beside(fresh))
        with closing(DamagedDatabase(damaged, inbox.connection)) as wreck, inbox.transaction() as new:
            tables = {table: copy_table(wreck, table, new) for table in wreck.tables}
            if tables["boxes"].is_damaged or damaged.unused_commits:
                _keep_revoked(wreck, new)
            house.enrol_known_boxes(new)
    _remove(_copy_beside(fresh))
    keyring.sync(house.root)


def _keep_revoked(wreck: DamagedDatabase, new: sqlite3.Connection) -> None:
    """Old pages from before a revocation may be recovered too: a box is revoked if any row says so."""
    box, revoked_at = (wreck.columns("boxes").index(name) for name in ("box", "revoked_at"))
    for _, row in wreck.scanned("boxes"):
        if row[revoked_at]:
            new.execute("UPDATE boxes SET revoked_at = ? WHERE box = ?", (row[revoked_at], row[box]))


def _copy_beside(fresh: Path) -> Path:
    return fresh.with_name(fresh.name + "-damaged")


def _tables(connection: sqlite3.Connection) -> list[str]:
    question = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    return [name for (name,) in connection.execute(question).fetchall()]


def _put_in_place(house: HospitalSite, fresh: Path) -> Path:
    """Move the damaged file aside and *fresh* to its place; returns where the damaged one is now.

    The file goes before its log, so that a kill between them leaves either both in place or no `inbox.db`.
    """
    folder = house.root / "damaged"
    keyring.make_folder(folder, 0o700)
    number = sum(1 for _ in folder.glob("inbox-*.db")) + house.inbox_db.exists()
    kept = folder / f"inbox-{number}.db"
    for ending in ("", "-wal", "-shm"):  # the new file must not find the log of the damaged one
        with suppress(FileNotFoundError):
            house.inbox_db.with_name(house.inbox_db.name + ending).rename(kept.with_name(kept.name + ending))
        keyring.sync(folder)
        keyring.sync(house.root)
    fresh.rename(house.inbox_db)
    keyring.sync(house.root)
    return kept


def _remove(file: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm", "-sorted"):
        file.with_name(file.name + ending).unlink(missing_ok=True)

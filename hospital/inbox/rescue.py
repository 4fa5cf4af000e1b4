"""A damaged inbox.db is set aside whole, and made again from the rows that can still be read.

What boxes still wait to have confirmed comes again by itself.  A case revision that was confirmed and can be read
here no more is lost to the hospital; the boxes keep their cases, but do not send them again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hospital.house import House
from hospital.inbox.inbox_db import Inbox
from hospital.keys import keyring

_MOST_UNREADABLE: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rescued:
    """What became of a damaged inbox: the rows of each table now, and where the damaged file is kept."""

    damage: str
    rows: dict[str, int]
    kept: Path


def damage(inbox_db: Path) -> str | None:
    """What `PRAGMA quick_check` finds wrong; None when the file is sound or not there yet."""
    if not inbox_db.exists():
        return None
    try:
        with closing(sqlite3.connect(inbox_db, isolation_level=None)) as connection:
            found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else found.splitlines()[-1]


def rescue(house: House) -> Rescued | None:
    """Make a damaged inbox again; None when it is sound.  Nobody else may have it open.

    May be killed at any time: the next call goes on.  The damaged file stays where it is until the new one is whole.
    """
    fresh = house.inbox_db.with_name(f"{house.inbox_db.name}.new")
    found = damage(house.inbox_db)
    if found is None and (house.inbox_db.exists() or not fresh.exists() or damage(fresh)):
        _remove(fresh)
        return None
    if found is not None:
        _remove(fresh)
        _rebuild(house, fresh)
    kept = _put_in_place(house, fresh)
    with closing(sqlite3.connect(house.inbox_db)) as made:
        rows: dict[str, int] = {
            table: made.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in _tables(made)
        }
    return Rescued(found or "an earlier start was cut short while it made the file again", rows, kept)


def _rebuild(house: House, fresh: Path) -> None:
    """Write *fresh* from the readable rows of the inbox and from `boxes/`; all of it is on the disk on return."""
    inbox = Inbox(fresh)
    with closing(inbox), closing(sqlite3.connect(house.inbox_db)) as old:
        inbox.create()
        inbox.connection.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, whole after each commit
        inbox.connection.execute("PRAGMA cache_size=-200000")  # 200 MB: the indexes of a million rows grow all over
        with inbox.transaction() as new:
            for table in _tables(new):
                _copy(old, new, table)
            house.enrol_known(new)
    keyring.sync(house.root)


def _tables(connection: sqlite3.Connection) -> list[str]:
    question = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    return [name for (name,) in connection.execute(question).fetchall()]


def _put_in_place(house: House, fresh: Path) -> Path:
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
    for ending in ("", "-journal", "-wal", "-shm"):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    """Copy the readable rows of *table*."""
    try:
        there = {row[1] for row in old.execute(f"PRAGMA table_info({table})")}
    except sqlite3.DatabaseError:
        return  # its first page, which names the tables
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})") if row[1] in there]
    if not columns:
        return
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    new.executemany(insert, _rows(old, table, ", ".join(columns)))


def _rows(old: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """From the front to the first damage and from the back to the last; what lies between, where rows have numbers."""
    info = old.execute(f"PRAGMA table_info({table})").fetchall()
    made = old.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    numbered = "WITHOUT ROWID" not in made
    key = ["rowid"] if numbered else [row[1] for row in sorted(info, key=lambda row: row[5]) if row[5]]
    reached: list[int | None] = []
    for order in ("ASC", "DESC"):
        by = ", ".join(f"{one} {order}" for one in key)
        last = None
        with suppress(sqlite3.DatabaseError):
            for row in old.execute(f"SELECT {key[0]}, {columns} FROM {table} NOT INDEXED ORDER BY {by}"):
                last = row[0]
                yield row[1:]
            return
        reached.append(last)
    if numbered:
        first = reached[0] or 0
        question = f"SELECT {columns} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ?"
        yield from _between(old, question, first + 1, (reached[1] or first + _MOST_UNREADABLE) - 1)


def _between(old: sqlite3.Connection, question: str, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """The readable rows of a range with damage in it, found by halving it."""
    ranges, unreadable = [(first, last)], 0
    while ranges and unreadable < _MOST_UNREADABLE:
        low, high = ranges.pop()
        if low > high:
            continue
        try:
            yield from old.execute(question, (low, high)).fetchall()
        except sqlite3.DatabaseError:
            if low == high:
                unreadable += 1
            else:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]

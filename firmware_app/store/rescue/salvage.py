"""What can still be read of a damaged database: by SQLite where it can, page by page where it cannot."""

from __future__ import annotations

import mmap
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.store.rescue import pages
from firmware_app.store.rescue.pages import Value
from firmware_app.store.sqlite import wal

_KINDS: Final[dict[str, type | tuple[type, ...]]] = {"INTEGER": int, "REAL": (float, int), "TEXT": str, "BLOB": bytes}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a STRICT table."""

    name: str
    kind: str
    required: bool
    is_rowid: bool


class Source:
    """A damaged *database*, copied with what SQLite would take from its log to *copy*; the original is not touched.

    `doubtful` counts the commits of the log that stand behind that.
    """

    def __init__(self, database: Path, copy: Path) -> None:
        self.copy = copy
        copy.touch(0o660)
        if database.exists():
            shutil.copyfile(database, copy)
        log = database.with_name(database.name + "-wal")
        self.doubtful = wal.apply(copy, log) if log.exists() else 0


class Rows:
    """What is left of one table, one row at a time, as the columns that the empty database has.

    Afterwards `seen` are the numbers of the rows there were, `whole` is whether SQLite read them to their end.
    """

    def __init__(self, wreck: Wreck, table: str) -> None:
        self._wreck, self._table = wreck, table
        self.seen: set[int] = set()
        self.whole = True

    def __iter__(self) -> Iterator[tuple[int, list[Value]]]:
        yield from self._read()
        if not self.whole:
            for rowid, values in self._wreck.scanned(self._table):
                if rowid not in self.seen:
                    self.seen.add(rowid)
                    yield rowid, values

    def _read(self) -> Iterator[tuple[int, list[Value]]]:
        rows = self._wreck.read(self._table)
        while True:
            try:
                rowid, values = next(rows)
            except StopIteration:
                return
            except (sqlite3.DatabaseError, UnicodeDecodeError):
                self.whole = False
                return
            if rowid not in self.seen:
                self.seen.add(rowid)
                yield rowid, values


class Wreck:
    """What *source* still holds.  *fresh* is an empty database of this version's schema.

    Memory holds the numbers of one table's rows at most; what the page scan finds is sorted in a file beside the copy.
    """

    def __init__(self, source: Source, fresh: sqlite3.Connection) -> None:
        self._copy = source.copy
        self._version = _version(fresh)
        names = fresh.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*'")
        self._columns = {name: _columns(fresh, name) for (name,) in names.fetchall()}
        self._connection = sqlite3.connect(self._copy, isolation_level=None)
        self._found = {name: self._own(name) or columns for name, columns in self._columns.items()}
        self._sorted: sqlite3.Connection | None = None

    def close(self) -> None:
        for connection in (self._connection, self._sorted):
            with suppress(sqlite3.DatabaseError):
                if connection is not None:
                    connection.close()

    def columns(self, table: str) -> list[str]:
        return [column.name for column in self._columns[table]]

    def shared(self, table: str) -> list[str]:
        """The columns that both have; of an older version some are missing, of a newer one there are others."""
        found = {column.name for column in self._found[table]}
        return [name for name in self.columns(table) if name in found]

    def has_rowid_column(self, table: str) -> bool:
        return any(column.is_rowid for column in self._columns[table])

    def rows(self, table: str) -> Rows:
        return Rows(self, table)

    def read(self, table: str) -> Iterator[tuple[int, list[Value]]]:
        """(rowid, values by `columns`) as SQLite reads them; raises where it cannot."""
        if not self._own(table):
            if self._is_older(table):
                return
            raise sqlite3.DatabaseError(f"no such table: {table}")
        wanted = ", ".join(f'"{name}"' if name in self.shared(table) else "NULL" for name in self.columns(table))
        for rowid, *values in self._connection.execute(f'SELECT rowid, {wanted} FROM "{table}"'):
            yield rowid, values

    def scanned(self, table: str) -> Iterator[tuple[int, list[Value]]]:
        """The same from the pages alone; of a row that stands twice in the file, both."""
        found = self._scan()
        columns = self._found[table]
        places = {column.name: place for place, column in enumerate(columns, 2)}
        for row in found.execute(f'SELECT * FROM "{table}" ORDER BY number, place'):
            yield row[1], [row[places[name]] if name in places else None for name in self.columns(table)]

    def indexed(self, table: str) -> set[int]:
        """The numbers of all rows that an index tells of."""
        found: set[int] = set()
        for name in self.columns(table):
            for index in self._indexes(table, name):
                with suppress(sqlite3.DatabaseError):
                    for row in self._connection.execute(f'SELECT rowid FROM "{table}" INDEXED BY "{index}"'):
                        found.add(row[0])
        return found

    def identities(self, table: str, known: set[int], *names: str) -> dict[int, dict[str, Value]]:
        """rowid -> what the indexes of *table* alone say of these columns, of rows that are not *known*."""
        found: dict[int, dict[str, Value]] = {}
        for name in names:
            for index in self._indexes(table, name):
                with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
                    for rowid, value in self._connection.execute(
                        f'SELECT rowid, "{name}" FROM "{table}" INDEXED BY "{index}"'
                    ):
                        if rowid not in known:
                            found.setdefault(rowid, {})[name] = value
        return found

    def _own(self, table: str) -> list[Column]:
        """The columns that the damaged file says *table* has; empty where it says nothing."""
        with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
            return _columns(self._connection, table)
        return []

    def _is_older(self, table: str) -> bool:
        """Whether *table* is missing because the file is of a version that had none, and not by damage."""
        with suppress(sqlite3.DatabaseError):
            return 0 < _version(self._connection) < self._version
        return False

    def _indexes(self, table: str, column: str) -> list[str]:
        """Whole indexes that begin with *column*."""
        found: list[str] = []
        with suppress(sqlite3.DatabaseError):
            for row in self._connection.execute(f'PRAGMA index_list("{table}")').fetchall():
                columns = self._connection.execute(f'PRAGMA index_info("{row[1]}")').fetchall()
                if not row[4] and columns and columns[0][2] == column:
                    found.append(row[1])
        return found

    def _scan(self) -> sqlite3.Connection:
        """Every row in the file's leaves under the one table that it fits; read once, kept in a file."""
        if self._sorted is not None:
            return self._sorted
        self._sorted = sqlite3.connect(f"{self._copy}-sorted", isolation_level=None)
        self._sorted.execute("PRAGMA journal_mode=OFF").fetchone()
        self._sorted.execute("PRAGMA synchronous=OFF")
        self._sorted.execute("BEGIN")
        statements: dict[str, str] = {}
        for name, columns in self._found.items():
            places = [f"c{place}" for place in range(len(columns))]
            self._sorted.execute(f'CREATE TABLE "{name}" (place INTEGER PRIMARY KEY, number, {", ".join(places)})')
            marks = ", ".join("?" * (len(columns) + 1))
            statements[name] = f'INSERT INTO "{name}" (number, {", ".join(places)}) VALUES ({marks})'
        if self._copy.stat().st_size:
            with self._copy.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
                for rowid, values in pages.leaf_rows(data):
                    fitting = [name for name, columns in self._found.items() if _fits(columns, values)]
                    if len(fitting) == 1:
                        self._sorted.execute(
                            statements[fitting[0]], [rowid, *_named(self._found[fitting[0]], rowid, values)]
                        )
        self._sorted.execute("COMMIT")
        return self._sorted


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _columns(connection: sqlite3.Connection, table: str) -> list[Column]:
    rows = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    single = sum(1 for row in rows if row[5]) == 1
    return [
        Column(row[1], row[2], bool(row[3] or row[5]), bool(row[5] and single and row[2] == "INTEGER")) for row in rows
    ]


def _named(columns: Sequence[Column], rowid: int, values: Sequence[Value]) -> list[Value]:
    return [rowid if column.is_rowid else value for column, value in zip(columns, values, strict=True)]


def _fits(columns: Sequence[Column], values: Sequence[Value]) -> bool:
    """Whether *values* are a row of the STRICT table with *columns*; its number is stored as NULL (section 2.3)."""
    return len(columns) == len(values) and all(
        value is None if column.is_rowid else _holds(column, value)
        for column, value in zip(columns, values, strict=True)
    )


def _holds(column: Column, value: Value) -> bool:
    return not column.required if value is None else isinstance(value, _KINDS.get(column.kind, object))

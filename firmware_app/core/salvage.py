"""Save the rows of a damaged database: read by SQLite where it can, and page by page where it cannot.

The box and the hospital rebuild their databases with it.
"""

from __future__ import annotations

import mmap
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core import sqlite_format
from firmware_app.core.sqlite_format import Row, Value

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {"INTEGER": int, "REAL": (float, int), "TEXT": str, "BLOB": bytes}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a STRICT table."""

    name: str
    kind: str
    required: bool
    is_rowid: bool


class DamagedCopy:
    """A copy of a damaged *database* at *path*, with the commits that SQLite uses from its log.

    The original is not changed.  `unused_commits` counts the commits in the log that SQLite ignores; see `wal`.
    """

    def __init__(self, database: Path, path: Path) -> None:
        self.path = path
        self.unused_commits = 0
        path.touch(0o660)
        if database.exists():
            shutil.copyfile(database, path)
        log = database.with_name(database.name + "-wal")
        if log.exists():
            shutil.copyfile(log, path.with_name(path.name + "-wal"))
            self._take_log(log)

    def _take_log(self, log: Path) -> None:
        with self.path.open("r+b") as file:
            if file.read(16) != sqlite_format.MAGIC:  # without a valid header SQLite would not read the log
                file.seek(0)
                file.write(_header())
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA user_version").fetchone()  # opens the log, and needs no table
            self.unused_commits = sqlite_format.count_ignored_commits(self.path, log)
        # When the last connection closes, SQLite writes the log into the file.


def _header() -> bytes:
    """The first 100 bytes of a database in WAL mode.  Its two counters differ, so SQLite uses the size of the file."""
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.execute("PRAGMA user_version=1")
        header = bytearray(empty.serialize()[:100])
    header[18:20], header[60:64] = b"\2\2", bytes(4)
    header[24:28], header[92:96] = b"\0\0\0\2", b"\0\0\0\1"
    return bytes(header)


class TableRows:
    """The remaining rows of one table, with the columns of the empty database.

    After the iteration, `seen` holds the rowids, and `is_whole` says whether SQLite read the table to its end.
    """

    def __init__(self, wreck: DamagedDatabase, table: str) -> None:
        self._wreck, self._table = wreck, table
        self.seen: set[int] = set()
        self.is_whole = True

    def __iter__(self) -> Iterator[Row]:
        yield from self._read()
        if not self.is_whole:
            for rowid, values in self._wreck.scanned(self._table):
                if self._is_new(rowid):
                    yield rowid, values

    def _is_new(self, rowid: int | None) -> bool:
        if rowid is None:  # a table WITHOUT ROWID: its primary key prevents duplicates
            return True
        is_new = rowid not in self.seen
        self.seen.add(rowid)
        return is_new

    def _read(self) -> Iterator[Row]:
        rows = self._wreck.read(self._table)
        while True:
            try:
                rowid, values = next(rows)
            except StopIteration:
                return
            except (sqlite3.DatabaseError, UnicodeDecodeError):
                self.is_whole = False
                return
            if self._is_new(rowid):
                yield rowid, values


class DamagedDatabase:
    """The rows that a copy of a damaged database still holds.  *fresh* is an empty database with this version's schema.

    At most the rowids of one table are in memory; the rows found in the pages are kept in a file beside the copy.
    """

    def __init__(self, damaged: DamagedCopy, fresh: sqlite3.Connection) -> None:
        self._path = damaged.path
        self._version = _schema_version(fresh)
        tables = fresh.execute("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
        self._without_rowid = {name: bool(flag) for name, flag in tables if not name.startswith("sqlite_")}
        self._columns = {name: _read_columns(fresh, name) for name in self._without_rowid}
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._stored = {name: self._own(name) or columns for name, columns in self._columns.items()}
        self._scan: sqlite3.Connection | None = None

    def close(self) -> None:
        for connection in (self._connection, self._scan):
            with suppress(sqlite3.DatabaseError):
                if connection is not None:
                    connection.close()

    @property
    def tables(self) -> list[str]:
        return list(self._columns)

    def columns(self, table: str) -> list[str]:
        return [column.name for column in self._columns[table]]

    def shared(self, table: str) -> list[str]:
        """The columns in both databases; an older version lacks some, a newer one has more."""
        stored = {column.name for column in self._stored[table]}
        return [name for name in self.columns(table) if name in stored]

    def has_hidden_rowid(self, table: str) -> bool:
        return not self._without_rowid[table] and not any(column.is_rowid for column in self._columns[table])

    def rows(self, table: str) -> TableRows:
        return TableRows(self, table)

    def read(self, table: str) -> Iterator[Row]:
        """(rowid, values by `columns`) as SQLite reads them; raises `sqlite3.Error` where it cannot."""
        if not self._own(table):
            if self._is_older(table):
                return
            raise sqlite3.DatabaseError(f"no such table: {table}")
        wanted = ", ".join(f'"{name}"' if name in self.shared(table) else "NULL" for name in self.columns(table))
        rowid = "NULL" if self._without_rowid[table] else "rowid"
        for number, *values in self._connection.execute(f'SELECT {rowid}, {wanted} FROM "{table}" NOT INDEXED'):
            yield number, values

    def scanned(self, table: str) -> Iterator[Row]:
        """The same, read from the pages alone; both copies of a row that is in the file twice."""
        columns = self._stored[table]
        places = {column.name: place for place, column in enumerate(columns, 2)}
        for row in self._scanned_pages().execute(f'SELECT * FROM "{table}" ORDER BY number, place'):
            yield row[1], [row[places[name]] if name in places else None for name in self.columns(table)]

    def indexed(self, table: str) -> set[int]:
        """The rowids of all rows that any index has."""
        rowids: set[int] = set()
        if self._without_rowid[table]:
            return rowids
        for name in self.columns(table):
            for index in self._indexes(table, name):
                with suppress(sqlite3.DatabaseError):
                    for row in self._connection.execute(f'SELECT rowid FROM "{table}" INDEXED BY "{index}"'):
                        rowids.add(row[0])
        return rowids

    def identities(self, table: str, known: set[int], *names: str) -> dict[int, dict[str, Value]]:
        """rowid -> the values of the columns *names* in the indexes of *table*, for rows that are not *known*."""
        identities: dict[int, dict[str, Value]] = {}
        for name in names:
            for index in self._indexes(table, name):
                with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
                    for rowid, value in self._connection.execute(
                        f'SELECT rowid, "{name}" FROM "{table}" INDEXED BY "{index}"'
                    ):
                        if rowid not in known:
                            identities.setdefault(rowid, {})[name] = value
        return identities

    def _own(self, table: str) -> list[Column]:
        """The columns of *table* in the schema of the damaged file; empty where it has none."""
        with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
            return _read_columns(self._connection, table)
        return []

    def _is_older(self, table: str) -> bool:
        """Whether *table* is missing because the file has an older version, and not because of damage."""
        with suppress(sqlite3.DatabaseError):
            return 0 < _schema_version(self._connection) < self._version
        return False

    def _indexes(self, table: str, column: str) -> list[str]:
        """Undamaged indexes whose first column is *column*."""
        indexes: list[str] = []
        with suppress(sqlite3.DatabaseError):
            for row in self._connection.execute(f'PRAGMA index_list("{table}")').fetchall():
                columns = self._connection.execute(f'PRAGMA index_info("{row[1]}")').fetchall()
                if not row[4] and columns and columns[0][2] == column:
                    indexes.append(row[1])
        return indexes

    def _scanned_pages(self) -> sqlite3.Connection:
        """A database with every row in the file's pages, under the one table that it fits; read once."""
        if self._scan is not None:
            return self._scan
        self._scan = scan = sqlite3.connect(f"{self._path}-sorted", isolation_level=None)
        scan.execute("PRAGMA journal_mode=OFF").fetchone()
        scan.execute("PRAGMA synchronous=OFF")
        scan.execute("BEGIN")
        statements: dict[str, str] = {}
        for name, columns in self._stored.items():
            places = ", ".join(f"c{place}" for place in range(len(columns)))
            scan.execute(f'CREATE TABLE "{name}" (place INTEGER PRIMARY KEY, number, {places})')
            marks = ", ".join("?" * (len(columns) + 1))
            statements[name] = f'INSERT INTO "{name}" (number, {places}) VALUES ({marks})'
        if self._path.stat().st_size:
            with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
                for rowid, values in sqlite_format.read_rows(data, without_rowid=any(self._without_rowid.values())):
                    fitting = [
                        name
                        for name, columns in self._stored.items()
                        if self._without_rowid[name] == (rowid is None) and _values_fit(columns, values)
                    ]
                    if len(fitting) == 1:
                        stored = _with_rowid(self._stored[fitting[0]], rowid, values)
                        scan.execute(statements[fitting[0]], [rowid, *stored])
        scan.execute("COMMIT")
        return scan


RowCheck = Callable[[Sequence[Value]], object]
"""Raises `ValueError` for values that SQLite would take and the caller could not use."""


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """What was copied of one table: the number of rows, their rowids, and the least number of rows that it had."""

    count: int
    rowids: set[int]
    known: int
    is_damaged: bool  # the table may have had more rows


def copy_table(
    wreck: DamagedDatabase, table: str, connection: sqlite3.Connection, check: RowCheck | None = None
) -> CopiedTable:
    """Copy the remaining rows of *table* into the same table of *connection*, with the same rowids.

    A row that SQLite or *check* refuses is left out.
    """
    columns = wreck.shared(table)
    places = [wreck.columns(table).index(column) for column in columns]
    numbered = wreck.has_hidden_rowid(table)
    statement = insert_statement(table, ["rowid", *columns] if numbered else columns)
    rows = wreck.rows(table)
    count = 0
    kept: set[int] = set()
    for rowid, values in rows:
        try:
            if check is not None:
                check(values)
            row = [values[place] for place in places]
            if connection.execute(statement, [rowid, *row] if numbered else row).rowcount:
                count += 1
                if rowid is not None:
                    kept.add(rowid)
        except (ValueError, TypeError, OverflowError, sqlite3.IntegrityError):  # the row is partly overwritten
            continue
    known = max(count, len(rows.seen | wreck.indexed(table)))
    return CopiedTable(count, kept, known, not rows.is_whole or known > count)


def insert_statement(table: str, columns: Sequence[str]) -> str:
    """The statement that inserts a row into *table*, unless it is already there or violates a constraint."""
    return f'INSERT OR IGNORE INTO "{table}" ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})'


def _schema_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _read_columns(connection: sqlite3.Connection, table: str) -> list[Column]:
    rows = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    single = sum(1 for row in rows if row[5]) == 1
    return [
        Column(row[1], row[2], bool(row[3] or row[5]), bool(row[5] and single and row[2] == "INTEGER")) for row in rows
    ]


def _with_rowid(columns: Sequence[Column], rowid: int | None, values: Sequence[Value]) -> list[Value]:
    return [rowid if column.is_rowid else value for column, value in zip(columns, values, strict=True)]


def _values_fit(columns: Sequence[Column], values: Sequence[Value]) -> bool:
    """Whether *values* fit the STRICT table with *columns*; an INTEGER PRIMARY KEY is stored as NULL (section 2.3)."""
    return len(columns) == len(values) and all(
        value is None if column.is_rowid else _value_fits(column, value)
        for column, value in zip(columns, values, strict=True)
    )


def _value_fits(column: Column, value: Value) -> bool:
    return not column.required if value is None else isinstance(value, _TYPES.get(column.kind, object))

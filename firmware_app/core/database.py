"""One SQLite file, opened in the box's one way: WAL, synchronous=FULL, foreign keys, one writer at a time.

A second Unix user can only write a WAL database whose file was made 0660 in a setgid directory *before* SQLite
first opened it (-wal and -shm copy its mode), so `create` makes the empty file itself.

`GroupCommit` writes for several threads in one COMMIT.  A COMMIT waits for the disk.  Eight senders would wait for
eight COMMITs in a row, and for SQLite's pauses between retries.  So one thread writes for all threads that are waiting.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from firmware_app.core import database_health, locks
from firmware_app.core.errors import STORE_NOT_READY, STORE_TOO_OLD, StoreError, StoreTooNew
from firmware_app.core.schema import Schema
from firmware_app.core.state_dir import make_directory, sync_directory

_BUSY_MS = 15_000


class _Cursor(sqlite3.Cursor):
    """Leaves a note when SQLite reports damage, even if the caller later ignores the error."""

    connection: _Connection

    def execute(self, *arguments: Any) -> _Cursor:
        try:
            return super().execute(*arguments)
        except sqlite3.DatabaseError as error:
            self.connection.note_damage(error)
            raise

    def executemany(self, *arguments: Any) -> _Cursor:
        try:
            return super().executemany(*arguments)
        except sqlite3.DatabaseError as error:
            self.connection.note_damage(error)
            raise

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            self.connection.note_damage(error)
            raise

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            self.connection.note_damage(error)
            raise

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.DatabaseError as error:
            self.connection.note_damage(error)
            raise


class _Connection(sqlite3.Connection):
    """A connection whose cursors note damage."""

    path: Path

    def cursor(self, factory: object = None) -> Any:
        return super().cursor(_Cursor)

    def execute(self, *arguments: Any) -> sqlite3.Cursor:  # sqlite3's own makes a cursor of its own kind
        return super().cursor(_Cursor).execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        return super().cursor(_Cursor).executemany(*arguments)

    def __del__(self) -> None:
        """Closed with whoever held it: a thread that has ended, a `Database` that is gone (3.13 warns of others)."""
        with suppress(sqlite3.ProgrammingError):  # it could not be opened
            self.close()

    def note_damage(self, error: sqlite3.DatabaseError) -> None:
        if database_health.is_damage(error):
            database_health.write_damage_note(self.path)


class Database:
    """Connections to one file, one per thread.  `transaction` is BEGIN IMMEDIATE … COMMIT, durable on return.

    The first connection raises `STORE_DAMAGED` while the file waits to be rebuilt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._opened_lock = threading.Lock()
        self._seat: locks.SharedLock | None = None  # among those that have the file open

    def create(self, schema: Schema) -> None:
        """Make the file, or upgrade that of an earlier version.

        The lowest version whose code may use the file is kept in it, as SQLite's application_id.  A later version's
        file that this code may use stays as it is.  Raises `StoreVersionError` for any other, and for one that is too
        old.
        """
        make_directory(self.path.parent)
        if not self.path.exists():
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
            try:
                os.fchmod(descriptor, 0o660)
            finally:
                os.close(descriptor)
            sync_directory(self.path.parent)
        self.connection.execute("PRAGMA journal_mode=WAL").fetchone()
        self.connection.execute("PRAGMA foreign_keys=OFF")  # it has no effect within a transaction
        try:
            with self.transaction() as connection:
                stored = self._require_usable(schema.version)
                if 0 < stored < schema.first:
                    raise STORE_TOO_OLD(database=self.path.name, version=schema.first_written_by)
                if stored < schema.version:
                    schema.upgrade(connection, stored)
                    connection.execute(f"PRAGMA user_version={schema.version:d}")
                    connection.execute(f"PRAGMA application_id={schema.least:d}")
        finally:
            self.connection.execute("PRAGMA foreign_keys=ON")

    def require(self, version: int) -> None:
        """Raise `STORE_NOT_READY` or `StoreTooNew` unless the file is there with schema *version*, or a later one that
        the code of *version* may use.
        """
        if not self.path.exists() or self._require_usable(version) < version:
            raise STORE_NOT_READY(database=self.path.name)

    def _require_usable(self, known: int) -> int:
        """The file's schema; raises `StoreTooNew` when the code of schema *known* may not use it."""
        stored: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if stored > known and not may_use_schema(known, self.connection.execute("PRAGMA application_id").fetchone()[0]):
            raise StoreTooNew(database=self.path.name, found=stored, known=known)
        return stored

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection; in autocommit, so that only `transaction` opens transactions."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with self._opened_lock:
                if self._seat is None:
                    self._seat = locks.SharedLock(self.path)
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False, factory=_Connection
            )
            connection.path = self.path
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            self._local.connection = connection
            with self._opened_lock:
                self._opened.append(connection)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction that is on the disk when the block ends, and undone when it raises."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:  # also KeyboardInterrupt, also a COMMIT that failed: no transaction is ever left open
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def read_change_mark(self) -> int:
        """A number that differs after any other connection committed (PRAGMA data_version, about 4 µs)."""
        mark: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
        return mark

    def close_thread(self) -> None:
        """Close this thread's connection, when the thread is about to end."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            with self._opened_lock:
                self._opened.remove(connection)
            connection.close()

    def close(self) -> None:
        """Close every thread's connection."""
        with self._opened_lock:
            while self._opened:
                self._opened.pop().close()
            if self._seat is not None:
                self._seat.close()
                self._seat = None
        self._local = threading.local()


def may_use_schema(known: int, least: int) -> bool:
    """Whether the code of schema *known* may read and write a later file that says *least*; 0: it says nothing."""
    return 0 < least <= known


Result = TypeVar("Result")
Write = Callable[[sqlite3.Connection], Result]


class GroupCommit:
    """The common transactions of one process on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._waiting: deque[_PendingWrite[Any]] = deque()

    def write(self, write: Write[Result]) -> Result:
        """What *write* returns, which is on the disk then.

        It may run in another thread, on that thread's `Database.connection`.  An error that it raises undoes only this
        write.  If the transaction itself fails, nothing is written and every thread raises the error.  An error that is
        not of the database or the store (no memory, an order to end) is raised unchanged in the thread where it arose,
        and in the others as a `sqlite3.DatabaseError`.
        """
        mine = _PendingWrite(write)
        self._waiting.append(mine)
        try:
            with self._turn:
                if not mine.ended:
                    self._carry_out()
        finally:
            mine.ended = True  # the thread was interrupted while it waited: its write is cancelled
        return mine.result()

    def _carry_out(self) -> None:
        parts: list[_PendingWrite[Any]] = []
        try:
            while self._waiting:
                part = self._waiting.popleft()
                if not part.ended:
                    parts.append(part)
            with self._database.transaction() as connection:
                for part in parts:
                    part.run(connection)
            for part in parts:
                part.committed = True
        except BaseException as error:  # the transaction is undone, and every waiting thread must get the error
            own = isinstance(error, sqlite3.Error | StoreError)
            reason = error if own else sqlite3.DatabaseError(f"the common transaction ended: {type(error).__name__}")
            for part in parts:
                if part.error is None:
                    part.error = reason
            if not own:
                raise
        finally:
            for part in parts:
                part.ended = True


class _PendingWrite(Generic[Result]):
    """One thread's part of a common transaction."""

    def __init__(self, write: Write[Result]) -> None:
        self._write = write
        self._results: list[Result] = []
        self.error: BaseException | None = None
        self.committed = False
        self.ended = False

    def run(self, connection: sqlite3.Connection) -> None:
        """Write this part, or undo it and keep the error; raises only when the whole transaction is lost."""
        connection.execute("SAVEPOINT part")
        try:
            self._results.append(self._write(connection))
        except Exception as error:  # raised in the thread that it belongs to
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO part")
            self.error = error
        connection.execute("RELEASE part")

    def result(self) -> Result:
        """The result of the write, or raises its error.  There is a result only after a successful COMMIT."""
        if self.error is not None:
            raise self.error
        if not self.committed:
            raise sqlite3.DatabaseError("the common transaction did not reach its end")
        return self._results[0]

"""One COMMIT for the writes of several threads (group commit).

A COMMIT waits for the disk.  Eight senders would wait for eight COMMITs in a row, and for SQLite's pauses between
retries.  So one thread writes for all threads that are waiting.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from firmware_app.core.errors import StoreError
from firmware_app.core.sqlite.database import Database

Result = TypeVar("Result")
Write = Callable[[sqlite3.Connection], Result]


class Together:
    """The common transactions of one process on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._waiting: deque[_Part[Any]] = deque()

    def write(self, write: Write[Result]) -> Result:
        """What *write* returns, which is on the disk then.

        It may run in another thread, on that thread's `Database.connection`.  An error that it raises undoes only this
        write.  If the transaction itself fails, nothing is written and every thread raises the error.  An error that is
        not of the database or the store (no memory, an order to end) is raised unchanged in the thread where it arose,
        and in the others as a `sqlite3.DatabaseError`.
        """
        mine = _Part(write)
        self._waiting.append(mine)
        try:
            with self._turn:
                if not mine.ended:
                    self._carry_out()
        finally:
            mine.ended = True  # the thread was interrupted while it waited: its write is cancelled
        return mine.result()

    def _carry_out(self) -> None:
        parts: list[_Part[Any]] = []
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


class _Part(Generic[Result]):
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

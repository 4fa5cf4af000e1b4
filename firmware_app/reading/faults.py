"""Faults of the appliance: each is logged once, and a write that the database refuses is retried.

With the retry a full disk or a locked database does not make the reader give up an image.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from firmware_app.core.database import Database
from firmware_app.core.state_dir import StateDir

log = logging.getLogger("lantern.reader")


class FaultLog:
    """The sentences logged since there was last no fault."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def report(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.error("%s", sentence)

    def reset(self) -> None:
        """All is well: the next fault is news, also when it is the same one."""
        self._said.clear()


Written = TypeVar("Written")

PAUSE_SECONDS: Final = 1.0
_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})  # a full disk shows as either
_PASSING: Final = _NO_ROOM | {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class WriteStopped(Exception):
    """The process is to end, and what it was to write is not written."""


class WriteRetry:
    """Carries writes out.  With *stop* it waits as long as it takes, or until then; without, it fails at once."""

    def __init__(self, state: StateDir, database: Database, stop: threading.Event | None) -> None:
        self._state, self._database, self._stop = state, database, stop
        self._faults = FaultLog()

    def execute(self, write: Callable[[], Written]) -> Written:
        """What *write*, one transaction, returns once it is on the disk; raises `WriteStopped`.

        The ballast is given up for it: a reading that cannot be stored is what it is kept for.
        """
        while True:
            try:
                done = write()
            except sqlite3.OperationalError as error:
                self._wait(error)
            else:
                self._faults.reset()
                return done

    def _wait(self, error: sqlite3.OperationalError) -> None:
        code = error.sqlite_errorcode & 0xFF  # without SQLite's extension of it
        if self._stop is None or code not in _PASSING:
            raise error
        if self._database.connection.in_transaction:  # a COMMIT that failed may leave it open
            self._database.connection.execute("ROLLBACK")
        self._faults.report(f"the database cannot be written ({error.sqlite_errorname}); the reader waits")
        if code in _NO_ROOM:
            with suppress(OSError):
                self._state.release_ballast()
        if self._stop.wait(PAUSE_SECONDS):
            raise WriteStopped

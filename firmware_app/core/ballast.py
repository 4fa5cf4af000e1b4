"""Uses the reserved disk space: on a full disk it is released, so that the databases can still be written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

from firmware_app.core.state_dir import StateDir

Done = TypeVar("Done")
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


def with_ballast(state: StateDir, work: Callable[[], Done]) -> Done:
    """The result of *work*; if the disk is too full, the ballast is released and *work* is tried again."""
    try:
        return work()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _FULL or not state.release_ballast():
            raise
        return work()

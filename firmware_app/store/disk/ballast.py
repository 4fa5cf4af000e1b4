"""What the reserved space is for: on a full disk, the databases can still be written once it is given up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

from firmware_app.store.disk.layout import StateDir

Done = TypeVar("Done")
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


def with_ballast(state: StateDir, work: Callable[[], Done]) -> Done:
    """What *work* returns; where the disk is too full for it, the ballast is given up and it is tried again."""
    try:
        return work()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _FULL or not state.release_ballast():
            raise
        return work()

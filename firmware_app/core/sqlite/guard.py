"""Locks a database against being opened while it is rebuilt, and against being rebuilt while it is open.

A process that opens a database holds a shared lock on the file ``….db-lock`` beside it; a rebuild holds an exclusive
lock.  The kernel frees both when the process dies.  The lock is on a separate file, because closing a second descriptor
of the database itself would drop SQLite's own locks.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from firmware_app.core import disk_fault, lockfile
from firmware_app.core.errors import StoreDamaged, StoreError, StoreLookedAt
from firmware_app.core.lockfile import NoLocks as NoLocks  # also for those who ask who is `alone`
from firmware_app.core.sqlite import clean_mark, damage

log = logging.getLogger("lantern.store")

_PATIENCE_S: Final = 15.0  # enough for the check or the rebuild of a small box's database


class Seat:
    """A shared lock on *database* while it is open, until it is closed or garbage-collected.

    Raises `StoreDamaged` while the database is noted as damaged, `StoreLookedAt` while another process checks it, and a
    `StoreError` (see `fault.named`).  On a read-only disk, or a file system without locks, nothing is held; no rebuild
    happens there either.
    """

    def __init__(self, database: Path) -> None:
        self._descriptor = _open(database)
        try:
            locked = self._descriptor is None or lockfile.lock(self._descriptor, fcntl.LOCK_SH, _PATIENCE_S)
        except NoLocks:
            locked = True
        except OSError as error:
            self.close()
            raise _unusable(database, error) from None
        if damage.noted(database):
            self.close()
            raise StoreDamaged(database=database.name)
        if not locked:
            self.close()
            raise StoreLookedAt(database=database.name)
        try:
            clean_mark.unmark(database)
        except OSError as error:
            self.close()
            raise _unusable(database, error) from None

    def close(self) -> None:
        descriptor, self._descriptor = getattr(self, "_descriptor", None), None
        if descriptor is not None:
            os.close(descriptor)

    __del__ = close


@contextmanager
def alone(database: Path, seconds: float, stop: threading.Event | None = None) -> Iterator[bool]:
    """Whether nobody else has *database* open, after waiting *seconds* or until *stop*; if so, nobody can open it until
    the block ends.

    Raises `NoLocks` where this cannot be known, and a `StoreError` (see `fault.named`).
    """
    descriptor = _open(database)
    if descriptor is None:
        yield False
        return
    try:
        try:
            taken = lockfile.lock(descriptor, fcntl.LOCK_EX, 0.0, stop)
            if not taken and seconds:
                log.warning("%s is still open in %s", database.name, lockfile.holders(descriptor) or "another process")
                taken = lockfile.lock(descriptor, fcntl.LOCK_EX, seconds, stop)
        except OSError as error:
            raise _unusable(database, error) from None
        yield taken
    finally:
        os.close(descriptor)


def _open(database: Path) -> int | None:
    try:
        return lockfile.opened(database.with_name(database.name + "-lock"))
    except OSError as error:
        raise _unusable(database, error) from None


def _unusable(database: Path, error: OSError) -> StoreError:
    return disk_fault.named(database.parent, error)

"""Find what is wrong with the disk of the state directory: it is full, read-only, or reports errors.

SQLite reports all three as an I/O error or as a file that it cannot open, so the disk itself is checked.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from firmware_app.core.errors import (
    DISK_FAILING,
    DISK_READ_ONLY,
    STORE_UNREADABLE,
    DiskFull,
    DiskTrouble,
    StateUnusable,
    StoreError,
)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FAILING: Final = frozenset({errno.EIO, errno.EUCLEAN, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO})
_ASK: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_OF_THE_DISK: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_FSTAT,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    }
)
_PROBE_BYTES: Final = 4096


def free_bytes(folder: Path) -> int:
    """Bytes that an unprivileged writer may still use on the file system of *folder*."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def classify_disk_error(folder: Path, error: OSError | sqlite3.Error) -> StoreError:
    """*error*, raised on the disk of *folder*, as a `DiskTrouble` if it shows one; else as `StateUnusable` or
    `STORE_UNREADABLE` with the system's message."""
    problem = _classify_known_error(folder, error)
    if problem is not None:
        return problem
    if isinstance(error, OSError):
        return StateUnusable(path=str(folder), detail=error.strerror or str(error))
    return STORE_UNREADABLE(detail=str(error))


def find_disk_trouble(folder: Path, limit_mb: int, *, writes: bool = True) -> DiskTrouble | None:
    """Why the disk of *folder* cannot take an image; less than *limit_mb* free counts too.

    With *writes*, a few kB are written to an unnamed file; None also where this process may not do that.
    """
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return DISK_READ_ONLY(path=str(folder))
        free_mb = free_bytes(folder) // 1_000_000
        if free_mb < limit_mb:
            return DiskFull(path=str(folder), free_mb=free_mb)
        if writes:
            _try_write(folder)
        return None
    except OSError as error:
        return _classify_known_error(folder, error)


def _classify_known_error(folder: Path, error: OSError | sqlite3.Error) -> DiskTrouble | None:
    with suppress(OSError):
        if isinstance(error, OSError):
            return _classify_errno(folder, error.errno, error.strerror)
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF == sqlite3.SQLITE_FULL:
            return _classify_errno(folder, errno.ENOSPC, None)
        if code & 0xFF in _ASK:
            problem = find_disk_trouble(folder, 1)
            return problem or (DISK_FAILING(path=str(folder), detail=str(error)) if code in _OF_THE_DISK else None)
    return None


def _classify_errno(folder: Path, number: int | None, words: str | None) -> DiskTrouble | None:
    if number in _FULL:
        return DiskFull(path=str(folder), free_mb=free_bytes(folder) // 1_000_000)
    if number == errno.EROFS:
        return DISK_READ_ONLY(path=str(folder))
    if number in _FAILING:
        return DISK_FAILING(path=str(folder), detail=words or str(number))
    return None


def _try_write(folder: Path) -> None:
    descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, bytes(_PROBE_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

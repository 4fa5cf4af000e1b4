"""Lock files: the kernel frees a lock whenever its holder dies.

A process that opens a database holds a shared lock on the file ``….db-lock`` beside it; a rebuild holds an exclusive
lock.  So no database is opened while it is rebuilt, and none is rebuilt while it is open.  The lock is on a separate
file, because closing a second descriptor of the database itself would drop SQLite's own locks.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from firmware_app.core import database_health, disk
from firmware_app.core.errors import STORE_DAMAGED, STORE_LOOKED_AT, StoreError

_RETRY_S: Final = 0.02
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class NoLocks(Exception):
    """The file system of the state directory has no locks, so it is unknown who holds a file."""


def open_lock_file(path: Path) -> int | None:
    """A descriptor of the file, made if need be; None on a read-only disk.  Raises `OSError`.

    Other users may write its folder, and root opens it too, so no link is followed.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    except OSError as error:
        if error.errno == errno.EROFS:
            return None
        raise
    if os.fstat(descriptor).st_uid == os.geteuid():
        with suppress(OSError):  # an old lock file on a disk that became read-only
            os.fchmod(descriptor, 0o660)  # whatever the umask: the other users of the group lock it too
    return descriptor


def acquire_lock(descriptor: int, kind: int, seconds: float, stop: threading.Event | None = None) -> bool:
    """Whether a lock of this *kind* was acquired within *seconds* and before *stop*; raises `NoLocks` and `OSError`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline or (stop is not None and stop.is_set()):
                return False
            time.sleep(_RETRY_S)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise NoLocks from None
            raise
        else:
            return True


@contextmanager
def hold_lock(path: Path, seconds: float = 0.0) -> Iterator[bool]:
    """Whether the lock file *path* was locked within *seconds*, until the block ends; also where there are no locks.
    Raises `OSError`.
    """
    descriptor = open_lock_file(path)
    if descriptor is None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
    try:
        try:
            taken = acquire_lock(descriptor, fcntl.LOCK_EX, seconds)
        except NoLocks:
            taken = True
        yield taken
    finally:
        os.close(descriptor)


def describe_holders(descriptor: int) -> str:
    """The processes that hold a lock on the open file, from the kernel; empty where it does not say."""
    status = os.fstat(descriptor)
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    names: list[str] = []
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            fields = line.split()
            if "FLOCK" in fields and wanted in fields and "->" not in fields:
                pid = fields[fields.index(wanted) - 1]
                with suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    names.append(f"process {pid} ({words.strip()[-80:]})")
    return ", ".join(names)


# also for those who ask who is `lock_exclusively`

log = logging.getLogger("lantern.store")

_PATIENCE_S: Final = 15.0  # enough for the check or the rebuild of a small box's database


class SharedLock:
    """A shared lock on *database* while it is open, until it is closed or garbage-collected.

    Raises `STORE_DAMAGED` while the database is noted as damaged, `STORE_LOOKED_AT` while another process checks it,
    and a `StoreError` (see `fault.named`).  On a read-only disk, or a file system without locks, nothing is held; no
    rebuild happens there either.
    """

    def __init__(self, database: Path) -> None:
        self._descriptor = _open_database_lock(database)
        try:
            locked = self._descriptor is None or acquire_lock(self._descriptor, fcntl.LOCK_SH, _PATIENCE_S)
        except NoLocks:
            locked = True
        except OSError as error:
            self.close()
            raise _classify_lock_error(database, error) from None
        if database_health.has_damage_note(database):
            self.close()
            raise STORE_DAMAGED(database=database.name)
        if not locked:
            self.close()
            raise STORE_LOOKED_AT(database=database.name)
        try:
            database_health.remove_clean_mark(database)
        except OSError as error:
            self.close()
            raise _classify_lock_error(database, error) from None

    def close(self) -> None:
        descriptor, self._descriptor = getattr(self, "_descriptor", None), None
        if descriptor is not None:
            os.close(descriptor)

    __del__ = close


@contextmanager
def lock_exclusively(database: Path, seconds: float, stop: threading.Event | None = None) -> Iterator[bool]:
    """Whether nobody else has *database* open, after waiting *seconds* or until *stop*; if so, nobody can open it until
    the block ends.

    Raises `NoLocks` where this cannot be known, and a `StoreError` (see `fault.named`).
    """
    descriptor = _open_database_lock(database)
    if descriptor is None:
        yield False
        return
    try:
        try:
            taken = acquire_lock(descriptor, fcntl.LOCK_EX, 0.0, stop)
            if not taken and seconds:
                log.warning("%s is still open in %s", database.name, describe_holders(descriptor) or "another process")
                taken = acquire_lock(descriptor, fcntl.LOCK_EX, seconds, stop)
        except OSError as error:
            raise _classify_lock_error(database, error) from None
        yield taken
    finally:
        os.close(descriptor)


def _open_database_lock(database: Path) -> int | None:
    try:
        return open_lock_file(database.with_name(database.name + "-lock"))
    except OSError as error:
        raise _classify_lock_error(database, error) from None


def _classify_lock_error(database: Path, error: OSError) -> StoreError:
    return disk.classify_disk_error(database.parent, error)

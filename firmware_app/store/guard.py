"""Who has a database open: nobody opens one that is being rebuilt, and nobody rebuilds one that is open.

Whoever opens a database holds a shared lock on the file ``….db-lock`` beside it, whoever rebuilds it an exclusive one;
the kernel frees both on any death.  It is a file of its own, because closing a second descriptor of the database itself
would drop SQLite's own locks.
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

from firmware_app.errors import StateUnusable, StoreDamaged, StoreLookedAt
from firmware_app.store import damage, glance

log = logging.getLogger("lantern.store")

_PATIENCE_S: Final = 15.0  # a look at, or a rebuild of, a small box is over by then
_LOOK_S: Final = 0.02
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class NoLocks(Exception):
    """The file system of the state directory has no locks: who has a database open cannot be known."""


class Seat:
    """Among those that have *database* open, until it is closed or forgotten.

    Raises `StoreDamaged` while the database is noted as damaged, `StoreLookedAt` while somebody looks whether it is,
    and `StateUnusable` with the system's own reason.  On a read-only disk, and where a file system knows no locks,
    there is nothing to hold: nobody rebuilds there either.
    """

    def __init__(self, database: Path) -> None:
        self._descriptor = _open(database)
        try:
            locked = self._descriptor is None or _lock(self._descriptor, fcntl.LOCK_SH, _PATIENCE_S, None)
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
            glance.not_in_order(database)
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
    """Whether nobody else has *database* open, waiting *seconds* for it or until *stop*; if so nobody can, until the
    block ends.

    Raises `NoLocks` where that cannot be known, and `StateUnusable`.
    """
    descriptor = _open(database)
    if descriptor is None:
        yield False
        return
    try:
        try:
            taken = _lock(descriptor, fcntl.LOCK_EX, 0.0, stop)
            if not taken and seconds:
                log.warning("%s is still open in %s", database.name, _holders(descriptor) or "another process")
                taken = _lock(descriptor, fcntl.LOCK_EX, seconds, stop)
        except OSError as error:
            raise _unusable(database, error) from None
        yield taken
    finally:
        os.close(descriptor)


def _open(database: Path) -> int | None:
    path = database.with_name(database.name + "-lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    except OSError as error:
        if error.errno == errno.EROFS:
            return None
        raise _unusable(database, error) from None
    if os.fstat(descriptor).st_uid == os.geteuid():
        with suppress(OSError):  # an old lock file on a disk that became read-only
            os.fchmod(descriptor, 0o660)  # whatever the umask: the other users of the group lock it too
    return descriptor


def _lock(descriptor: int, kind: int, seconds: float, stop: threading.Event | None) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline or (stop is not None and stop.is_set()):
                return False
            time.sleep(_LOOK_S)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise NoLocks from None
            raise
        else:
            return True


def _holders(descriptor: int) -> str:
    """The processes that hold a lock on the open file, as the kernel names them; empty where it does not tell."""
    found = os.fstat(descriptor)
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    told: list[str] = []
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            fields = line.split()
            if "FLOCK" in fields and wanted in fields and "->" not in fields:
                pid = fields[fields.index(wanted) - 1]
                with suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    told.append(f"process {pid} ({words.strip()[-80:]})")
    return ", ".join(told)


def _unusable(database: Path, error: OSError) -> StateUnusable:
    return StateUnusable(path=str(database.parent), detail=error.strerror or str(error))

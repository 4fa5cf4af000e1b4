"""Lock files: the kernel frees the lock whenever its holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_LOOK_S: Final = 0.02
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class NoLocks(Exception):
    """The file system of the state directory has no locks, so it is unknown who holds a file."""


def opened(path: Path) -> int | None:
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


def lock(descriptor: int, kind: int, seconds: float, stop: threading.Event | None = None) -> bool:
    """Whether a lock of this *kind* was acquired within *seconds* and before *stop*; raises `NoLocks` and `OSError`."""
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


def holders(descriptor: int) -> str:
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

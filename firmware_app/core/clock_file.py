"""The memory of time on the disk: one small file, replaced atomically and merged under a lock without long waits."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import select
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core.clock_memory import ClockMemory
from firmware_app.core.state_dir import clear_away, put_in_place

log = logging.getLogger("lantern.clock")

_MODE: Final = 0o660
_MOST_BYTES: Final = 4096
_TRIES: Final = 40
_TRY_MS: Final = 25


@dataclass(frozen=True, slots=True)
class ClockFile:
    """The file at *path*; *copy* is written with it for processes that may not open *path*, and never read back."""

    path: Path
    copy: Path | None = None

    def mark(self) -> tuple[int, int] | None:
        """A value that changes with every write; None while there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def read(self) -> ClockMemory:
        """The stored memory; an empty one if the file is missing, unreadable or damaged."""
        try:
            with open(self.path, "rb", opener=_open_plain) as file:
                return ClockMemory.from_object(json.loads(file.read(_MOST_BYTES)))
        except FileNotFoundError:
            return ClockMemory()
        except (OSError, ValueError) as error:
            log.warning("the memory of the time cannot be used (%s)", type(error).__name__)
            return ClockMemory()

    def change(self, how: Callable[[ClockMemory], ClockMemory], *, patient: bool) -> ClockMemory | None:
        """Apply *how* to the stored memory and store the result durably; returns it.

        None when another process holds the lock and this caller is not *patient*.  If *how* raises, nothing changes.
        Raises `OSError` when the file cannot be written.
        """
        with self._alone(_TRIES if patient else 1) as alone:
            if not alone and not patient:
                return None
            after = how(self.read())
            content = json.dumps(after.to_object()).encode()
            _replace(self.path, content)
            if self.copy is not None and self.copy.parent.is_dir():
                with contextlib.suppress(OSError):  # it comes again within a minute
                    _replace(self.copy, content)
            return after

    @contextlib.contextmanager
    def _alone(self, tries: int) -> Iterator[bool]:
        wanted = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path.with_suffix(".lock"), wanted, _MODE)
        try:
            with contextlib.suppress(PermissionError):  # another user's, who has done it
                os.fchmod(descriptor, _MODE)
            yield any(_hold_lock(descriptor, wait=number > 0) for number in range(tries))
        finally:
            os.close(descriptor)


def _open_plain(path: str, flags: int) -> int:
    """Open a file in a folder that other users may write; root reads it too, so it must not wait for a pipe."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", path)
    return descriptor


def _hold_lock(descriptor: int, *, wait: bool) -> bool:
    if wait:
        select.poll().poll(_TRY_MS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _replace(path: Path, data: bytes) -> None:
    """Write atomically and durably; on a full disk the old file stays."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        clear_away(fresh)  # of a process that was killed; a link that was planted is not followed
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            os.fchmod(descriptor, _MODE)
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        put_in_place(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise

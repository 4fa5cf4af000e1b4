"""A process's heartbeat that others can see without a write to the disk: it holds a lock on one byte, and moves it on.

A stopped or hanging process still holds its lock file (`presence`), so that alone does not show that it lives.  The
number of the locked byte counts its beats; an open-file-description lock (fcntl(2)) is gone when the process is.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from contextlib import suppress
from typing import Final

from firmware_app.core.presence import plain
from firmware_app.core.state_dir import StateDir

_EVERY_S: Final = 1.0
_FLOCK: Final = "hhqqi4x"  # struct flock of Linux on 64 bits
_MOST: Final = (1 << 62) - 1
_MODE: Final = 0o660


class Heart:
    """The heart of the process *name*; it costs two system calls a second."""

    def __init__(self, state: StateDir, name: str) -> None:
        self._count, self._due = 0, 0.0
        self._handle = open(_path(state, name), "a+b", opener=plain)  # noqa: SIM115 - held while the process lives
        with suppress(PermissionError):
            os.fchmod(self._handle.fileno(), _MODE)

    def beat(self) -> None:
        """To be called by the main loop, as often as it likes."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due, self._count = now + _EVERY_S, self._count + 1
        with suppress(OSError):  # somebody else holds a byte: then the beats are not seen, and nothing else is lost
            self._lock(fcntl.F_WRLCK, self._count)
            self._lock(fcntl.F_UNLCK, self._count - 1)

    def close(self) -> None:
        self._handle.close()

    def _lock(self, kind: int, at: int) -> None:
        fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, at, 1, 0))


class Watch:
    """What another process sees of a heart: for how many seconds it has stood still."""

    def __init__(self, state: StateDir, name: str) -> None:
        self._state, self._name = state, name
        self._seen: int | None = None
        self._since = time.monotonic()

    def silent_s(self) -> float:
        """0 while it beats, or where it is not known."""
        seen, now = _count(self._state, self._name), time.monotonic()
        if seen is None or seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since


def _count(state: StateDir, name: str) -> int | None:
    try:
        with open(_path(state, name), "r+b", opener=plain) as handle:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, _MOST, 0)
            kind, _, start, _, _ = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked))
    except OSError:
        return None
    return None if kind == fcntl.F_UNLCK else int(start)


def _path(state: StateDir, name: str) -> str:
    return str(state.run_of(name) / f"{name}.beat")

"""Writes the files of the box's identity atomically and durably."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from firmware_app.core.state_dir import clear_away, sync_directory


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Write a file atomically; durable once the folder is synced too.

    The temporary file is always new, never an existing one.
    """
    fresh = path.with_name(f".{path.name}.new")
    clear_away(fresh)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as handle:  # noqa: PTH123 - the descriptor carries the mode
        os.fchmod(descriptor, mode)  # whatever the umask of a terminal says
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def read_plain(path: Path, most: int, *, follow: bool = False) -> tuple[bytes, os.stat_result]:
    """The first *most* bytes of a file, and its stat result.

    Raises `OSError`, also for anything but a plain file (a folder, a pipe, a device; a link, unless *follow*).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        with open(descriptor, "rb", closefd=False) as handle:
            return handle.read(most), status
    finally:
        os.close(descriptor)


def link_whole(path: Path, target: str) -> None:
    """Create or replace a symbolic link atomically: it points to the old or the new target at any time."""
    fresh = path.with_name(f".{path.name}.new")
    clear_away(fresh)
    fresh.symlink_to(target)
    fresh.replace(path)
    sync_directory(path.parent)

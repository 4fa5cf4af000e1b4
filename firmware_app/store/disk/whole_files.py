"""Files of the box's identity: whole and durable under their names, or not there at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from firmware_app.store.disk.layout import clear_away, sync_directory


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Durable under its name on return, if the folder is synced after; nobody ever sees half of it.

    The name it is written under first is never one that someone else may have put there.
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
    """The first *most* bytes of a file, and what the system says of it.

    What is no plain file (a folder, a pipe, a device; a link, unless *follow*) is neither waited for nor read.  Raises
    `OSError`.
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
    """A symbolic link that points there at any instant, or where it did before."""
    fresh = path.with_name(f".{path.name}.new")
    clear_away(fresh)
    fresh.symlink_to(target)
    fresh.replace(path)
    sync_directory(path.parent)

"""Where a sealed export makes one object at a time: a folder on the box's own disk that only who exports may enter.

It lies in the root of the state, where on an installed box root alone makes anything.  In a folder of the clinical
group another file could take the object's place before it is sealed, and a start of the gateway empties `incoming/`.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from firmware_app import clock
from firmware_app.config import Retention
from firmware_app.store.disk.layout import StateDir, free_bytes

log = logging.getLogger("lantern.export")

# No name that a person gives a folder: what is called so is swept away.
_PREFIX: Final = ".exporting-"
_NAME: Final = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}(-[0-9a-f]{16})?")  # then the boot it was made in


@contextmanager
def stage(state: StateDir) -> Iterator[Path]:
    """A fresh folder, gone at the end with all that is in it.  Raises `OSError`."""
    folder = state.root / f"{_PREFIX}{secrets.token_hex(8)}-{clock.boot_id()}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(state: StateDir, *, of_this_boot: bool) -> None:
    """Take away what an export left that was killed: what an earlier boot of the machine left, and, for whoever knows
    that none is under way (`Exports`), the rest.  A stage of an earlier version does not tell its boot: it is of
    this one."""
    now = clock.boot_id()
    for left in state.root.iterdir():
        named = _NAME.fullmatch(left.name)
        if not named or not _is_a_stage(left):
            continue
        if not of_this_boot and named[1] in (None, f"-{now}"):
            continue
        shutil.rmtree(left, ignore_errors=True)  # another user's stays: the next start of the box is root's
        if not os.path.lexists(left):
            log.info("%s, which an export that was cut off had left, was taken away", left.name)


def _is_a_stage(path: Path) -> bool:
    """Whether it is such a folder as `stage` makes, and not something that only has the name."""
    with suppress(OSError):
        status = path.lstat()
        is_private = stat.S_IMODE(status.st_mode) & 0o777 == 0o700  # setgid comes from the folder above
        return stat.S_ISDIR(status.st_mode) and is_private and status.st_uid in (0, os.geteuid())
    return False


@dataclass(frozen=True, slots=True)
class Room:
    """What an export may write on the box's own disk.

    What stays there leaves the room that images need.  An object that is gone when it is sealed, in seconds, leaves as
    much as the ballast, for the databases: a disk on which the box takes no more images need not keep a case in, too.
    """

    state: StateDir
    kept_mb: int
    shares: int
    """In how many places there each object is written."""

    @classmethod
    def of(cls, state: StateDir, retention: Retention, into: Iterable[Path]) -> Self:
        """With *into* the folders that are written to, the last for good: it may be one where no stick is mounted."""
        own, is_own = state.root.stat().st_dev, [False]
        for folder in into:
            try:
                is_own.append(folder.stat().st_dev == own)
            except OSError:  # pulled out meanwhile
                is_own.append(False)
        return cls(state, retention.high_water_free_mb if is_own[-1] else retention.ballast_mb, sum(is_own))

    def bytes_now(self) -> int | None:
        """How large the next object may be; None where it is written elsewhere."""
        if not self.shares:
            return None
        return max(0, free_bytes(self.state.root) - self.kept_mb * 1_000_000) // self.shares

"""The folder on the box's own disk in which a sealed export writes one object at a time; private to its user.

It is in the root of the state directory, where on an installed box only root may write.  In a folder of the clinical
group another user could replace the object before it is sealed, and `incoming/` is emptied when the gateway starts.
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

from firmware_app.core import clock
from firmware_app.core.settings import RetentionSection
from firmware_app.core.state_dir import StateDir, free_bytes

log = logging.getLogger("lantern.export")

# A name that no person would choose, because folders with it are deleted.
_PREFIX: Final = ".exporting-"
_NAME: Final = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}(-[0-9a-f]{16})?")  # then the boot it was made in


@contextmanager
def create_stage(state: StateDir) -> Iterator[Path]:
    """A new folder, deleted at the end with its content.  Raises `OSError`."""
    folder = state.root / f"{_PREFIX}{secrets.token_hex(8)}-{clock.boot_id()}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stages(state: StateDir, *, of_this_boot: bool) -> None:
    """Delete the folders of killed exports: those of earlier boots, and with *of_this_boot* those of this boot too.

    *of_this_boot* needs the certainty that no export is under way (`Exports`).  A folder of an earlier version has no
    boot in its name and counts as of this boot.
    """
    now = clock.boot_id()
    for left in state.root.iterdir():
        named = _NAME.fullmatch(left.name)
        if not named or not _is_a_stage(left):
            continue
        if not of_this_boot and named[1] in (None, f"-{now}"):
            continue
        shutil.rmtree(left, ignore_errors=True)  # another user's folder stays until root starts the box
        if not os.path.lexists(left):
            log.info("%s, which an export that was cut off had left, was taken away", left.name)


def _is_a_stage(path: Path) -> bool:
    """Whether `create_stage` made this folder; a name alone is not enough."""
    with suppress(OSError):
        status = path.lstat()
        is_private = stat.S_IMODE(status.st_mode) & 0o777 == 0o700  # setgid comes from the folder above
        return stat.S_ISDIR(status.st_mode) and is_private and status.st_uid in (0, os.geteuid())
    return False


@dataclass(frozen=True, slots=True)
class DiskAllowance:
    """How much an export may write on the box's own disk.

    Files that stay must leave the space that images need.  A temporary object, gone in seconds, must only leave as much
    as the ballast for the databases, so a case can still be exported when the disk is too full for new images.
    """

    state: StateDir
    kept_mb: int
    shares: int
    """How many copies of each object are written on the box's own disk."""

    @classmethod
    def of(cls, state: StateDir, retention: RetentionSection, into: Iterable[Path]) -> Self:
        """*into* are the target folders; files in the last one stay.  It may be on the box's disk: no stick mounted."""
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

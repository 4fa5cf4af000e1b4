"""Where a sealed export makes one object at a time: a folder on the box's own disk that only who exports may enter.

It lies in the root of the state, where on an installed box root alone makes anything.  In a folder of the clinical
group another file could take the object's place before it is sealed, and a start of the gateway empties `incoming/`.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from firmware_app.store.layout import StateDir, free_bytes

_PREFIX: Final = "export-"


@contextmanager
def stage(state: StateDir) -> Iterator[Path]:
    """A fresh folder, gone at the end with all that is in it.  Raises `OSError`."""
    folder = state.root / f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(state: StateDir) -> None:
    """Take away what an export left that was killed; for whoever knows that none is under way (`Exports`)."""
    for left in state.root.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)  # another user's stays: the next start of the box is root's


@dataclass(frozen=True, slots=True)
class Room:
    """What an export may write on the box's own disk, where images must still find room."""

    state: StateDir
    kept_mb: int
    shares: int
    """In how many places there each object is written."""

    @classmethod
    def of(cls, state: StateDir, kept_mb: int, into: Iterable[Path]) -> Self:
        """With *into* the folders that are written to: one of them may be a folder where no stick is mounted."""
        own, shares = state.root.stat().st_dev, 0
        for folder in into:
            with suppress(OSError):  # pulled out meanwhile
                shares += folder.stat().st_dev == own
        return cls(state, kept_mb, shares)

    def bytes_now(self) -> int | None:
        """How large the next object may be; None where it is written elsewhere."""
        if not self.shares:
            return None
        return max(0, free_bytes(self.state.root) - self.kept_mb * 1_000_000) // self.shares

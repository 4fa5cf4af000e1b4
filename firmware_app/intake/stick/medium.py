"""The bytes of a stick's device, read with suspicion, and what can be said of the folders on it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

from firmware_app.intake.stick.search import MOST_FILES

MOST_FOLDER: Final = 8 << 20
"""Bytes of one folder; those of FAT end at 2 MiB."""
MOST_ENTRIES: Final = 2 * MOST_FILES


class Damage(Exception):
    """A block that no sound medium has, or one that cannot be read."""


class Unknown(Exception):
    """Nothing can be said: too large, too slow, or of no known form."""


@dataclass(frozen=True, slots=True)
class Folders:
    """How many files the folders name (None where that is not known), and whether one of their blocks is damaged."""

    files: int | None = None
    damaged: bool = False


NOTHING_KNOWN: Final = Folders()


@dataclass(frozen=True, slots=True)
class Medium:
    """An open device, and until when (monotonic) it is looked at."""

    descriptor: int
    until: float

    def require_time(self) -> None:
        """Raise `Unknown` when the time for a look is over; `read` asks, and whatever else may take long."""
        if time.monotonic() > self.until:
            raise Unknown

    def read(self, position: int, size: int) -> bytes:
        """Exactly *size* bytes; raises `Damage` or `Unknown`."""
        self.require_time()
        try:
            data = os.pread(self.descriptor, size, position)
        except (OSError, OverflowError):  # the second for a place that no medium has
            raise Damage from None
        if len(data) < size:  # the medium ends before what its own numbers say
            raise Damage
        return data

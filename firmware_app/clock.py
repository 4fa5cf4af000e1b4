"""Time on a box that may have no clock: which boot this is, and the hour when the clock can be believed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # proc(5): random, made anew at each boot
_BEFORE_THIS_VERSION: Final = datetime(2026, 1, 1, tzinfo=UTC)


def boot_id() -> str:
    """16 hexadecimal digits that are the same until the machine starts again."""
    return hashlib.sha256(_BOOT_ID.read_bytes()).hexdigest()[:16]


def now() -> datetime:
    """The box's clock, right or wrong, in UTC."""
    return datetime.now(UTC)


def believable(moment: datetime) -> bool:
    """Whether a clock that shows *moment* can be right: False before this version was written, as after a reset."""
    return moment >= _BEFORE_THIS_VERSION


def hour(moment: datetime) -> str | None:
    """The hour of *moment* as ``2026-11-21T03`` in UTC; None when it lies before this version was written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H") if believable(moment) else None

"""The kernel's own mount table (proc(5), /proc/PID/mountinfo): the only source that is trusted for mounts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core.errors import StickUnsafe

NEEDED: Final = ("ro", "nosuid", "nodev", "noexec", "nosymfollow")
"""The mount options of every stick, in this order."""
FLAGS: Final = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "nosymfollow": 8192}
"""The flags of statvfs(2) for these options (linux/statfs.h)."""
_TABLE: Final = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of the table."""

    device: str  # major:minor
    place: str
    options: frozenset[str]  # of this mount, not of the file system behind it
    driver: str


def mounted(table: str | None = None) -> list[Mounted]:
    """The mounts that this process sees, the oldest first; a later mount hides an earlier one at the same place."""
    mounts = []
    for line in (table if table is not None else _TABLE.read_text("utf-8", "surrogateescape")).splitlines():
        fields = line.split(" ")
        after = fields.index("-", 6)
        mounts.append(Mounted(fields[2], _plain(fields[4]), frozenset(fields[5].split(",")), fields[after + 1]))
    return mounts


def at(place: Path, table: str | None = None) -> Mounted | None:
    """The visible mount at *place*; None where nothing is mounted."""
    name = str(place)
    return next((one for one in reversed(mounted(table)) if one.place == name), None)


def require_safe(place: Path, table: str | None = None) -> Mounted:
    """The mount at *place*; raises `StickUnsafe` unless it exists with every option of `NEEDED`.

    The kernel is asked, because a FUSE daemon silently ignores options that it does not know.
    """
    mount = at(place, table)
    missing = [option for option in NEEDED if mount is None or option not in mount.options]
    if mount is None or missing:
        raise StickUnsafe(missing=", ".join(missing))
    return mount


def _plain(field: str) -> str:
    r"""A field of the table without its octal escapes, as \040 for a blank."""
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), field)

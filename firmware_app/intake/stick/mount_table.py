"""The kernel's own table of what is mounted where and how (proc(5), /proc/PID/mountinfo): the only one believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.errors import StickUnsafe

NEEDED: Final = ("ro", "nosuid", "nodev", "noexec", "nosymfollow")
"""What a stick is mounted with, every one of them, in this order."""
FLAGS: Final = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "nosymfollow": 8192}
"""The same as statvfs(2) tells it (linux/statfs.h)."""
_TABLE: Final = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of the table."""

    device: str  # major:minor
    place: str
    options: frozenset[str]  # of this mount, not of the file system behind it
    driver: str


def mounted(table: str | None = None) -> list[Mounted]:
    """What this process sees mounted, in the order in which it was; a later line hides an earlier one of its place."""
    found = []
    for line in (table if table is not None else _TABLE.read_text("utf-8", "surrogateescape")).splitlines():
        fields = line.split(" ")
        after = fields.index("-", 6)
        found.append(Mounted(fields[2], _plain(fields[4]), frozenset(fields[5].split(",")), fields[after + 1]))
    return found


def at(place: Path, table: str | None = None) -> Mounted | None:
    """What is seen at *place*; None where nothing is mounted."""
    name = str(place)
    return next((one for one in reversed(mounted(table)) if one.place == name), None)


def require_safe(place: Path, table: str | None = None) -> Mounted:
    """What is mounted at *place*; raises `StickUnsafe` unless it is, with every option of `NEEDED`.

    Asked of the kernel and not of whoever mounted: a FUSE daemon drops what it does not know without a word.
    """
    found = at(place, table)
    missing = [option for option in NEEDED if found is None or option not in found.options]
    if found is None or missing:
        raise StickUnsafe(missing=", ".join(missing))
    return found


def _plain(field: str) -> str:
    r"""Blanks and backslashes are written as \040 and the like."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)

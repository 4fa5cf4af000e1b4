"""The reports of rescues, in the folders ``damaged/NUMBER/`` that keep the damaged files.

The number of a rescue is never used twice: revisions of cases count on from it (`cases.reading_queue`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import RESCUE_IMPOSSIBLE
from firmware_app.core.state_dir import StateDir, sync_directory, write_atomically

REPORT: Final = "report.json"
_REVISIONS_EACH: Final = 1000
_MOST_RESCUES: Final = 998
_COUNTER: Final = "-rescues"


@dataclass(slots=True)
class RescueReport:
    """What a damaged database was replaced by, and what came back from the image files."""

    number: int
    database: str
    at: str
    cause: str
    since: str | None = None  # the time that its content is of; empty: begun anew; None: of a version before copies
    admitted: int = 0  # image files that got a row again
    again: int = 0  # images that wait to be read
    missing: int = 0  # rows whose file is gone
    unusable: int = 0  # files that are incomplete or unreadable
    cut: list[str] = field(default_factory=list)  # the unusable files to be renamed
    repeated: int = 0  # cases sent to the hospital again, because their last summary may be lost

    def raise_number(self, known: int) -> None:
        """Take a higher number than *known*, the number of an earlier rescue.

        Raises `RESCUE_IMPOSSIBLE` when no number is left: none may be used twice.
        """
        self.number = max(self.number, known + 1)
        if self.number > _MOST_RESCUES:
            detail = f"it was rebuilt {known} times, and a revision's number must not be used twice"
            raise RESCUE_IMPOSSIBLE(database=self.database, detail=detail)

    @property
    def revision_floor(self) -> int:
        """The least revision after this rescue.  No case has so many revisions between two rescues; the wire format
        allows a million."""
        return self.number * _REVISIONS_EACH

    def write(self, folder: Path) -> None:
        """Write the report into *folder*; durable once the folder is synced."""
        write_atomically(folder / REPORT, json.dumps(asdict(self)).encode(), 0o660)


def list_reports(state: StateDir) -> Iterator[tuple[Path, RescueReport]]:
    """Every readable rescue report of this box with the folder of its damaged files, oldest first."""
    known = {one.name for one in fields(RescueReport)}
    for database in state.databases:
        for number in list_numbers(database):
            folder = database.parent / "damaged" / str(number)
            try:
                said = json.loads((folder / REPORT).read_text("utf-8"))
                yield folder, RescueReport(**{name: value for name, value in said.items() if name in known})
            except (OSError, ValueError, TypeError, AttributeError):  # this user may not read it, or it is cut
                continue


def list_numbers(database: Path) -> list[int]:
    """The numbers of the rescues whose damaged files are still kept."""
    try:
        names = os.listdir(database.parent / "damaged")
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def read_counter(database: Path) -> int:
    """The highest number so far, kept in a file of its own in case somebody empties damaged/ to free space."""
    try:
        return int(database.with_name(database.name + _COUNTER).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def write_counter(database: Path, number: int) -> None:
    write_atomically(database.with_name(database.name + _COUNTER), str(number).encode("ascii"), 0o660)
    sync_directory(database.parent)

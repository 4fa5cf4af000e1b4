"""clinical.db: arrivals, instances and cases, and their readings; and whether it agrees with the disk and the clock.

Three modules work on the file: the gateway writes arrivals and instances (`cases.arrival_journal`), the reader writes
readings (`cases.reading_queue`), and every process queries it (`cases.casebook`).

The database alone does not show that it was restored without its images, or that the disk lost files; so the files of
the recorded images can be counted.

A change of the box's time, or of its time source, is an entry in the audit with the number of seconds.  With this, a
time written under an untrusted clock can be corrected later: times from the same boot before the entry are off by that
many seconds.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from firmware_app.cases.arrival_journal import ArrivalJournal
from firmware_app.cases.arrival_journal import StoredInstance as StoredInstance
from firmware_app.cases.audit import Audit
from firmware_app.cases.casebook import QueueCounts as QueueCounts
from firmware_app.cases.reading_queue import Claim as Claim
from firmware_app.cases.reading_queue import ReadingQueue
from firmware_app.core import clock
from firmware_app.core.clock import SLACK_S, TimeSource
from firmware_app.core.database import Database
from firmware_app.core.schema import read_schema
from firmware_app.core.state_dir import StateDir

SCHEMA: Final = read_schema("firmware_app.cases", first=35, first_written_by="0.2.0+gc59301e3d", least=35)
SCHEMA_VERSION: Final = SCHEMA.version


class ClinicalDatabase(ArrivalJournal, ReadingQueue):
    """The clinical database.  Safe to share between the threads of one process.

    *folder* holds the references' secret, if that is not beside the file.  With *keeps_every_line* the journal has no
    bound, so that a single run can report on each of its files.
    """

    def __init__(self, path: Path, folder: Path | None = None, *, keeps_every_line: bool = False) -> None:
        database = Database(path)
        ArrivalJournal.__init__(self, database, folder or path.parent, keeps_every_line=keeps_every_line)
        ReadingQueue.__init__(self, database)

    def create(self) -> None:
        """Make or migrate the file; called by the supervisor, or by a command that runs alone.

        Raises `REFERENCES_LOST` when the secret with which images were named is lost.
        """
        self.database.create(SCHEMA)
        self.establish_references()

    def require(self) -> None:
        """Raise unless this version can use the file; also tells the clock the time of its newest row."""
        self.database.require(SCHEMA_VERSION)
        with suppress(sqlite3.DatabaseError):  # the damage has been noted; it must not stop the clock
            if (newest := self.find_newest_time()) is not None:
                clock.current_clock().record_newest(newest.at.timestamp())


def count_lost_files(clinical: ClinicalDatabase, state: StateDir) -> int:
    """How many recorded images have no file, or one of another size.  A file that this process may not see counts as
    present."""
    rows = clinical.database.connection.execute("SELECT reference, file, bytes FROM instances").fetchall()
    gone = [row["reference"] for row in rows if not has_file(state.root / row["file"], row["bytes"])]
    known = "SELECT 1 FROM instances WHERE reference = ?"  # retention may have deleted it meanwhile, with its row
    return sum(clinical.database.connection.execute(known, (one,)).fetchone() is not None for one in gone)


def has_file(path: Path, size: int) -> bool:
    """Whether *path* is a file of *size* bytes, or this process may not see it."""
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


ACTOR = "box"
CLOCK_CHANGED = "clock.changed"


class ClockChanges:
    """Records time changes; one process of the box calls `check` from time to time."""

    def __init__(self, clinical: ClinicalDatabase) -> None:
        self._audit = Audit(clinical.database)
        self._known = _read_clock()

    def check(self) -> None:
        """Write an entry if the time or its source has changed."""
        (source, began), (before, began_before) = _read_clock(), self._known
        if source is not before or abs(began - began_before) > SLACK_S:
            self._audit.record(
                ACTOR,
                CLOCK_CHANGED,
                source=source.value,
                before=before.value,
                seconds=round(began - began_before),
                boot=clock.boot_id(),
            )
            self._known = source, began


def _read_clock() -> tuple[TimeSource, float]:
    """The time source, and the time at which this boot began by it."""
    standing = clock.current_clock().status()
    return standing.source, standing.stamp.at.timestamp() - clock.uptime_seconds()

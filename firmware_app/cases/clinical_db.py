"""clinical.db: arrivals, instances and cases, and their readings.

Three modules work on the file: the gateway writes arrivals and instances (`clinical.admission`), the reader writes
readings (`clinical.reading_queue`), and every process queries it (`clinical.casebook`).
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Final

from firmware_app.cases.admission import ArrivalJournal
from firmware_app.cases.admission import Held as Held
from firmware_app.cases.casebook import Counts as Counts
from firmware_app.cases.reading_queue import Claim as Claim
from firmware_app.cases.reading_queue import ReadingQueue
from firmware_app.core import clock
from firmware_app.core.sqlite import clean_mark
from firmware_app.core.sqlite.database import Database

# Step n brings schema n - 1 to schema n.
_STEPS: Final = ("schema.sql", *(f"schema_{number}.sql" for number in range(2, 36)))
SCHEMA_VERSION: Final = len(_STEPS)
LEAST_VERSION: Final = 33
"""The last step that is not additive: the code of this schema and of later ones may use the file (a test holds it)."""
_KEYED_VERSION: Final = 4  # the first version whose references are made with a secret; before, they were random


class Clinical(ArrivalJournal, ReadingQueue):
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

        Raises `ReferencesLost` when the secret with which images were named is lost.
        """
        folder = resources.files(__package__)
        unnamed = clean_mark.version(self.database.path) < _KEYED_VERSION
        self.database.create([folder.joinpath(name).read_text("utf-8") for name in _STEPS], LEAST_VERSION)
        self.establish_references(unnamed)

    def require(self) -> None:
        """Raise unless this version can use the file; also tells the clock the time of its newest row."""
        self.database.require(SCHEMA_VERSION)
        with suppress(sqlite3.DatabaseError):  # the damage has been noted; it must not stop the clock
            if (newest := self.newest()) is not None:
                clock.here().newest_was(newest.at.timestamp())

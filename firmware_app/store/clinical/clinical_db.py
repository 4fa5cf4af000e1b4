"""clinical.db: what was handed to the box, what it keeps, and what was read of it.

Three rooms around one file: the door writes arrivals and instances (`store.admission`), the reader writes readings
(`store.reading_queue`), and everybody asks (`store.casebook`).
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Final

from firmware_app import clock
from firmware_app.store.clinical.admission import ArrivalJournal
from firmware_app.store.clinical.admission import Held as Held
from firmware_app.store.clinical.casebook import Counts as Counts
from firmware_app.store.clinical.reading_queue import Claim as Claim
from firmware_app.store.clinical.reading_queue import ReadingQueue
from firmware_app.store.sqlite import clean_mark
from firmware_app.store.sqlite.database import Database

# Step n brings schema n - 1 to schema n.
_STEPS: Final = ("schema.sql", *(f"schema_{number}.sql" for number in range(2, 11)))
SCHEMA_VERSION: Final = len(_STEPS)
_KEYED_VERSION: Final = 4  # the first whose references follow from a secret; before, they were drawn at random


class Clinical(ArrivalJournal, ReadingQueue):
    """The clinical database.  Safe to share between the threads of one process.

    *folder* is where the secret behind the references lies, when that is not beside the file.  With *keeps_every_line*
    the journal has no bound: a single run says what became of each of its files.
    """

    def __init__(self, path: Path, folder: Path | None = None, *, keeps_every_line: bool = False) -> None:
        database = Database(path)
        ArrivalJournal.__init__(self, database, folder or path.parent, keeps_every_line=keeps_every_line)
        ReadingQueue.__init__(self, database)

    def create(self) -> None:
        """Make or migrate the file: the supervisor's task, or that of whoever runs alone.

        Raises `ReferencesLost` when images were named by a secret that is nowhere any more.
        """
        folder = resources.files(__package__)
        unnamed = clean_mark.version(self.database.path) < _KEYED_VERSION
        self.database.create([folder.joinpath(name).read_text("utf-8") for name in _STEPS])
        self.establish_references(unnamed)

    def require(self) -> None:
        """Raise unless the file is ready to be used by this version; what is newest in it has passed."""
        self.database.require(SCHEMA_VERSION)
        with suppress(sqlite3.DatabaseError):  # damage is noted where it was met; the clock alone does not stop for it
            if (newest := self.newest()) is not None:
                clock.here().newest_was(newest.at.timestamp())

"""Which cases came on a stick from which not everything came in: they are incomplete, and everybody is told.

The mark is not set when something goes wrong, for whatever goes wrong may not leave time for it.  It is there with the
first image of an import (its association has the source `SOURCE`), and goes when a later word says that the whole stick
was met: every image that the import had brought was seen again, and nothing on the stick was unreadable or refused.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Final

from firmware_app.errors import CaseIncomplete, CaseListedMore
from firmware_app.records import Reason
from firmware_app.store.sqlite.database import Database

SOURCE: Final = "usb"

INCOMPLETE: Final = (
    "(EXISTS (SELECT 1 FROM instances im JOIN associations am ON am.id = im.association"
    f" WHERE im.case_reference = {{case}} AND am.source = '{SOURCE}' AND am.id NOT IN (SELECT association FROM whole))"
    " OR EXISTS (SELECT 1 FROM listed_more lm WHERE lm.case_reference = {case}))"
)
"""True in SQL while the case of that reference is incomplete."""


def incomplete(connection: sqlite3.Connection, case: str) -> Reason | None:
    """Why *case* may not be whole; None when nothing says so."""
    row = connection.execute("SELECT count FROM listed_more WHERE case_reference = ?", (case,)).fetchone()
    if row is not None:
        return Reason.of(CaseListedMore(count=row[0]))
    (found,) = connection.execute(f"SELECT {INCOMPLETE.format(case='?1')}", (case,)).fetchone()
    return Reason.of(CaseIncomplete()) if found else None


class Media:
    """The importer's words to one clinical database, each durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def met_to_the_end(self, met: Iterable[str], listed_more: Mapping[str, int]) -> None:
        """A whole stick was met, with the instances *met* on it; *listed_more* counts, by Study Instance UID, what its
        list names and it does not hold.

        Every import whose images were all among these is whole with it, be it of another day: what matters is what is
        on the stick, not what it calls itself.  Cases that become whole get another revision.
        """
        with self._database.transaction() as connection:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS met (reference TEXT PRIMARY KEY)")
            connection.execute("DELETE FROM met")
            connection.executemany("INSERT OR IGNORE INTO met VALUES (?)", ((one,) for one in met))
            before = _marked(connection)
            connection.execute(
                "INSERT OR IGNORE INTO whole SELECT id FROM associations a WHERE source = ? AND NOT EXISTS (SELECT 1"
                " FROM instances i WHERE i.association = a.id AND i.reference NOT IN (SELECT reference FROM met))",
                (SOURCE,),
            )
            connection.execute(
                "DELETE FROM listed_more WHERE case_reference IN (SELECT case_reference FROM instances"
                " WHERE reference IN (SELECT reference FROM met))"
            )
            connection.executemany(
                "INSERT OR REPLACE INTO listed_more SELECT reference, ? FROM cases WHERE study_uid = ?",
                ((count, study) for study, count in listed_more.items()),
            )
            connection.executemany(
                "UPDATE cases SET fresh = 1, touched = ? WHERE reference = ? AND revision > 0",
                ((time.monotonic(), case) for case in before ^ _marked(connection)),
            )
            connection.execute("DELETE FROM met")

    def cases_of(self, met: Iterable[str]) -> dict[str, bool]:
        """The cases that the instances *met* belong to, and which of them are incomplete."""
        found: dict[str, bool] = {}
        for reference in met:
            row = self._database.connection.execute(
                f"SELECT case_reference, {INCOMPLETE.format(case='instances.case_reference')} FROM instances"
                " WHERE reference = ?",
                (reference,),
            ).fetchone()
            if row is not None:
                found[row[0]] = bool(row[1])
        return found


def _marked(connection: sqlite3.Connection) -> set[str]:
    """The cases among those of the instances in `met` that are incomplete."""
    rows = connection.execute(
        "SELECT DISTINCT case_reference FROM instances WHERE reference IN (SELECT reference FROM met)"
        f" AND {INCOMPLETE.format(case='instances.case_reference')}"
    )
    return {row[0] for row in rows}

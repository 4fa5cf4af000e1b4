"""Which cases are incomplete because a stick was not copied to its end.

The mark is not set at the time of a failure, because a failure may leave no time for it.  It exists from the first
image of an import on (its association has the source `SOURCE`).  It is removed when the importer reports that it has
seen the whole stick: every image of the import was seen again, and nothing on the stick was unreadable or refused.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Final

from firmware_app.core.errors import CaseIncomplete, CaseListedMore
from firmware_app.core.records import Reason
from firmware_app.core.sqlite.database import Database

SOURCE: Final = "usb"

INCOMPLETE: Final = (
    "(EXISTS (SELECT 1 FROM instances im JOIN associations am ON am.id = im.association"
    f" WHERE im.case_reference = {{case}} AND am.source = '{SOURCE}' AND am.id NOT IN (SELECT association FROM whole))"
    " OR EXISTS (SELECT 1 FROM listed_more lm WHERE lm.case_reference = {case}))"
)
"""True in SQL while the case of that reference is incomplete."""


def incomplete(connection: sqlite3.Connection, case: str) -> Reason | None:
    """Why *case* may be incomplete; None when it is not."""
    row = connection.execute("SELECT count FROM listed_more WHERE case_reference = ?", (case,)).fetchone()
    if row is not None:
        return Reason.of(CaseListedMore(count=row[0]))
    (misses_images,) = connection.execute(f"SELECT {INCOMPLETE.format(case='?1')}", (case,)).fetchone()
    return Reason.of(CaseIncomplete()) if misses_images else None


class Media:
    """What the importer records in one clinical database, each durable on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def met_to_the_end(self, met: Iterable[str], listed_more: Mapping[str, int]) -> None:
        """A whole stick was read, with the instances *met* on it.  *listed_more* counts, by Study Instance UID, the
        objects that its DICOMDIR lists but that are not on it.

        Every import whose images are all among these is now complete, even one of another day: the content of the
        stick decides, not its name.  Cases that become complete get another revision.
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
                "INSERT OR REPLACE INTO listed_more SELECT reference, ?1 FROM cases"
                " WHERE study_uid = ?2 OR shared_study = ?2",
                ((count, study) for study, count in listed_more.items()),
            )
            connection.executemany(
                "UPDATE cases SET fresh = 1, touched = ? WHERE reference = ? AND revision > 0",
                ((time.monotonic(), case) for case in before ^ _marked(connection)),
            )
            connection.execute("DELETE FROM met")

    def cases_of(self, met: Iterable[str]) -> dict[str, bool]:
        """The cases of the instances *met*, and whether each is incomplete."""
        cases: dict[str, bool] = {}
        for reference in met:
            row = self._database.connection.execute(
                f"SELECT case_reference, {INCOMPLETE.format(case='instances.case_reference')} FROM instances"
                " WHERE reference = ?",
                (reference,),
            ).fetchone()
            if row is not None:
                cases[row[0]] = bool(row[1])
        return cases


def _marked(connection: sqlite3.Connection) -> set[str]:
    """The incomplete cases among those of the instances in the table `met`."""
    rows = connection.execute(
        "SELECT DISTINCT case_reference FROM instances WHERE reference IN (SELECT reference FROM met)"
        f" AND {INCOMPLETE.format(case='instances.case_reference')}"
    )
    return {row[0] for row in rows}

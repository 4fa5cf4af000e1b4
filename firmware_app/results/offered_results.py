"""The result objects that viewers may search and fetch over DICOMweb: of each case those of its newest version.

The sender writes the rows, once their files are on the disk; the gateway reads them.  A case that is deleted takes its
rows along, so nobody is given its objects from then on; the sender removes the files.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from firmware_app.core.database import Database
from firmware_app.dicom.dicomweb import OfferedResult

DICOMWEB_QUEUE: Final = "dicomweb:"
"""Its name among the archives; none in the configuration can have a colon."""


class OfferedResults:
    """The offered objects of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, case: str, version: int, objects: Sequence[OfferedResult]) -> None:
        """Offer *objects* instead of what was offered of *case*, unless it was deleted; durable on return."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM offered_results WHERE case_reference = ?", (case,))
            (last,) = connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM offered_results").fetchone()
            connection.executemany(
                "INSERT OR REPLACE INTO offered_results (sop_instance_uid, case_reference, study_uid, series_uid, file,"
                " bytes, attributes, bulk, sequence) SELECT ?1, reference, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM cases"
                " WHERE reference = ?2",
                [
                    (
                        offered_result.sop_instance_uid,
                        case,
                        offered_result.study_uid,
                        offered_result.series_uid,
                        offered_result.file,
                        offered_result.bytes,
                        json.dumps(offered_result.attributes, ensure_ascii=False),
                        json.dumps(offered_result.bulk),
                        last + 1,
                    )
                    for offered_result in objects
                ],
            )
            connection.execute(
                "INSERT OR REPLACE INTO queued_results (archive, case_reference, version) VALUES (?, ?, ?)",
                (DICOMWEB_QUEUE, case, version),
            )

    def find(self, study: str | None = None, series: str | None = None, sop: str | None = None) -> list[OfferedResult]:
        """The objects with these UIDs, the newest case first; None: with any."""
        rows = self._database.connection.execute(
            "SELECT * FROM offered_results WHERE study_uid = COALESCE(?, study_uid)"
            " AND series_uid = COALESCE(?, series_uid) AND sop_instance_uid = COALESCE(?, sop_instance_uid)"
            " ORDER BY sequence DESC, rowid",
            (study, series, sop),
        )
        return [_read_offered(row) for row in rows]

    def limit_bytes(self, most_bytes: int) -> None:
        """Withdraw the cases that were offered first until the others take no more than *most_bytes*."""
        with self._database.transaction() as connection:
            cases = connection.execute(
                "SELECT case_reference, SUM(bytes) AS bytes FROM offered_results GROUP BY 1 ORDER BY MAX(sequence) DESC"
            ).fetchall()
            total = 0
            for row in cases:
                total += row["bytes"]
                if total > most_bytes:
                    connection.execute("DELETE FROM offered_results WHERE case_reference = ?", (row[0],))

    def withdraw_all(self) -> None:
        """Offer nothing."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM offered_results")
            connection.execute("DELETE FROM queued_results WHERE archive = ?", (DICOMWEB_QUEUE,))

    def list_files(self) -> set[str]:
        """The files of all that is offered, below ``results/``."""
        return {row["file"] for row in self._database.connection.execute("SELECT file FROM offered_results")}


def is_offered(database: Database, case: str) -> bool:
    """Whether anything is offered of *case*."""
    found = database.connection.execute("SELECT 1 FROM offered_results WHERE case_reference = ? LIMIT 1", (case,))
    return found.fetchone() is not None


def _read_offered(row: sqlite3.Row) -> OfferedResult:
    return OfferedResult(
        case=row["case_reference"],
        study_uid=row["study_uid"],
        series_uid=row["series_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        file=row["file"],
        bytes=row["bytes"],
        attributes=json.loads(row["attributes"]),
        bulk=json.loads(row["bulk"]),
    )

"""The list of objects that the gateway refused and the reader set aside; and the size limit of the arrival journal.

The list holds codes, times and case references, never a name, a UID or a path.  It is a query, not a copy: an image
that is read later disappears from it.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Final

from firmware_app.cases.errors import DECODE_RAN_OUT, READER_GAVE_UP, DecodeGaveUp, InferenceGaveUp
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.errors import MEMORY_SHORT, Undecodable
from firmware_app.core.records import Reason
from firmware_app.core.rows import StoredTime, parse_row
from firmware_app.imaging.errors import CLIP_WITHOUT_PICTURES, FrameTooLarge, PixelsUnsupported

MOST_LINES: Final = 2_000
"""How many refusals, and how many duplicates, the journal keeps as single lines."""
_AT_ONCE: Final = 100  # lines removed in one transaction, so that most transactions remove none
_SET_ASIDE: Final = tuple(
    kind.code
    for kind in (
        DecodeGaveUp,
        DECODE_RAN_OUT,
        InferenceGaveUp,
        READER_GAVE_UP,
        Undecodable,
        PixelsUnsupported,
        FrameTooLarge,
        MEMORY_SHORT,
        CLIP_WITHOUT_PICTURES,
    )
)
_MARKS: Final = ", ".join("?" * len(_SET_ASIDE))


@dataclass(frozen=True, slots=True)
class QuarantinedObject:
    """One object without a result: refused at the ``door`` (the gateway), or set aside by the ``reader``."""

    at: clock.Stamp
    where: str
    reason: Reason
    case: str | None


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """How often one code occurred, including lines no longer kept, and when last."""

    code: str
    count: int
    latest: StoredTime


class Quarantine:
    """The list of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __len__(self) -> int:
        return sum(count.count for count in self.list_counts())

    def list_entries(self, limit: int) -> list[QuarantinedObject]:
        """The newest *limit* entries, newest first."""
        rows = self._connection.execute(
            "SELECT * FROM (SELECT at, 'door' AS place, code, details, case_reference FROM arrivals"
            " WHERE outcome = 'refused' ORDER BY sequence DESC LIMIT ?)"
            " UNION ALL SELECT * FROM (SELECT at, 'reader', json_extract(body, '$.reason.code'),"
            " json_extract(body, '$.reason.details'), case_reference FROM readings"
            f" WHERE json_extract(body, '$.reason.code') IN ({_MARKS}) ORDER BY rowid DESC LIMIT ?)"
            " ORDER BY at DESC, place DESC LIMIT ?",  # within a millisecond, the gateway comes before the reader
            (limit, *_SET_ASIDE, limit, limit),
        )
        return [
            QuarantinedObject(
                clock.parse_stamp(row["at"]),
                row["place"],
                Reason(row["code"], json.loads(row["details"] or "{}")),
                row["case_reference"],
            )
            for row in rows
        ]

    def list_counts(self) -> list[RefusalCount]:
        """Every code that ever occurred, the most frequent first."""
        rows = self._connection.execute(
            "SELECT code, SUM(count) AS count, MAX(latest) AS latest FROM ("
            " SELECT code, COUNT(*) AS count, MAX(at) AS latest FROM arrivals WHERE outcome = 'refused' GROUP BY code"
            " UNION ALL SELECT code, count, latest FROM forgotten WHERE outcome = 'refused'"
            " UNION ALL SELECT json_extract(body, '$.reason.code') AS code, COUNT(*), MAX(at) FROM readings"
            f" WHERE json_extract(body, '$.reason.code') IN ({_MARKS}) GROUP BY 1"
            ") GROUP BY code ORDER BY count DESC, code",
            _SET_ASIDE,
        )
        return [parse_row(RefusalCount, row) for row in rows]

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._database.connection


def count_refused(connection: sqlite3.Connection) -> int:
    """How many objects the gateway has ever refused."""
    row = connection.execute(
        "SELECT (SELECT COUNT(*) FROM arrivals WHERE outcome = 'refused')"
        " + (SELECT COALESCE(SUM(count), 0) FROM forgotten WHERE outcome = 'refused')"
    ).fetchone()
    return int(row[0])


def limit_journal(connection: sqlite3.Connection, outcome: str) -> None:
    """Replace the oldest journal lines of *outcome* by counts once there are clearly more than `MOST_LINES`.

    Inside the caller's transaction.  The newest line of an object in ``set_aside/`` is kept: it says what that file is,
    and the number of such files is bounded by the disk.
    """
    (lines,) = connection.execute("SELECT COUNT(*) FROM arrivals WHERE outcome = ?", (outcome,)).fetchone()
    if lines < MOST_LINES + _AT_ONCE:
        return
    gone = connection.execute(
        "DELETE FROM arrivals WHERE sequence IN (SELECT a.sequence FROM arrivals a WHERE a.outcome = ? AND"
        " (a.kept_file IS NULL OR EXISTS (SELECT 1 FROM arrivals b WHERE b.kept_file = a.kept_file"
        " AND b.sequence > a.sequence)) ORDER BY a.sequence LIMIT ?) RETURNING COALESCE(code, ''), at",
        (outcome, lines - MOST_LINES),
    ).fetchall()
    connection.executemany(
        "INSERT INTO forgotten (outcome, code, count, latest) VALUES (?, ?, 1, ?) ON CONFLICT (outcome, code)"
        " DO UPDATE SET count = count + 1, latest = MAX(latest, excluded.latest)",
        [(outcome, code, at) for code, at in gone],
    )

"""The doctor's lists: cases to look at, cases that could not be judged, cases that are done.

A case that a doctor is asked to read before its result is shown stands among the urgent ones, so that its place says
nothing and an urgent one does not wait; its row has neither priority nor findings.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

from firmware_app.cases import usb_import
from firmware_app.cases.case_answer import select_strongest, sort_findings
from firmware_app.cases.casebook import WITHOUT_IMAGE
from firmware_app.cases.confirmations import HIDDEN
from firmware_app.cases.verdicts import (
    DONE,
    IMAGES,
    WAITING,
    WAITS,
    CaseCompletion,
    DoctorVerdict,
    DoubleReading,
    Verdicts,
)
from firmware_app.core.records import Finding, Priority, Reading, ReadingStatus, Reason
from firmware_app.core.rows import StoredTime, parse_json, parse_row

Tab = Literal["open", "cannot-judge", "done"]
_UNJUDGED = f"(c.priority IS 'cannot-judge' AND NOT {WAITING})"
_TABS: Final = {
    "open": f"c.earlier = 0 AND NOT COALESCE({DONE}, 0) AND NOT {_UNJUDGED} AND NOT {WITHOUT_IMAGE}",
    "cannot-judge": f"c.earlier = 0 AND NOT COALESCE({DONE}, 0) AND {_UNJUDGED}",
    "done": f"COALESCE({DONE}, 0)",
}
# Cases that are unread or incomplete come before routine cases: no result does not mean normal.
_HIDDEN = HIDDEN.format(case="c.reference")
_RANK = f"""CASE WHEN c.priority = 'urgent' OR {_HIDDEN} THEN 0 WHEN c.priority = 'soon' THEN 1
    WHEN c.priority = 'routine' AND NOT {usb_import.INCOMPLETE.format(case="c.reference")} THEN 3 ELSE 2 END"""
# Who has waited longest comes first, by order of arrival and not by time: the box's clock may be wrong today (1970).
_ORDERS: Final = {"open": f"{_RANK}, c.rowid", "cannot-judge": "c.rowid", "done": "r.rowid DESC"}


_LOOKED_AHEAD: Final = 100
"""Open cases among which the next one is sought, where a doctor has read some of them already."""
_SELECT: Final = (
    f"SELECT c.*, r.actor, r.at, COALESCE({DONE}, 0) AS done,"
    f" {IMAGES} AS images, {WAITS} AS waiting, {_HIDDEN} AS hidden"
    " FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference"
)


@dataclass(frozen=True, slots=True)
class CaseListRow:
    """One case in a list."""

    case: str
    priority: Priority | None
    modality: str | None
    opened_at: StoredTime
    images: int
    waiting: int
    findings: tuple[Finding, ...]
    reason: Reason | None
    incomplete: Reason | None = None
    verdicts: tuple[DoctorVerdict, ...] = ()
    done: CaseCompletion | None = None
    hidden: bool = False
    """A doctor is asked to read the case first: `priority` and `findings` are left out."""
    readers: DoubleReading | None = None
    """Where two doctors read each case: how far they are."""


@dataclass(frozen=True, slots=True)
class ReadingProgress:
    """The progress of reading: how many images wait, since when the oldest, and when one was last read."""

    waiting: int
    oldest: StoredTime | None
    last_read: StoredTime | None


class CaseLists(Verdicts):
    """The lists of one clinical database, and the verdicts on their cases."""

    def list_rows(self, tab: Tab, limit: int, offset: int = 0) -> list[CaseListRow]:
        """At most *limit* cases of *tab* in its order."""
        rows = self._connection.execute(
            f"{_SELECT} WHERE {_TABS[tab]} ORDER BY {_ORDERS[tab]} LIMIT ? OFFSET ?", (limit, offset)
        ).fetchall()
        return [self._row(row) for row in rows]

    def find_row(self, case: str) -> CaseListRow | None:
        """The row of one case; None where the box has none."""
        row = self._connection.execute(f"{_SELECT} WHERE c.reference = ?", (case,)).fetchone()
        return self._row(row) if row is not None else None

    def list_references(self, tab: Tab) -> list[str]:
        """Every case of *tab* in its order."""
        rows = self._connection.execute(
            "SELECT c.reference FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference"
            f" WHERE {_TABS[tab]} ORDER BY {_ORDERS[tab]}"
        )
        return [row[0] for row in rows]

    def list_urgent(self) -> frozenset[str]:
        """The open cases that a doctor should look at before all others: the urgent ones, and those to be read first,
        of which nobody may be told whether they are."""
        rows = self._connection.execute(
            "SELECT c.reference FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference"
            f" WHERE {_TABS['open']} AND ({_RANK}) = 0"
        )
        return frozenset(row[0] for row in rows)

    def count(self, tab: Tab) -> int:
        row = self._connection.execute(
            f"SELECT COUNT(*) FROM cases c LEFT JOIN reviews r ON r.case_reference = c.reference WHERE {_TABS[tab]}"
        ).fetchone()
        return int(row[0])

    def find_next(self, case: str, actor: str) -> str | None:
        """The next case for *actor* to look at: the first open case other than *case* that waits for this doctor."""
        if not self._two_readers:
            return next((row.case for row in self.list_rows("open", 2) if row.case != case), None)
        others = (row for row in self.list_rows("open", _LOOKED_AHEAD) if row.case != case)
        return next((row.case for row in others if row.readers is None or row.readers.needs(actor)), None)

    def measure_progress(self) -> ReadingProgress:
        """The progress of reading."""
        row = self._connection.execute(
            "SELECT COUNT(*) AS waiting, MIN(received_at) AS oldest, (SELECT MAX(read_at) FROM instances) AS last_read"
            " FROM instances WHERE state = 'waiting'"
        ).fetchone()
        return parse_row(ReadingProgress, row)

    def compute_mark(self) -> tuple[object, ...]:
        """A value that changes whenever a list may have changed (but not after a view or a log-in)."""
        row = self._connection.execute(
            "SELECT (SELECT MAX(sequence) FROM arrivals), (SELECT COUNT(*) FROM instances WHERE state = 'waiting'),"
            " (SELECT MAX(rowid) FROM readings), (SELECT COUNT(*) FROM readings), (SELECT SUM(revision) FROM cases),"
            " (SELECT COUNT(*) FROM identities), (SELECT at FROM reviews ORDER BY rowid DESC LIMIT 1),"
            " (SELECT at FROM verdicts ORDER BY rowid DESC LIMIT 1),"
            " (SELECT COUNT(*) FROM reviews), (SELECT COUNT(*) FROM verdicts),"
            " (SELECT COUNT(*) FROM whole), (SELECT SUM(count) FROM listed_more),"
            " (SELECT MAX(sequence) FROM confirmations), (SELECT COUNT(*) FROM entered),"
            " (SELECT MAX(sequence) FROM remarks)"
        ).fetchone()
        return tuple(row)

    def _row(self, row: sqlite3.Row) -> CaseListRow:
        case, hidden = row["reference"], bool(row["hidden"])
        bodies = self._connection.execute("SELECT body FROM readings WHERE case_reference = ?", (case,))
        readings = [parse_json(Reading, body) for (body,) in bodies]
        reasons = (reading.reason for reading in readings if reading.status is ReadingStatus.CANNOT_JUDGE)
        findings = () if hidden else sort_findings(select_strongest(readings))
        verdicts = self.list_verdicts(case)
        return parse_row(
            CaseListRow,
            row,
            case=case,
            priority=None if hidden else row["priority"],
            findings=findings,
            reason=next(reasons, None),
            incomplete=usb_import.explain_incompleteness(self._connection, case),
            verdicts=verdicts,
            done=parse_row(CaseCompletion, row) if row["done"] else None,
            readers=self._compare_readers(findings, verdicts),
        )

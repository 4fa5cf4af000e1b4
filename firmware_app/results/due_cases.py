"""The cases whose results may have to be sent, as triggers in clinical.db note them (schema 15).

A case is due once it has come to rest: every image is read, its revision is closed, and no doctor is still to read it
before its result is shown, since the archive would show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.confirmations import HIDDEN
from firmware_app.cases.errors import CaseUnknown
from firmware_app.core.database import Database
from firmware_app.core.records import Reason
from firmware_app.core.rows import dump_reason, parse_reason

_REQUESTED: Final = "results.requested"
_AT_REST: Final = (
    "c.fresh = 0 AND c.revision > 0"
    " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = c.reference AND i.state = 'waiting')"
    f" AND NOT {HIDDEN.format(case='c.reference')} AND (c.earlier = 0 OR d.again = 1)"
)


@dataclass(frozen=True, slots=True)
class DueCase:
    """A case with the count of its changes; *again*: a person asked for it, also where an archive has it already."""

    case: str
    changes: int
    again: bool


def list_due_cases(database: Database) -> list[DueCase]:
    """The cases that have come to rest and are due, in the order in which they changed first."""
    rows = database.connection.execute(
        "SELECT d.* FROM results_due d JOIN cases c ON c.reference = d.case_reference"
        f" WHERE {_AT_REST} ORDER BY d.rowid"
    )
    return [DueCase(row["case_reference"], row["changes"], bool(row["again"])) for row in rows]


def settle_case(database: Database, one: DueCase) -> None:
    """Nothing more is due for the case, unless it has changed since *one* was read."""
    with database.transaction() as connection:
        connection.execute(
            "DELETE FROM results_due WHERE case_reference = ? AND changes = ? AND again = ?",
            (one.case, one.changes, one.again),
        )


def record_failure(database: Database, case: str, reason: Reason) -> None:
    """The objects of *case* could not be made; it stays due."""
    with database.transaction() as connection:
        connection.execute("UPDATE results_due SET reason = ? WHERE case_reference = ?", (dump_reason(reason), case))


def read_state(database: Database, case: str) -> tuple[bool, Reason | None]:
    """Whether *case* is due, and why its objects could not be made."""
    row = database.connection.execute("SELECT reason FROM results_due WHERE case_reference = ?", (case,)).fetchone()
    return row is not None, parse_reason(row["reason"]) if row is not None else None


def list_failures(database: Database) -> list[tuple[str, Reason]]:
    """The cases whose objects could not be made, and why."""
    rows = database.connection.execute("SELECT * FROM results_due WHERE reason IS NOT NULL ORDER BY rowid")
    return [(row["case_reference"], reason) for row in rows if (reason := parse_reason(row["reason"])) is not None]


def request_sending(database: Database, case: str, person: str) -> None:
    """Send the results of *case*, also where an archive has them already; raises `CaseUnknown`."""
    with database.transaction() as connection:
        if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
            raise CaseUnknown(case=case[:40])
        connection.execute(
            "INSERT INTO results_due (case_reference, again) VALUES (?, 1)"
            " ON CONFLICT (case_reference) DO UPDATE SET changes = changes + 1, again = 1",
            (case,),
        )
        audit.append(connection, person, _REQUESTED, case)

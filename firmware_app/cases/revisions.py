"""What each revision of a case said, and the facts of the patient's background that its follow-up took into account.

A conclusion is written when the study comes to rest, and never changed.  A fact that a person enters stands before what
the headers say; it gives the case its next revision, and no image is read again for it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

from firmware_app.cases import forms
from firmware_app.cases.accounts import audit
from firmware_app.core import clock
from firmware_app.core.errors import CaseUnknown
from firmware_app.core.records import Case, Conclusion
from firmware_app.core.sqlite.database import Database


def record(connection: sqlite3.Connection, case: Case, background: tuple[str, ...]) -> None:
    """Inside the caller's transaction: keep what this revision of *case* says, with the *background* known then."""
    images = tuple(dict.fromkeys(one for reading in case.readings for one in reading.instances))
    said = Conclusion(case.priority, case.findings, case.lesions, case.follow_up, background, images)
    connection.execute(
        "INSERT INTO conclusions (case_reference, revision, body, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (case_reference, revision) DO NOTHING",
        (case.reference, case.revision, forms.conclusion().dump_json(said).decode(), clock.text()),
    )


def conclusion(connection: sqlite3.Connection, case: str, revision: int) -> Conclusion | None:
    """What this revision of *case* said; None for one that was closed by an earlier version, or lost."""
    row = connection.execute(
        "SELECT body FROM conclusions WHERE case_reference = ? AND revision = ?", (case, revision)
    ).fetchone()
    return forms.conclusion().validate_json(row["body"]) if row is not None else None


def entered(connection: sqlite3.Connection, case: str) -> dict[str, bool]:
    """The facts that a person stated or denied."""
    rows = connection.execute("SELECT fact, known FROM background WHERE case_reference = ? ORDER BY rowid", (case,))
    return {row["fact"]: bool(row["known"]) for row in rows}


def known(connection: sqlite3.Connection, case: Case) -> tuple[str, ...]:
    """The codes of the facts that are known to be so: those of the headers, and over them those that were entered."""
    said = dict.fromkeys((fact for reading in case.readings for fact in reading.background), True)
    said |= entered(connection, case.reference or "")
    return tuple(fact for fact, is_so in said.items() if is_so)


def enter(database: Database, case: str, facts: Mapping[str, bool], actor: str) -> int:
    """Keep what a person says of *facts*; returns how many of them changed.  Raises `CaseUnknown`.

    The case gets its next revision then.
    """
    with database.transaction() as connection:
        if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
            raise CaseUnknown(case=case[:40])
        before = entered(connection, case)
        changed = {fact: is_so for fact, is_so in facts.items() if before.get(fact) is not is_so}
        for fact, is_so in changed.items():
            connection.execute(
                "INSERT OR REPLACE INTO background (case_reference, fact, known, actor, at) VALUES (?, ?, ?, ?, ?)",
                (case, fact, is_so, actor, clock.text("seconds")),
            )
            audit.append(connection, actor, "background.entered", case, {"fact": fact})
        if changed:
            connection.execute("UPDATE cases SET fresh = 1, touched = ? WHERE reference = ?", (time.monotonic(), case))
    return len(changed)

"""The reader's side of clinical.db: what waits, what was read of it, and when a case has come to rest.

`state` of an instance goes from waiting to done in the same transaction that writes its reading, so that a kill at any
instant leaves it either unread or read once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from firmware_app import clock, notify
from firmware_app.records import Instance, Priority, Reading
from firmware_app.store.clinical import forms
from firmware_app.store.clinical.casebook import Casebook
from firmware_app.store.exchange.outbox import Outbox
from firmware_app.store.sqlite.database import Database

# A case is as urgent as its most urgent reading; one image that could be read outweighs those that could not.
_RANK = {Priority.URGENT: 0, Priority.SOON: 1, Priority.ROUTINE: 2, Priority.CANNOT_JUDGE: 3}

# No revision that the hospital may know from before the database was rebuilt is ever given again (`store.rescue`).
NEXT_REVISION: Final = "(MAX({revision}, (SELECT COALESCE(MAX(revision_floor), 0) FROM rescues)) + 1)"


@dataclass(frozen=True, slots=True)
class Claim:
    """An instance the reader has begun with; `claims` counts this time in."""

    instance: Instance
    claims: int
    failures: int


class ReadingQueue(Casebook):
    """What the reader writes, each in one durable transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.outbox = Outbox(database)

    def claim(self, case: str | None = None) -> Claim | None:
        """The oldest waiting instance (of *case*), its claim counted durably *before* anyone opens it."""
        waiting = "FROM instances WHERE state = 'waiting'" + ("" if case is None else " AND case_reference = :case")
        connection = self.database.connection
        if connection.execute(f"SELECT 1 {waiting} LIMIT 1", {"case": case}).fetchone() is None:
            return None
        with self.database.transaction() as connection:
            row = connection.execute(
                "UPDATE instances SET claims = claims + 1 WHERE sequence ="
                f" (SELECT sequence {waiting} ORDER BY sequence LIMIT 1)"
                " RETURNING reference, case_reference, file, header, claims, failures",
                {"case": case},
            ).fetchone()
            age = _entered_age(self.database, row["case_reference"]) if row else None
        if row is None:
            return None
        header = forms.header().validate_json(row["header"]) if row["header"] else None
        if header is not None and age is not None:
            header = replace(header, patient_age=age, birth_date=None)  # which it must not be held against
        return Claim(
            Instance(row["reference"], row["case_reference"], row["file"], header), row["claims"], row["failures"]
        )

    def record_failure(self, instance: str) -> int:
        """A child died or ran out of time over *instance*; returns how often that has happened now."""
        with self.database.transaction() as connection:
            row = connection.execute(
                "UPDATE instances SET failures = failures + 1 WHERE reference = ? RETURNING failures", (instance,)
            ).fetchone()
        return int(row[0])

    def finish(self, instance: Instance, reading: Reading, priority: Priority) -> None:
        """Write the one final reading of *instance*; a second one for it is not written.

        Nor is one that rests on an age which a person has corrected in the meantime: the instance stays waiting.
        """
        with self.database.transaction() as connection:
            age = _entered_age(self.database, instance.case)
            if instance.header is not None and age is not None and instance.header.patient_age != age:
                return
            connection.execute(
                "INSERT INTO readings (key, case_reference, body, at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (instance.reference, instance.case, forms.reading().dump_json(reading).decode(), _now()),
            )
            connection.execute(
                "UPDATE instances SET state = 'done', read_at = ? WHERE reference = ?", (_now(), instance.reference)
            )
            # A word that was given in the open revision was given before this reading, and does not hold for it.
            connection.execute(
                "UPDATE verdicts SET revision = c.revision FROM cases c WHERE c.reference = case_reference"
                " AND case_reference = ? AND verdicts.revision > c.revision",
                (instance.case,),
            )
            row = connection.execute("SELECT priority FROM cases WHERE reference = ?", (instance.case,)).fetchone()
            before = Priority(row[0]) if row[0] else Priority.CANNOT_JUDGE
            connection.execute(
                "UPDATE cases SET priority = ? WHERE reference = ?",
                (min(before, priority, key=_RANK.__getitem__).value, instance.case),
            )

    def close_revisions(self, quiet_seconds: float, *, report: bool = False) -> list[str]:
        """Give every study that has come to rest its next revision, and return their references.

        With *report*, what the hospital may know of each is put into the outbox in the same transaction.

        At rest: all its images are read, and whoever sent them has released the association or has been quiet for
        *quiet_seconds*.  A `touched` later than now is from before a reboot.
        """
        connection = self.database.connection
        if connection.execute("SELECT 1 FROM cases WHERE fresh = 1 LIMIT 1").fetchone() is None:
            return []
        resting = """
            fresh = 1
            AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = cases.reference AND i.state = 'waiting')
            AND (touched < :now - :quiet OR touched > :now OR NOT EXISTS (
                SELECT 1 FROM instances i JOIN associations a ON a.id = i.association
                WHERE i.case_reference = cases.reference AND a.closed_at IS NULL))"""
        values = {"now": time.monotonic(), "quiet": quiet_seconds}
        if connection.execute(f"SELECT 1 FROM cases WHERE {resting} LIMIT 1", values).fetchone() is None:
            return []
        with self.database.transaction() as connection:
            rows = connection.execute(
                f"UPDATE cases SET revision = {NEXT_REVISION.format(revision='revision')}, fresh = 0 WHERE {resting}"
                " RETURNING reference",
                values,
            ).fetchall()
            if report:
                for row in rows:
                    notify.alive()  # behind a rescue these are all the cases of the box
                    self.outbox.put(self.case(row[0]))
        return [row[0] for row in rows]

    def reopen(self, case: str) -> int:
        """Have every DICOM image of *case* read again, inside the caller's transaction; returns how many.

        The readings so far are kept under `superseded`.  The case comes to rest again with its next revision.
        """
        connection = self.database.connection
        again = (
            "SELECT reference FROM instances"
            " WHERE case_reference = ? AND header IS NOT NULL AND kind IS NULL AND state = 'done'"
        )
        connection.execute(
            "INSERT INTO superseded (key, case_reference, body, read_at, replaced_at)"
            f" SELECT key, case_reference, body, at, ? FROM readings WHERE key IN ({again})",
            (_now(), case),
        )
        connection.execute(f"DELETE FROM readings WHERE key IN ({again})", (case,))
        count = connection.execute(
            "UPDATE instances SET state = 'waiting', claims = 0, failures = 0, read_at = NULL"
            f" WHERE reference IN ({again})",
            (case,),
        ).rowcount
        if count:  # images of a study all have a header, so no reading is left whose priority would still hold
            connection.execute(
                "UPDATE cases SET fresh = 1, priority = NULL, touched = ? WHERE reference = ?", (time.monotonic(), case)
            )
        return count

    def unread(self) -> int:
        """How many images wait to be read; cheap enough to ask all the time."""
        row = self.database.connection.execute("SELECT COUNT(*) FROM instances WHERE state = 'waiting'").fetchone()
        return int(row[0])


def _entered_age(database: Database, case: str) -> str | None:
    """The patient's age (DICOM AS) as a person entered it; None when the image's own holds."""
    row = database.connection.execute(
        "SELECT age FROM identities WHERE case_reference = ? ORDER BY version DESC LIMIT 1", (case,)
    ).fetchone()
    return row[0] if row else None


def _now() -> str:
    return clock.text()

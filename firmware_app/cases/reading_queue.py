"""The reader's side of clinical.db: the waiting instances, their readings, and the revisions of cases.

The `state` of an instance changes from waiting to done in the transaction that writes its reading, so after a kill at
any moment it is either unread or read once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from firmware_app.cases import follow_up, model_scores
from firmware_app.cases.casebook import Casebook
from firmware_app.cases.model_scores import CalibrationSample, SamplingShares
from firmware_app.core import clock, notify
from firmware_app.core.database import Database
from firmware_app.core.records import Case, EnteredFacts, FollowUp, Header, Instance, Priority, Reading
from firmware_app.core.rows import dump_json, insert, parse_json, parse_row

# A case is as urgent as its most urgent reading; an image that was read outranks those that could not be read.
_RANK = {Priority.URGENT: 0, Priority.SOON: 1, Priority.ROUTINE: 2, Priority.CANNOT_JUDGE: 3}

# A revision number that the hospital may know from before a rebuild is never used again (`appliance.rescue`).
NEXT_REVISION: Final = "(MAX({revision}, (SELECT COALESCE(MAX(revision_floor), 0) FROM rescues)) + 1)"


Advise = Callable[[Case, tuple[str, ...]], FollowUp | None]
"""What should follow for a case, with the codes of the facts that are known of the patient's background."""

Report = Callable[[Case], None]
"""Writes a revision of a case for the hospital, inside the transaction that closes it (`uplink.outbox.Outbox.put`)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An instance that the reader has started on; `claims` includes this time."""

    instance: Instance
    claims: int
    failures: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a reading says for local calibration, and how films are drawn that the clinic is asked to confirm."""

    examined: CalibrationSample
    secret: bytes
    shares: SamplingShares


class ReadingQueue(Casebook):
    """What the reader writes, each in one durable transaction."""

    def claim(self, case: str | None = None) -> Claim | None:
        """The oldest waiting instance (of *case*), its claim counted durably *before* anyone opens it.

        Fetched earlier studies wait for all others.
        """
        waiting = "FROM instances WHERE state = 'waiting'" + ("" if case is None else " AND case_reference = :case")
        last = "EXISTS (SELECT 1 FROM cases c WHERE c.reference = case_reference AND c.earlier)"
        connection = self.database.connection
        if connection.execute(f"SELECT 1 {waiting} LIMIT 1", {"case": case}).fetchone() is None:
            return None
        with self.database.transaction() as connection:
            row = connection.execute(
                "UPDATE instances SET claims = claims + 1 WHERE sequence = COALESCE("
                f"(SELECT sequence {waiting} AND NOT {last} ORDER BY sequence LIMIT 1),"
                f" (SELECT sequence {waiting} ORDER BY sequence LIMIT 1))"
                " RETURNING reference, case_reference, file, header, claims, failures",
                {"case": case},
            ).fetchone()
            instance = self._build_instance(row) if row is not None else None
        return Claim(instance, row["claims"], row["failures"]) if instance is not None else None

    def find_read_instance(self, reference: str) -> Instance | None:
        """An instance that has its reading, as its reader saw it; None where its file is no longer kept."""
        row = self.database.connection.execute(
            "SELECT reference, case_reference, file, header FROM instances WHERE reference = ? AND state = 'done'",
            (reference,),
        ).fetchone()
        return self._build_instance(row) if row is not None else None

    def _build_instance(self, row: sqlite3.Row) -> Instance:
        """An instance with what people have entered of it."""
        age = _find_entered_age(self.database, row["case_reference"])
        entered = _find_entered_facts(self.database, row["reference"], age, row["header"] is None)
        header = parse_json(Header, row["header"]) if row["header"] else None
        if header is not None and age is not None:
            header = replace(header, patient_age=age, birth_date=None)  # the birth date may contradict the entered age
        return Instance(row["reference"], row["case_reference"], row["file"], header, entered)

    def record_failure(self, instance: str) -> int:
        """Record that a child process died or timed out on *instance*; returns how often that has happened."""
        with self.database.transaction() as connection:
            row = connection.execute(
                "UPDATE instances SET failures = failures + 1 WHERE reference = ? RETURNING failures", (instance,)
            ).fetchone()
        return int(row[0])

    def finish(
        self, instance: Instance, reading: Reading, priority: Priority, sampling: Sampling | None = None
    ) -> None:
        """Write the one final reading of *instance*; a second one for it is not written.

        *sampling*: what local calibration keeps of it, in the same transaction.

        A reading that used an age or an entry which a person has corrected meanwhile is not written either: the
        instance stays waiting.
        """
        with self.database.transaction() as connection:
            age = _find_entered_age(self.database, instance.case)
            if instance.header is not None and age is not None and instance.header.patient_age != age:
                return
            if instance.entered != _find_entered_facts(self.database, instance.reference, age, instance.header is None):
                return
            row = {"key": instance.reference, "case_reference": instance.case, "body": dump_json(reading), "at": _now()}
            written = insert(connection, "readings", "INSERT OR IGNORE", **row).rowcount
            if written and sampling is not None and not _is_earlier(self.database, instance.case):
                examined = sampling.examined
                model_scores.record_scores(connection, instance.case, examined, sampling.secret, sampling.shares)
                if examined.following is not None:
                    model_scores.update_device_scores(connection, examined.place, examined.following)
            connection.execute(
                "UPDATE instances SET state = 'done', read_at = ? WHERE reference = ?", (_now(), instance.reference)
            )
            # A doctor's verdict in the open revision was given before this reading and does not apply to it.
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

    def close_revisions(
        self, quiet_seconds: float, *, report: Report | None = None, advise: Advise | None = None
    ) -> list[str]:
        """Give every study that has come to rest its next revision, and return their references.

        What the revision says is kept in the same transaction, with the follow-up that *advise* gives for it, and what
        *report* writes of it for the hospital.

        At rest: all its images are read, and the sender has released the association or has sent nothing for
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
            for row in rows:
                notify.ping_watchdog()  # after a rescue these are all the cases of the box
                case = self.load_case(row[0])
                background = self.list_background(case)
                if advise is not None:
                    case = replace(case, follow_up=advise(case, background))
                follow_up.record_conclusion(connection, case, background)
                if report is not None and not _is_earlier(self.database, row[0]):
                    report(case)
        return [row[0] for row in rows]

    def reopen(self, case: str) -> int:
        """Queue every DICOM image of *case* to be read again, inside the caller's transaction; returns how many.

        So is a picture of which a person has said what it shows.

        The old readings are kept in `superseded`.  When all are read, the case gets its next revision.
        """
        connection = self.database.connection
        again = (
            "SELECT reference FROM instances"
            " WHERE case_reference = ? AND kind IS NULL AND state = 'done'"
            " AND (header IS NOT NULL OR EXISTS (SELECT 1 FROM entered e WHERE e.instance = instances.reference))"
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
        model_scores.delete_scores(connection, case)
        if count:  # all images of a study have a header, or it is one picture: no reading is left to set the priority
            connection.execute(
                "UPDATE cases SET fresh = 1, priority = NULL, touched = ? WHERE reference = ?", (time.monotonic(), case)
            )
        return count

    def count_unread(self) -> int:
        """How many images wait to be read; cheap enough to be called often."""
        row = self.database.connection.execute("SELECT COUNT(*) FROM instances WHERE state = 'waiting'").fetchone()
        return int(row[0])


def _find_entered_age(database: Database, case: str) -> str | None:
    """The patient's age (DICOM AS) as entered by a person; None when the image's own age applies."""
    row = database.connection.execute(
        "SELECT age FROM identities WHERE case_reference = ? ORDER BY version DESC LIMIT 1", (case,)
    ).fetchone()
    return row[0] if row else None


def _find_entered_facts(database: Database, instance: str, age: str | None, is_picture: bool) -> EnteredFacts | None:
    """What a person has said of the image; of a picture with the entered *age*.  None for nothing."""
    row = database.connection.execute(
        "SELECT modality, body_part, view, population FROM entered WHERE instance = ? ORDER BY version DESC LIMIT 1",
        (instance,),
    ).fetchone()
    said = parse_row(EnteredFacts, row) if row is not None else EnteredFacts()
    if said == EnteredFacts():
        return None
    return replace(said, age=age) if is_picture and age is not None else said


def _is_earlier(database: Database, case: str) -> bool:
    """Whether the case was fetched from an archive as an earlier study: the hospital is told of none."""
    row = database.connection.execute("SELECT earlier FROM cases WHERE reference = ?", (case,)).fetchone()
    return row is not None and bool(row[0])


def _now() -> str:
    return clock.stamp_text()

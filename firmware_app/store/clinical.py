"""clinical.db: what was handed to the box, what it keeps, and what was read of it.

The door writes arrivals and instances, the reader writes readings; each in one durable transaction.  `state` of an
instance goes from waiting to done in the same transaction that writes its reading, so that a kill at any instant
leaves it either unread or read once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from pydantic import TypeAdapter

from firmware_app.errors import CaseUnknown, LanternError, NotReadYet
from firmware_app.records import (
    Case,
    FileRecord,
    FileStatus,
    Finding,
    Header,
    Instance,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
    new_reference,
)
from firmware_app.store.database import Database
from firmware_app.store.outbox import Outbox

_STEPS = ("schema.sql", "schema_2.sql", "schema_3.sql")  # step n brings schema n - 1 to schema n
SCHEMA_VERSION = len(_STEPS)
_HEADER = TypeAdapter(Header)
_READING = TypeAdapter(Reading)

# A case is as urgent as its most urgent reading; one image that could be read outweighs those that could not.
_RANK = {Priority.URGENT: 0, Priority.SOON: 1, Priority.ROUTINE: 2, Priority.CANNOT_JUDGE: 3}


@dataclass(frozen=True, slots=True)
class Held:
    """An instance that is already here under the same identity."""

    reference: str
    case: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Claim:
    """An instance the reader has begun with; `claims` counts this time in."""

    instance: Instance
    claims: int
    failures: int


@dataclass(frozen=True, slots=True)
class Counts:
    """The queue at a glance."""

    cases: int
    instances: int
    waiting: int
    refused: int


class Clinical:
    """The clinical database.  Safe to share between the threads of one process."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.outbox = Outbox(self.database)

    def create(self) -> None:
        """Make or migrate the file: the supervisor's task, or that of whoever runs alone."""
        folder = resources.files(__package__)
        self.database.create([folder.joinpath(name).read_text("utf-8") for name in _STEPS])

    def require(self) -> None:
        """Raise unless the file is ready to be used by this version."""
        self.database.require(SCHEMA_VERSION)

    # --- the door ------------------------------------------------------------------------------------------------

    def open_association(self, source: str) -> int:
        """A sender began; its studies are complete when it is closed."""
        with self.database.transaction() as connection:
            row = connection.execute(
                "INSERT INTO associations (source, opened_at) VALUES (?, ?) RETURNING id", (source, _now())
            ).fetchone()
        return int(row[0])

    def close_association(self, association: int) -> None:
        with self.database.transaction() as connection:
            connection.execute("UPDATE associations SET closed_at = ? WHERE id = ?", (_now(), association))

    def close_all_associations(self) -> None:
        """At the gateway's start: whoever was sending when it died is gone."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE associations SET closed_at = ? WHERE closed_at IS NULL", (_now(),))

    def find(self, sop_uid: str | None, sha256: str) -> Held | None:
        """The instance with this SOP Instance UID (for a picture: with these bytes), if it is here."""
        return _find(self.database, sop_uid, sha256)

    def admit(
        self, *, path: str, file: str, sha256: str, size: int, header: Header | None, association: int | None
    ) -> Instance | Held:
        """Record an accepted object whose bytes are already durable at *file*; durable on return.

        Returns the new instance, or what is `Held` already under that identity (then nothing was written).
        """
        with self.database.transaction() as connection:
            held = _find(self.database, header.sop_instance_uid if header else None, sha256)
            if held is not None:
                return held
            case = self._case_for(header)
            instance = Instance(new_reference("i"), case, file, header)
            connection.execute(
                "INSERT INTO instances (reference, case_reference, sop_uid, series_uid, file, sha256, bytes, header,"
                " association, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    instance.reference,
                    case,
                    header.sop_instance_uid if header else None,
                    header.series_instance_uid if header else None,
                    file,
                    sha256,
                    size,
                    _HEADER.dump_json(header).decode() if header else None,
                    association,
                    _now(),
                ),
            )
            _arrived(self.database, path, "accepted", instance.reference, case, None, None)
        return instance

    def _case_for(self, header: Header | None) -> str:
        """The case of this study, opened or freshened.  Pictures without a study are a case each."""
        connection = self.database.connection
        study = header.study_instance_uid if header else None
        if study is not None:
            row = connection.execute(
                "UPDATE cases SET fresh = 1, touched = ? WHERE study_uid = ? RETURNING reference",
                (time.monotonic(), study),
            ).fetchone()
            if row is not None:
                return str(row[0])
        reference = new_reference("c")
        connection.execute(
            "INSERT INTO cases (reference, study_uid, modality, opened_at, touched) VALUES (?, ?, ?, ?, ?)",
            (reference, study, header.modality if header else None, _now(), time.monotonic()),
        )
        return reference

    def record_duplicate(self, path: str, held: Held) -> None:
        """The same object came again; the sender is told that all is well."""
        with self.database.transaction():
            _arrived(self.database, path, "duplicate", held.reference, held.case, None, None)

    def record_refusal(
        self, path: str, error: LanternError, *, held: Held | None = None, kept_file: str | None = None
    ) -> None:
        """Something was refused; for a conflict, *held* is the instance in use and *kept_file* the one set aside."""
        with self.database.transaction():
            _arrived(self.database, path, "refused", None, held.case if held else None, error, kept_file)

    def reread(self, held: Held) -> None:
        """The lost file of *held* comes back: forget what was read without it, and let it be read again.

        The reading so far is kept under `superseded`.  While another reading of the case stands, so does the case's
        priority: it may be too urgent for a moment, never too calm.
        """
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO superseded (key, case_reference, body, read_at, replaced_at)"
                " SELECT key, case_reference, body, at, ? FROM readings WHERE key = ?",
                (_now(), held.reference),
            )
            connection.execute("DELETE FROM readings WHERE key = ?", (held.reference,))
            connection.execute(
                "UPDATE instances SET state = 'waiting', claims = 0, failures = 0, read_at = NULL WHERE reference = ?",
                (held.reference,),
            )
            connection.execute(
                "UPDATE cases SET fresh = 1, touched = ?, priority = CASE WHEN EXISTS"
                " (SELECT 1 FROM readings r WHERE r.case_reference = cases.reference) THEN priority END"
                " WHERE reference = ?",
                (time.monotonic(), held.case),
            )

    # --- the reader ----------------------------------------------------------------------------------------------

    def claim(self) -> Claim | None:
        """The oldest waiting instance, its claim counted durably *before* anyone opens it."""
        connection = self.database.connection
        if connection.execute("SELECT 1 FROM instances WHERE state = 'waiting' LIMIT 1").fetchone() is None:
            return None
        with self.database.transaction() as connection:
            row = connection.execute(
                "UPDATE instances SET claims = claims + 1 WHERE sequence ="
                " (SELECT sequence FROM instances WHERE state = 'waiting' ORDER BY sequence LIMIT 1)"
                " RETURNING reference, case_reference, file, header, claims, failures"
            ).fetchone()
            age = _entered_age(self.database, row["case_reference"]) if row else None
        if row is None:
            return None
        header = _HEADER.validate_json(row["header"]) if row["header"] else None
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
                (instance.reference, instance.case, _READING.dump_json(reading).decode(), _now()),
            )
            connection.execute(
                "UPDATE instances SET state = 'done', read_at = ? WHERE reference = ?", (_now(), instance.reference)
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
                f"UPDATE cases SET revision = revision + 1, fresh = 0 WHERE {resting} RETURNING reference", values
            ).fetchall()
            if report:
                for row in rows:
                    self.outbox.put(self.case(row[0]))
        return [row[0] for row in rows]

    def reopen(self, case: str) -> int:
        """Have every DICOM image of *case* read again, inside the caller's transaction; returns how many.

        The readings so far are kept under `superseded`.  The case comes to rest again with its next revision.
        """
        connection = self.database.connection
        again = "SELECT reference FROM instances WHERE case_reference = ? AND header IS NOT NULL AND state = 'done'"
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

    def at_rest(self) -> bool:
        """Whether nothing waits to be read and every case has its revision."""
        row = self.database.connection.execute(
            "SELECT EXISTS (SELECT 1 FROM instances WHERE state = 'waiting')"
            " OR EXISTS (SELECT 1 FROM cases WHERE fresh = 1)"
        ).fetchone()
        return not row[0]

    # --- questions -----------------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        row = self.database.connection.execute(
            "SELECT (SELECT COUNT(*) FROM cases), (SELECT COUNT(*) FROM instances),"
            " (SELECT COUNT(*) FROM instances WHERE state = 'waiting'),"
            " (SELECT COUNT(*) FROM arrivals WHERE outcome = 'refused')"
        ).fetchone()
        return Counts(*row)

    def latest_refusal(self) -> Reason | None:
        """Why the newest refused object was refused; None when nothing ever was."""
        row = self.database.connection.execute(
            "SELECT code, details FROM arrivals WHERE outcome = 'refused' ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        return Reason(row["code"], json.loads(row["details"])) if row else None

    def case(self, reference: str) -> Case:
        """The case with this reference; raises `CaseUnknown`."""
        row = self.database.connection.execute("SELECT * FROM cases WHERE reference = ?", (reference,)).fetchone()
        if row is None:
            raise CaseUnknown(case=reference[:40])
        return self._assemble(row["reference"], row["study_uid"], row["modality"], row["revision"], row["priority"])

    def cases(self) -> Iterator[Case]:
        """Every case, most urgent first, then newest first."""
        rows = self.database.connection.execute(
            "SELECT * FROM cases ORDER BY CASE priority WHEN 'urgent' THEN 0 WHEN 'soon' THEN 1"
            " WHEN 'cannot-judge' THEN 2 WHEN 'routine' THEN 3 ELSE 4 END, opened_at DESC, reference"
        ).fetchall()
        for row in rows:
            yield self._assemble(row["reference"], row["study_uid"], row["modality"], row["revision"], row["priority"])

    def homeless(self) -> Case | None:
        """What arrived and belongs to no case (refused at the door), as a case without a reference; None if nothing."""
        files = self._files(None)
        if not files:
            return None
        return Case(None, None, None, 0, None, files, (), (), ())

    def _assemble(
        self, reference: str, study: str | None, modality: str | None, revision: int, priority: str | None
    ) -> Case:
        readings = tuple(
            _READING.validate_json(row[0])
            for row in self.database.connection.execute(
                "SELECT r.body FROM readings r LEFT JOIN instances i ON i.reference = r.key"
                " WHERE r.case_reference = ? ORDER BY i.sequence",
                (reference,),
            )
        )
        best: dict[str, Finding] = {}
        for reading in readings:
            for finding in reading.findings:
                if finding.code not in best or finding.probability > best[finding.code].probability:
                    best[finding.code] = finding
        return Case(
            reference,
            study,
            modality,
            revision,
            Priority(priority) if priority else None,
            self._files(reference),
            readings,
            tuple(best.values()),
            tuple(lesion for reading in readings for lesion in reading.lesions),
        )

    def _files(self, case: str | None) -> tuple[FileRecord, ...]:
        rows = self.database.connection.execute(
            "SELECT a.path, a.outcome, a.instance, a.code, a.details, r.body FROM arrivals a"
            " LEFT JOIN readings r ON r.key = a.instance WHERE a.case_reference IS ? ORDER BY a.sequence",
            (case,),
        )
        return tuple(
            _file_record(row["path"], row["outcome"], row["instance"], row["code"], row["details"], row["body"])
            for row in rows
        )


def _file_record(
    path: str, outcome: str, instance: str | None, code: str | None, details: str | None, body: str | None
) -> FileRecord:
    if outcome == "refused":
        return FileRecord(path, None, FileStatus.REFUSED, Reason(code or "", json.loads(details or "{}")))
    if outcome == "duplicate":
        return FileRecord(path, instance, FileStatus.DUPLICATE, None)
    if body is None:
        return FileRecord(path, instance, FileStatus.CANNOT_JUDGE, Reason.of(NotReadYet()))
    reading = _READING.validate_json(body)
    status = FileStatus.READ if reading.status is ReadingStatus.READ else FileStatus.CANNOT_JUDGE
    return FileRecord(path, instance, status, reading.reason)


def _entered_age(database: Database, case: str) -> str | None:
    """The patient's age (DICOM AS) as a person entered it; None when the image's own holds."""
    row = database.connection.execute(
        "SELECT age FROM identities WHERE case_reference = ? ORDER BY version DESC LIMIT 1", (case,)
    ).fetchone()
    return row[0] if row else None


def _find(database: Database, sop_uid: str | None, sha256: str) -> Held | None:
    column, value = ("sop_uid", sop_uid) if sop_uid is not None else ("sop_uid IS NULL AND sha256", sha256)
    row = database.connection.execute(
        f"SELECT reference, case_reference, file, sha256 FROM instances WHERE {column} = ?", (value,)
    ).fetchone()
    return Held(*row) if row else None


def _arrived(
    database: Database,
    path: str,
    outcome: str,
    instance: str | None,
    case: str | None,
    error: LanternError | None,
    kept_file: str | None,
) -> None:
    """One line of the door's journal, inside the caller's transaction."""
    database.connection.execute(
        "INSERT INTO arrivals (path, outcome, instance, case_reference, code, details, kept_file, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            path,
            outcome,
            instance,
            case,
            error.code if error else None,
            json.dumps(error.details) if error else None,
            kept_file,
            _now(),
        ),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""The export's side of clinical.db: the files of a case, the secret for new identities, audit entries, and consents.

The audit records an export before anything leaves the box, and its end.  If the end could not be written (a full disk,
a power cut), the entry stays open; the next start of the box or the next export closes it with an unknown end.

A case is given to a model engineer for training only with the patient's consent, as a doctor noted it.  What was given
already is recorded too.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.audit import AuditEntry
from firmware_app.cases.casebook import Casebook
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.references import References
from firmware_app.core import clock, locks
from firmware_app.core.database import Database
from firmware_app.core.records import Detail
from firmware_app.core.rows import StoredTime, insert, parse_row

log = logging.getLogger("lantern.export")

_PURPOSE: Final = "de-identification"
BEGUN: Final = "export.begun"
DONE: Final = "export.done"
STOPPED: Final = "export.stopped"
UNKNOWN: Final = "export.unknown"
_BOX: Final = "box"  # the actor of entries that no person caused


@dataclass(frozen=True, slots=True)
class ExportImage:
    """One image of a case: its reference, its file below the state directory, and whether that is a DICOM object."""

    reference: str
    file: str
    is_dicom: bool


class Exports:
    """What an export needs of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_images(self, case: str) -> tuple[ExportImage, ...]:
        """The images of *case* in order of arrival; raises `CaseUnknown`."""
        Casebook(self._database).load_case(case)
        rows = self._database.connection.execute(
            "SELECT reference, file, header IS NOT NULL FROM instances WHERE case_reference = ? ORDER BY sequence",
            (case,),
        )
        return tuple(ExportImage(row[0], row[1], bool(row[2])) for row in rows)

    def list_sent_observations(self, case: str) -> set[str]:
        """Every FHIR Observation that a message of *case* ever had."""
        rows = self._database.connection.execute("SELECT uid FROM told_observations WHERE case_reference = ?", (case,))
        return {row["uid"] for row in rows}

    def note_observations(self, case: str, names: Iterable[str]) -> None:
        """A message of *case* with these FHIR Observations is about to leave."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO told_observations (case_reference, uid) SELECT reference, ?2 FROM cases"
                " WHERE reference = ?1",
                [(case, name) for name in names],
            )

    def derive_key(self) -> bytes:
        """The secret for the new identities; raises `REFERENCES_LOST`.

        It is derived from the references' secret, so it is as durable, and a rescue restores it.
        """
        references = References(self._database.path.parent)
        references.load(self._database.connection)
        return references.derive_subkey(_PURPOSE)

    @contextmanager
    def mark_in_progress(self) -> Iterator[None]:
        """Mark an export as under way until the block ends, so that no other process closes its audit entry."""
        with lock_exports(self._database.path, exclusive=False):
            yield

    def create_audit(self, case: str, person: str, **marks: int) -> ExportAudit:
        """The audit entries for an export of *case* by *person* at the console."""
        return ExportAudit(self, self._database, case, person, marks)

    def close_abandoned(self) -> None:
        """Record an unknown end for each export that was killed; does nothing while an export is under way, and on a
        full disk, where the entries stay open until the next time."""
        try:
            with lock_exports(self._database.path, exclusive=True) as alone:
                for entry in self.list_unended() if alone else ():
                    account = str(entry.details.get("account", ""))
                    audit.Audit(self._database).record(_BOX, UNKNOWN, entry.case, account=account, begun=entry.sequence)
        except (OSError, sqlite3.Error) as error:
            log.warning("an export that was cut off cannot be closed in the audit: %s", str(error))

    def list_unknown_ends(self) -> list[AuditEntry]:
        """The begin entries of exports with an unknown end, closed or not, oldest first."""
        entries = self._entries()
        unknown = {entry.details.get("begun") for entry in entries if entry.action == UNKNOWN}
        with suppress(OSError), lock_exports(self._database.path, exclusive=True) as alone:
            unknown |= {entry.sequence for entry in self.list_unended()} if alone else set()
        return [entry for entry in entries if entry.action == BEGUN and entry.sequence in unknown]

    def list_unended(self) -> list[AuditEntry]:
        """The begin entries without an end."""
        entries = self._entries()
        ended = {entry.details.get("begun") for entry in entries}
        return [entry for entry in entries if entry.action == BEGUN and entry.sequence not in ended]

    def _entries(self) -> list[AuditEntry]:
        rows = self._database.connection.execute(
            "SELECT * FROM audit WHERE action IN (?, ?, ?, ?) ORDER BY sequence", (BEGUN, DONE, STOPPED, UNKNOWN)
        )
        entries = []
        for row in rows:
            try:
                entries.append(audit.parse_entry(row))
            except ValueError:  # it was altered; `lantern audit verify` names it
                continue
        return entries


@dataclass(slots=True)
class ExportAudit:
    """The audit entries of one export: its beginning and one end.  Both are durable on return."""

    exports: Exports
    database: Database
    case: str
    person: str
    marks: dict[str, int]
    _begun: int | None = field(default=None, init=False)

    def begin(self, **counts: int) -> None:
        with self.database.transaction() as connection:
            details: dict[str, Detail] = {"account": self.person, **counts, **self.marks}
            audit.append(connection, audit.CONSOLE, BEGUN, self.case, details)
            # Stored before the commit, so that the entry gets an end if a signal comes right after.
            self._begun = int(connection.execute("SELECT MAX(sequence) FROM audit").fetchone()[0])

    def end(self, action: str, **counts: int) -> None:
        """Record the end; does nothing if the export has not begun or has already ended."""
        if any(entry.sequence == self._begun for entry in self.exports.list_unended()):
            details: dict[str, Detail] = {"account": self.person, "begun": self._begun or 0, **counts, **self.marks}
            audit.Audit(self.database).record(audit.CONSOLE, action, self.case, **details)


@contextmanager
def lock_exports(database: Path, *, exclusive: bool) -> Iterator[bool]:
    """Whether the lock of all exports from *database* was acquired; a shared one is waited for.

    On a read-only disk, where no export can begin, there is no exclusive lock.  Raises `OSError`.
    """
    descriptor = locks.open_lock_file(database.with_name(f"{database.name}-export"))
    if descriptor is None:
        yield not exclusive
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        taken = True
    except BlockingIOError:
        taken = False
    try:
        yield taken
    finally:
        os.close(descriptor)


_LAST = "sequence IN (SELECT MAX(sequence) FROM feedback_consents GROUP BY case_reference)"


@dataclass(frozen=True, slots=True)
class Consent:
    """What a doctor noted of a case: that the patient agrees, and that no words in its pictures name anybody."""

    given: bool
    looked: bool
    actor: str
    at: StoredTime

    @property
    def is_allowed(self) -> bool:
        """Whether the case may be given away."""
        return self.given and self.looked


class FeedbackConsents:
    """The consents of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_consent(self, case: str) -> Consent | None:
        """What was noted last of *case*; None where nobody has noted anything."""
        row = self._database.connection.execute(
            f"SELECT * FROM feedback_consents WHERE case_reference = ? AND {_LAST}", (case,)
        ).fetchone()
        return parse_row(Consent, row) if row is not None else None

    def record_consent(self, case: str, actor: str, *, given: bool, looked: bool) -> None:
        """Note the consent, or that it is taken back; raises `CaseUnknown`."""
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
                raise CaseUnknown(case=case[:40])
            row = {"case_reference": case, "given": given, "looked": looked, "actor": actor}
            insert(connection, "feedback_consents", **row, at=clock.stamp_text())
            details: dict[str, Detail] = {"given": int(given), "looked": int(looked)}
            audit.append(connection, actor, "feedback.consent", case, details)

    def list_consented_cases(self) -> tuple[str, ...]:
        """The cases that may be given away, in the order of their consents."""
        rows = self._database.connection.execute(
            f"SELECT case_reference FROM feedback_consents WHERE {_LAST} AND given = 1 AND looked = 1 ORDER BY sequence"
        )
        return tuple(row["case_reference"] for row in rows)

    def list_given(self) -> dict[str, str]:
        """Instance -> the state in which it was given."""
        return dict(self._database.connection.execute("SELECT instance, state FROM feedback_given").fetchall())

    def record_export(self, films: Mapping[tuple[str, str], str], actor: str, **facts: Detail) -> None:
        """Record, before it leaves, that a file with *films*, (case, instance) -> state, was made by *actor*."""
        with self._database.transaction() as connection:
            for (case, instance), state in films.items():
                row = {"instance": instance, "case_reference": case, "state": state, "at": clock.stamp_text()}
                insert(connection, "feedback_given", "INSERT OR REPLACE", **row)
            for case in dict.fromkeys(case for case, _ in films):
                count = sum(1 for of, _ in films if of == case)
                audit.append(connection, actor, "feedback.exported", case, {"films": count, **facts})

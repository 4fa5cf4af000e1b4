"""The export's side of clinical.db: the files of a case, the secret for new identities, audit entries, and consents.

The audit records an export before anything leaves the box, and its end.  If the end could not be written (a full disk,
a power cut), the entry stays open; the next start of the box or the next export closes it with an unknown end.

A case is given to a model engineer for training only with the patient's consent, as a doctor noted it.  What was given
already is recorded too.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.cases import audit, export_staging
from firmware_app.cases.audit import AuditEntry
from firmware_app.cases.casebook import Casebook
from firmware_app.cases.errors import EXPORT_HELD, CaseUnknown
from firmware_app.cases.references import References
from firmware_app.core import clock, locks
from firmware_app.core.database import Database
from firmware_app.core.errors import StateUnusable
from firmware_app.core.locks import NoLocks
from firmware_app.core.records import Detail
from firmware_app.core.state_dir import StateDir, clear_away

log = logging.getLogger("lantern.export")

_PURPOSE: Final = "de-identification"
BEGUN: Final = "export.begun"
DONE: Final = "export.done"
STOPPED: Final = "export.stopped"
UNKNOWN: Final = "export.unknown"
_BOX: Final = "box"  # the actor of entries that no person caused
_LOCK: Final = "-export"  # beside the database: held by every export that is under way
_PATIENCE_S: Final = 5.0  # `close_left` holds the lock for as long as it takes to read the audit
_NO_FILE: Final = frozenset({errno.EISDIR, errno.ELOOP, errno.ENXIO})  # a folder, a link, a socket


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

    def images(self, case: str) -> tuple[ExportImage, ...]:
        """The images of *case* in order of arrival; raises `CaseUnknown`."""
        Casebook(self._database).case(case)
        rows = self._database.connection.execute(
            "SELECT reference, file, header IS NOT NULL FROM instances WHERE case_reference = ? ORDER BY sequence",
            (case,),
        )
        return tuple(ExportImage(row[0], row[1], bool(row[2])) for row in rows)

    def sent_observations(self, case: str) -> set[str]:
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

    def key(self) -> bytes:
        """The secret for the new identities; raises `REFERENCES_LOST`.

        It is derived from the references' secret, so it is as durable, and a rescue restores it.
        """
        references = References(self._database.path.parent)
        references.load(self._database.connection)
        return references.subkey(_PURPOSE)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Mark an export as under way until the block ends, so that no other process closes its audit entry.

        Raises `EXPORT_HELD` while another process holds the lock, and `StateUnusable`.
        """
        with ExitStack() as held:
            try:
                taken = held.enter_context(self._locked(fcntl.LOCK_SH, _PATIENCE_S))
            except NoLocks:
                taken = True  # without locks nobody closes the entries of others
            except OSError as error:
                path = str(self._database.path.parent)
                raise StateUnusable(path=path, detail=error.strerror or str(error)) from None
            if not taken:
                raise EXPORT_HELD(file=self._database.path.name + _LOCK, seconds=round(_PATIENCE_S))
            yield

    def telling(self, case: str, person: str, **marks: int) -> ExportAudit:
        """The audit entries for an export of *case* by *person* at the console."""
        return ExportAudit(self, self._database, case, person, marks)

    def close_left(self) -> None:
        """Record an unknown end for each export that was killed; does nothing while an export is under way.

        On a full disk, or one without locks, the entries stay open until the next time.
        """
        try:
            with self._locked(fcntl.LOCK_EX) as alone:
                for entry in self.without_end() if alone else ():
                    account = str(entry.details.get("account", ""))
                    audit.Audit(self._database).record(_BOX, UNKNOWN, entry.case, account=account, begun=entry.sequence)
        except NoLocks:
            return
        except (OSError, sqlite3.Error) as error:
            log.warning("an export that was cut off cannot be closed in the audit: %s", str(error))

    def of_unknown_end(self) -> list[AuditEntry]:
        """The begin entries of exports with an unknown end, closed or not, oldest first."""
        entries = self._entries()
        unknown = {one.details.get("begun") for one in entries if one.action == UNKNOWN}
        with suppress(OSError, NoLocks), self._locked(fcntl.LOCK_EX) as alone:
            unknown |= {one.sequence for one in self.without_end()} if alone else set()
        return [one for one in entries if one.action == BEGUN and one.sequence in unknown]

    def without_end(self) -> list[AuditEntry]:
        """Begin entries without an end.  An end without a number (of an earlier version) ends its case's last one."""
        begun_entries: dict[int, AuditEntry] = {}
        for entry in self._entries():
            if entry.action == BEGUN:
                begun_entries[entry.sequence] = entry
            elif isinstance(begun := entry.details.get("begun"), int):
                begun_entries.pop(begun, None)
            else:
                same = [number for number, one in begun_entries.items() if one.case == entry.case]
                begun_entries.pop(max(same, default=0), None)
        return list(begun_entries.values())

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

    def _locked(self, how: int, seconds: float = 0.0) -> AbstractContextManager[bool]:
        return _lock(self._database.path, how, seconds)


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
        if any(one.sequence == self._begun and one.case == self.case for one in self.exports.without_end()):
            details: dict[str, Detail] = {"account": self.person, "begun": self._begun or 0, **counts, **self.marks}
            audit.Audit(self.database).record(audit.CONSOLE, action, self.case, **details)


def remove_stale_stages(state: StateDir) -> None:
    """Remove what killed exports left on the box's own disk.

    While an export is under way, or on a disk without locks, only folders of an earlier boot are removed.
    """
    with suppress(OSError):
        try:
            with _lock(state.clinical_db, fcntl.LOCK_EX) as alone:
                export_staging.remove_stages(state, of_this_boot=alone)
        except NoLocks:
            export_staging.remove_stages(state, of_this_boot=False)


@contextmanager
def _lock(database: Path, how: int, seconds: float = 0.0) -> Iterator[bool]:
    """Whether the lock was acquired within *seconds*; on a read-only disk, where no export can begin, whether a shared
    lock is enough.  Raises `NoLocks` and `OSError`."""
    path = database.with_name(database.name + _LOCK)
    descriptor = _open_lock(path)
    if descriptor is None:
        yield how == fcntl.LOCK_SH
        return
    try:
        taken = locks.acquire_lock(descriptor, how, seconds)
        if not taken and seconds:
            log.warning("%s is held by %s", path.name, locks.describe_holders(descriptor) or "another process")
        yield taken
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int | None:
    """The lock file's descriptor; None where the clinical group has put something else in its place."""
    try:
        return locks.open_lock_file(path)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
    clear_away(path)
    log.warning("%s was no file, and was put out of the way", path.name)
    return locks.open_lock_file(path)


_LAST = "sequence IN (SELECT MAX(sequence) FROM feedback_consents GROUP BY case_reference)"


@dataclass(frozen=True, slots=True)
class Consent:
    """What a doctor noted of a case: that the patient agrees, and that no words in its pictures name anybody."""

    given: bool
    looked: bool
    actor: str
    at: clock.Stamp

    @property
    def allows(self) -> bool:
        """Whether the case may be given away."""
        return self.given and self.looked


class FeedbackConsents:
    """The consents of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def consent(self, case: str) -> Consent | None:
        """What was noted last of *case*; None where nobody has noted anything."""
        row = self._database.connection.execute(
            f"SELECT * FROM feedback_consents WHERE case_reference = ? AND {_LAST}", (case,)
        ).fetchone()
        if row is None:
            return None
        return Consent(bool(row["given"]), bool(row["looked"]), row["actor"], clock.parse_stamp(row["at"]))

    def note(self, case: str, actor: str, *, given: bool, looked: bool) -> None:
        """Note the consent, or that it is taken back; raises `CaseUnknown`."""
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
                raise CaseUnknown(case=case[:40])
            connection.execute(
                "INSERT INTO feedback_consents (case_reference, given, looked, actor, at) VALUES (?, ?, ?, ?, ?)",
                (case, given, looked, actor, clock.stamp_text()),
            )
            details: dict[str, Detail] = {"given": int(given), "looked": int(looked)}
            audit.append(connection, actor, "feedback.consent", case, details)

    def cases(self) -> tuple[str, ...]:
        """The cases that may be given away, in the order of their consents."""
        rows = self._database.connection.execute(
            f"SELECT case_reference FROM feedback_consents WHERE {_LAST} AND given = 1 AND looked = 1 ORDER BY sequence"
        )
        return tuple(row["case_reference"] for row in rows)

    def given(self) -> dict[str, str]:
        """Instance -> the state in which it was given."""
        return dict(self._database.connection.execute("SELECT instance, state FROM feedback_given").fetchall())

    def leave(self, films: Mapping[tuple[str, str], str], actor: str, **facts: Detail) -> None:
        """Record, before it leaves, that a file with *films*, (case, instance) -> state, was made by *actor*."""
        with self._database.transaction() as connection:
            for (case, instance), state in films.items():
                connection.execute(
                    "INSERT OR REPLACE INTO feedback_given (instance, case_reference, state, at) VALUES (?, ?, ?, ?)",
                    (instance, case, state, clock.stamp_text()),
                )
            for case in dict.fromkeys(case for case, _ in films):
                count = sum(1 for of, _ in films if of == case)
                audit.append(connection, actor, "feedback.exported", case, {"films": count, **facts})

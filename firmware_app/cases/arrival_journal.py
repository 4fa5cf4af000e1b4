"""The gateway's side of clinical.db: associations, arrivals, accepted instances, and their cases."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from firmware_app.cases import quarantine, study_cases
from firmware_app.cases.references import References
from firmware_app.cases.registrations import tie_arrival
from firmware_app.core import clock
from firmware_app.core.database import Database, GroupCommit
from firmware_app.core.errors import LanternError
from firmware_app.core.records import Header, Instance
from firmware_app.core.rows import dump_json, insert
from firmware_app.dicom.patient_data import Person
from firmware_app.dicom.sop_classes import object_kind

ARCHIVE: Final = "archive:"
"""How the source of an association begins in which the box fetches an earlier study."""
NO_IDENTITY: Final[Mapping[str, str]] = MappingProxyType({})
UNKNOWN_PERSON: Final = Person()


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance that the box already has under the same identity."""

    reference: str
    case: str
    file: str
    sha256: str


class ArrivalJournal:
    """What the gateway and the importer write, each in one durable transaction."""

    def __init__(self, database: Database, folder: Path, *, keeps_every_line: bool = False) -> None:
        self.database = database
        self._keeps_every_line = keeps_every_line
        self._references = References(folder)
        self._root = folder.parent
        self._together = GroupCommit(database)

    def establish_references(self) -> None:
        """Make both copies of the references' secret, at start."""
        with self.database.transaction() as connection:
            (images,) = connection.execute("SELECT EXISTS (SELECT 1 FROM instances)").fetchone()
            on_disk = any((self._root / "images").glob("*/*"))  # a rescue without a copy begins with an empty database
            self._references.establish(connection, may_draw=not (images or on_disk))

    def derive_subkey(self, purpose: str) -> bytes:
        """A secret of this box for *purpose* (`References.derive_subkey`)."""
        self._references.load(self.database.connection)
        return self._references.derive_subkey(purpose)

    def open_association(self, source: str) -> int:
        """Record the start of an association; its studies are complete when it is closed."""
        with self.database.transaction() as connection:
            row = connection.execute(
                "INSERT INTO associations (source, opened_at) VALUES (?, ?) RETURNING id", (source, _now())
            ).fetchone()
        return int(row[0])

    def close_association(self, association: int) -> None:
        with self.database.transaction() as connection:
            connection.execute("UPDATE associations SET closed_at = ? WHERE id = ?", (_now(), association))

    def close_all_associations(self) -> None:
        """Close the associations that were open when the gateway last stopped; called at its start."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE associations SET closed_at = ? WHERE closed_at IS NULL", (_now(),))

    def find(self, sop_uid: str | None, sha256: str) -> StoredInstance | None:
        """The instance with this SOP Instance UID (for a picture: with these bytes), if the box has it."""
        return _find(self.database, sop_uid, sha256)

    def admit(
        self,
        *,
        path: str,
        file: str,
        sha256: str,
        size: int,
        header: Header | None,
        association: int | None,
        identity: Mapping[str, str] = NO_IDENTITY,
        person: Person = UNKNOWN_PERSON,
    ) -> Instance | StoredInstance:
        """Record an accepted object whose bytes are already durable at *file*; durable on return.

        *identity*: what it says of the patient; with it, its case may be tied to a registered one.  *person*: the same,
        by which the patients of a study are told apart.

        Returns the new instance, or the one `StoredInstance` under that identity (then nothing was written).
        """

        def write(connection: sqlite3.Connection) -> Instance | StoredInstance:
            held = _find(self.database, header.sop_instance_uid if header else None, sha256)
            if held is not None:
                return held
            self._references.load(connection)
            kind = object_kind(header) if header else None
            case = self._assign_case(header, sha256, person, association, is_image=kind is None)
            study_cases.record_person(connection, case, header, person)
            instance = Instance(self._references.derive_instance(header, sha256), case, file, header)
            insert(
                connection,
                "instances",
                reference=instance.reference,
                case_reference=case,
                sop_uid=header.sop_instance_uid if header else None,
                series_uid=header.series_instance_uid if header else None,
                file=file,
                sha256=sha256,
                bytes=size,
                header=dump_json(header) if header else None,
                association=association,
                received_at=_now(),
                kind=kind,
                state="waiting" if kind is None else "done",
            )
            _record_arrival(connection, path, "accepted", instance=instance.reference, case_reference=case)
            if header is not None and kind is None:
                tie_arrival(connection, case, header, identity, person)
            return instance

        return self._together.write(write)

    def _assign_case(
        self, header: Header | None, sha256: str, person: Person, association: int | None, *, is_image: bool
    ) -> str:
        """The case that an object of *person* belongs to, opened if new; an image marks it as fresh.

        Each picture without a study is a case of its own.  It is an earlier one as long as all that came of it was
        fetched from an archive.
        """
        connection = self.database.connection
        known = study_cases.find_case(connection, header, person)
        if known is not None and not is_image:
            return known
        source = connection.execute("SELECT source FROM associations WHERE id = ?", (association,)).fetchone()
        earlier = int(is_image and source is not None and source[0].startswith(ARCHIVE))
        modality = header.modality if header is not None and is_image else None
        if known is not None:
            connection.execute(
                "UPDATE cases SET fresh = 1, touched = ?, modality = COALESCE(modality, ?), earlier = MIN(earlier, ?)"
                " WHERE reference = ?",
                (time.monotonic(), modality, earlier, known),
            )
            return known
        reference, study, shared = study_cases.identify_new_case(connection, self._references, header, sha256, person)
        connection.execute(  # after a rescue, a picture's case may exist without its image
            "INSERT INTO cases (reference, study_uid, shared_study, modality, opened_at, touched, earlier, fresh,"
            " revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
            " COALESCE((SELECT revision FROM retired WHERE case_reference = ?1), 0))"  # the hospital knows these
            " ON CONFLICT (reference) DO UPDATE SET fresh = MAX(fresh, excluded.fresh), touched = excluded.touched",
            (reference, study, shared, modality, _now(), time.monotonic(), earlier, int(is_image)),
        )
        return reference

    def record_duplicate(self, path: str, held: StoredInstance) -> None:
        """Record that the same object came again; the sender gets a success status."""
        with self.database.transaction() as connection:
            _record_arrival(connection, path, "duplicate", instance=held.reference, case_reference=held.case)
            self._limit_journal("duplicate")

    def record_refusal(
        self, path: str, error: LanternError, *, held: StoredInstance | None = None, kept_file: str | None = None
    ) -> None:
        """Record a refusal; for a conflict, *held* is the instance in use and *kept_file* the file set aside."""
        with self.database.transaction() as connection:
            _record_arrival(
                connection,
                path,
                "refused",
                case_reference=held.case if held else None,
                code=error.code,
                details=json.dumps(error.details),
                kept_file=kept_file,
            )
            self._limit_journal("refused")

    def _limit_journal(self, outcome: str) -> None:
        """Bound the journal: a sender that repeats itself for ever must not fill the disk with lines."""
        if not self._keeps_every_line:
            quarantine.limit_journal(self.database.connection, outcome)

    def requeue(self, held: StoredInstance) -> None:
        """The lost file of *held* has come back: discard the reading made without it, and queue it to be read again.

        The old reading is kept in `superseded`.  If the case has another reading, it keeps its priority until the new
        reading: it may be too urgent for a while, but never not urgent enough.
        """
        with self.database.transaction() as connection:
            is_image = "SELECT 1 FROM instances WHERE reference = ? AND kind IS NULL"
            if connection.execute(is_image, (held.reference,)).fetchone() is None:
                return
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


def _find(database: Database, sop_uid: str | None, sha256: str) -> StoredInstance | None:
    column, value = ("sop_uid", sop_uid) if sop_uid is not None else ("sop_uid IS NULL AND sha256", sha256)
    row = database.connection.execute(
        f"SELECT reference, case_reference, file, sha256 FROM instances WHERE {column} = ?", (value,)
    ).fetchone()
    return StoredInstance(*row) if row else None


def _record_arrival(connection: sqlite3.Connection, path: str, outcome: str, **values: str | None) -> None:
    """Write one line of the arrival journal, inside the caller's transaction."""
    insert(connection, "arrivals", path=path, outcome=outcome, at=_now(), **values)


def _now() -> str:
    return clock.stamp_text()

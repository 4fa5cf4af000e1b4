"""The registered patients: who is on the worklist, and whose images have come.

An image belongs to a registration when it has its Study Instance UID and no other patient's number, or, since many
machines make a Study Instance UID of their own, its accession number and its patient's number; and when it does not
state another sex, or an age that differs by more than two years.  A name never decides: two patients of one name stay
apart.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from typing import Final

from firmware_app.cases import audit, study_cases
from firmware_app.cases.errors import PatientIdTaken, RegistrationImaged, RegistrationUnknown
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Header, Reason
from firmware_app.core.rows import StoredTime, dump_reason, insert, parse_reason, parse_row
from firmware_app.dicom.patient_data import LARGEST_DIFFERENCE_YEARS, Person, parse_age_years
from firmware_app.dicom.worklist import EXAMINATIONS, WorklistEntry

ACTOR: Final = "box"
LEFT_OUT: Final = "worklist.left_out"
KEPT_DAYS: Final = 90
"""Older ones whose case is not on the box are deleted when somebody is registered."""
_FIELDS: Final = tuple(field.name for field in fields(WorklistEntry))
_CASE: Final = (
    "(SELECT i.case_reference FROM identities i WHERE i.registration = r.accession AND i.version ="
    " (SELECT MAX(version) FROM identities o WHERE o.case_reference = i.case_reference) LIMIT 1)"
)


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration, who made it when, and the case with its images."""

    registered: WorklistEntry
    cancelled: bool
    actor: str
    at: StoredTime
    case: str | None


class Registrations:
    """The registrations of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: WorklistEntry, actor: str, *, same_person: bool = False) -> Registration:
        """Keep *new*, durable on return; a second time with its accession number it is the same entry.

        Raises `PatientIdTaken` when the patient's number was registered with another name, birth date or sex, unless
        a person has said that it is the *same_person*.
        """
        with self._database.transaction() as connection:
            known = connection.execute("SELECT 1 FROM registrations WHERE accession = ?", (new.accession,)).fetchone()
            if known is None:
                if not same_person and _is_other_patient(connection, new):
                    raise PatientIdTaken
                insert(connection, "registrations", **asdict(new), actor=actor, at=clock.stamp_text("seconds"))
                _forget_old(connection)
                audit.append(connection, actor, "registration.added", "", {"registration": new.accession})
        return self.require_entry(new.accession)

    def import_entries(self, origin: str, entries: Sequence[WorklistEntry], since: date) -> int:
        """Make *entries* those of the hospital's worklist *origin*, scheduled on or after *since*; returns how many are
        new.

        What it lists no more is cancelled, unless its images have come.  An entry of this box is never changed.
        """
        listed = {entry.accession: entry for entry in entries}
        with self._database.transaction() as connection:
            known = {
                row["accession"]: row
                for row in connection.execute(
                    f"SELECT r.*, {_CASE} AS tied FROM registrations r WHERE origin = ? AND scheduled >= ?",
                    (origin, f"{since:%Y%m%d}"),
                )
            }
            for accession, row in known.items():
                if accession not in listed and row["tied"] is None:
                    connection.execute("UPDATE registrations SET cancelled = 1 WHERE accession = ?", (accession,))
            new = 0
            for accession, entry in listed.items():
                row = known.get(accession)
                if row is None:
                    values = {**asdict(entry), "actor": ACTOR, "at": clock.stamp_text("seconds")}
                    new += insert(connection, "registrations", "INSERT OR IGNORE", **values).rowcount
                elif row["tied"] is None and (row["cancelled"] or entry != parse_row(WorklistEntry, row)):
                    connection.execute(
                        f"UPDATE registrations SET cancelled = 0, {', '.join(f'{name} = :{name}' for name in _FIELDS)}"
                        " WHERE accession = :accession AND origin = :origin",
                        asdict(entry),
                    )
            if new:
                _forget_old(connection)
                audit.append(connection, ACTOR, "registration.learned", "", {"patients": new})
        return new

    def record_query(self, origin: str, patients: int | None, reason: Reason | None) -> None:
        """Keep what came of asking the hospital's worklist: how many patients it told, or why none; or, as `LEFT_OUT`,
        how many of its entries were left out, by the reason."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO worklists_asked (origin, patients, reason, at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (origin) DO UPDATE SET patients = COALESCE(?, patients), reason = excluded.reason,"
                " at = excluded.at",
                (origin, patients or 0, dump_reason(reason), clock.stamp_text("seconds"), patients),
            )

    def find_last_query(self, origin: str) -> tuple[int, Reason | None] | None:
        """What came of asking *origin* last: patients, and why it did not answer or that some were left out; None where
        it was not asked yet."""
        row = self._database.connection.execute("SELECT * FROM worklists_asked WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else (row["patients"], parse_reason(row["reason"]))

    def cancel(self, accession: str, actor: str) -> None:
        """Take an entry off the worklist; raises `RegistrationUnknown` or `RegistrationImaged`."""
        with self._database.transaction() as connection:
            entry = self.require_entry(accession)
            if entry.case is not None:
                raise RegistrationImaged(accession=accession)
            if not entry.cancelled:
                connection.execute("UPDATE registrations SET cancelled = 1 WHERE accession = ?", (accession,))
                audit.append(connection, actor, "registration.cancelled", "", {"registration": accession})

    def require_entry(self, accession: str) -> Registration:
        """The entry with this accession number; raises `RegistrationUnknown`."""
        found = self._list_entries("r.accession = ?", (accession,), 1)
        if not found:
            raise RegistrationUnknown(accession=accession[:16])
        return found[0]

    def list_latest(self, limit: int) -> list[Registration]:
        """At most *limit* entries, the newest first, the cancelled ones too."""
        return self._list_entries("1 = 1", (), limit)

    def list_without_images(self, limit: int) -> list[Registration]:
        """At most *limit* entries that are neither cancelled nor tied to a case, the newest first."""
        return self._list_entries(f"r.cancelled = 0 AND {_CASE} IS NULL", (), limit)

    def find_by_study(self, study_uid: str) -> Registration | None:
        """The entry whose Study Instance UID this is."""
        return next(iter(self._list_entries("r.study_uid = ?", (study_uid,), 1)), None)

    def list_waiting(self, kinds: Collection[str], since: date, limit: int) -> list[WorklistEntry]:
        """Entries for machines of these *kinds* that are still to be imaged, scheduled on or after *since*.

        The earliest first; one is left out as soon as its images have come and are read.
        """
        codes = [code for code, examination in EXAMINATIONS.items() if examination.kind in kinds]
        rows = self._database.connection.execute(
            "SELECT r.* FROM registrations r WHERE cancelled = 0 AND scheduled >= ?"
            f" AND examination IN ({', '.join('?' * len(codes))})"
            f" AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.reference = {_CASE} AND c.revision > 0)"
            " ORDER BY scheduled, sequence LIMIT ?",
            (f"{since:%Y%m%d}", *codes, limit),
        )
        return [parse_row(WorklistEntry, row) for row in rows]

    def _list_entries(self, condition: str, values: tuple[object, ...], limit: int) -> list[Registration]:
        rows = self._database.connection.execute(
            f"SELECT r.*, {_CASE} AS tied FROM registrations r WHERE {condition} ORDER BY sequence DESC LIMIT ?",
            (*values, limit),
        )
        return [
            parse_row(Registration, row, registered=parse_row(WorklistEntry, row), case=row["tied"]) for row in rows
        ]


def tie_arrival(
    connection: sqlite3.Connection, case: str, header: Header, identity: Mapping[str, str], person: Person
) -> None:
    """Tie *case* to the registration that its newly arrived image belongs to, inside the caller's transaction.

    *identity* and *person*: what the image says of the patient.  A case that is tied already, or that a person has
    corrected, stays as it is; so does one whose image names another patient than the registered one.
    """
    patient_id, accession = identity.get("patient_id", "").strip(), identity.get("accession", "").strip()
    row = connection.execute(
        "SELECT r.* FROM registrations r WHERE ((r.study_uid = :study AND :patient IN ('', r.patient_id))"
        " OR (r.accession = :accession AND r.patient_id = :patient))"
        " AND NOT EXISTS (SELECT 1 FROM identities i WHERE i.case_reference = :case) LIMIT 1",
        {"study": header.study_instance_uid, "patient": patient_id, "accession": accession, "case": case},
    ).fetchone()
    years = parse_age_years(header)
    if row is None or _contradicts(row, years, identity.get("sex", "")):
        return
    if not study_cases.matches_registered_person(
        connection, header, person, Person(row["patient_id"], "", row["person_name"], row["birth_date"])
    ):
        return
    is_known = years is not None and row["age"] == f"{years:03d}Y"
    name, number, sex = (
        row[field] if row[field] and row[field] != identity.get(field, "") else None
        for field in ("name", "patient_id", "sex")
    )
    insert(
        connection,
        "identities",
        case_reference=case,
        version=1,
        name=name,
        patient_id=number,
        age=None if is_known else row["age"],
        sex=sex,
        actor=row["actor"],
        at=clock.stamp_text("seconds"),
        registration=row["accession"],
    )
    audit.append(connection, ACTOR, "patient.arrived", case, {"registration": row["accession"]})


def _contradicts(row: sqlite3.Row, years: int | None, sex: str) -> bool:
    """Whether an image states another sex than the registration *row*, or an age that cannot be the same patient's."""
    registered = int(row["age"][:3]) if row["age"].endswith("Y") else 0
    is_older = years is not None and abs(years - registered) > LARGEST_DIFFERENCE_YEARS
    return is_older or bool({sex, row["sex"]} == {"M", "F"})


def _is_other_patient(connection: sqlite3.Connection, new: WorklistEntry) -> bool:
    """Whether the latest registration under the patient's number says something else of the patient."""
    row = connection.execute(
        "SELECT name, birth_date, sex FROM registrations WHERE patient_id = ? AND cancelled = 0"
        " ORDER BY sequence DESC LIMIT 1",
        (new.patient_id,),
    ).fetchone()
    if row is None:
        return False
    both = ((row["name"], new.name), (row["birth_date"], new.birth_date), (row["sex"], new.sex))
    return any(before and now and before != now for before, now in both)


def _forget_old(connection: sqlite3.Connection) -> None:
    """Delete registrations of long ago without a case; not while the time is in doubt."""
    stamp = clock.stamp()
    if stamp.trusted:
        oldest = (stamp.at.astimezone() - timedelta(days=KEPT_DAYS)).strftime("%Y%m%d")
        connection.execute(f"DELETE FROM registrations AS r WHERE scheduled < ? AND {_CASE} IS NULL", (oldest,))

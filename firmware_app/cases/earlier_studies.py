"""Earlier studies of a case's patient in the clinic's archives: who asked for them, what was found, what was fetched.

A person asks; the gateway searches and fetches.  Where issuer, number and birth date are the same the study is fetched
at once; otherwise it waits for a person to confirm that it is the same patient (`find_doubts`).  An unknown value or a
placeholder such as 1 January 1900 is never the same.  A name never decides: two patients of one name stay apart, and
one patient's name is spelled in several ways.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import EARLIER_NO_NUMBER, CaseUnknown, EarlierStudyUnknown
from firmware_app.cases.patients import Patients
from firmware_app.cases.registrations import Registrations
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Reason
from firmware_app.core.rows import StoredReason, StoredTime, dump_reason, parse_row
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data

ACTOR: Final = "box"
SEARCHED: Final = "earlier.searched"
CONFIRMED: Final = "earlier.confirmed"
FETCHED: Final = "earlier.fetched"


class IdentityDoubt(StrEnum):
    """What keeps a study from being taken for the same patient's; a person decides then."""

    ISSUER = "issuer"
    NUMBER = "number"
    BIRTH_DATE = "birth_date"
    SEX = "sex"


@dataclass(frozen=True, slots=True)
class PatientKey:
    """What a patient is told apart by; empty texts are unknown.  `birth_date` is a DA, `sex` a CS."""

    issuer: str
    number: str
    birth_date: str
    sex: str = ""

    def with_issuer(self, assumed: str) -> PatientKey:
        """The same with *assumed* as the issuer where none is known."""
        return PatientKey(self.issuer or assumed, self.number, self.birth_date, self.sex)


def find_doubts(ours: PatientKey, theirs: PatientKey) -> tuple[IdentityDoubt, ...]:
    """Why *theirs* may be another patient; empty when it is the same."""
    pairs = (
        (IdentityDoubt.ISSUER, ours.issuer, theirs.issuer),
        (IdentityDoubt.NUMBER, ours.number, theirs.number),
        (
            IdentityDoubt.BIRTH_DATE,
            patient_data.parse_birth_date(ours.birth_date),
            patient_data.parse_birth_date(theirs.birth_date),
        ),
    )
    found = [doubt for doubt, mine, other in pairs if not mine or mine != other]
    if {ours.sex, theirs.sex} == {"M", "F"}:
        found.append(IdentityDoubt.SEX)
    return tuple(found)


class FetchState(StrEnum):
    """How far a study has come."""

    FOUND = "found"
    WANTED = "wanted"
    FETCHED = "fetched"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StudyDescription:
    """A study as an archive describes it, and why its patient may be another one; `images` 0: it did not say."""

    study_uid: str
    date: str
    modalities: str
    description: str
    images: int
    name: str
    number: str
    issuer: str
    birth_date: str
    sex: str
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EarlierStudy:
    """One study that was found; `here` is its case on this box."""

    sequence: int
    case: str
    archive: str
    said: StudyDescription
    state: FetchState
    kept: int
    reason: StoredReason | None
    here: str | None


@dataclass(frozen=True, slots=True)
class Search:
    """The last search for a case: whether it is still to be done, and why an archive could not be searched."""

    asked: bool
    reason: StoredReason | None
    actor: str
    at: StoredTime


class EarlierStudies:
    """The searches of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what people do --------------------------------------------------------------------------------------------

    def request_search(self, case: str, actor: str) -> None:
        """Have the archives searched for *case*; raises `CaseUnknown`."""
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
                raise CaseUnknown(case=case[:40])
            connection.execute(
                "INSERT OR REPLACE INTO earlier_searches (case_reference, actor, at) VALUES (?, ?, ?)",
                (case, actor, clock.stamp_text("seconds")),
            )
            audit.append(connection, actor, SEARCHED, case)

    def confirm(self, case: str, sequence: int, actor: str) -> None:
        """A person says that the study is of the case's patient: have it fetched; raises `EarlierStudyUnknown`."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE earlier_studies SET state = 'wanted', reason = NULL"
                " WHERE case_reference = ? AND sequence = ? AND state <> 'fetched' RETURNING doubts",
                (case, sequence),
            ).fetchone()
            if changed is None:
                raise EarlierStudyUnknown
            audit.append(connection, actor, CONFIRMED, case, {"doubts": changed[0]})

    def find_search(self, case: str) -> Search | None:
        row = self._database.connection.execute(
            "SELECT * FROM earlier_searches WHERE case_reference = ?", (case,)
        ).fetchone()
        return parse_row(Search, row) if row is not None else None

    def list_for_case(self, case: str) -> list[EarlierStudy]:
        """What was found for *case*, the newest study first."""
        return self._rows("case_reference = ? ORDER BY study_date DESC, sequence", case)

    # --- what the gateway does -------------------------------------------------------------------------------------

    def list_requested(self) -> list[str]:
        """The cases for which the archives are still to be searched."""
        rows = self._database.connection.execute(
            "SELECT case_reference FROM earlier_searches WHERE asked = 1 ORDER BY rowid"
        )
        return [row[0] for row in rows]

    def record_search(self, case: str, reason: Reason | None) -> None:
        """The search for *case* is over; *reason*: why an archive could not be searched."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE earlier_searches SET asked = 0, reason = ? WHERE case_reference = ?",
                (dump_reason(reason), case),
            )

    def record_found(self, case: str, archive: str, studies: Iterable[StudyDescription]) -> None:
        """Keep what *archive* has for *case*, unless it was deleted; what is not doubtful is wanted at once."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM earlier_studies WHERE case_reference = ? AND archive = ? AND state = 'found'",
                (case, archive),
            )
            for study in studies:
                values = asdict(study) | {"doubts": " ".join(study.doubts), "archive": archive}
                values["study_date"] = values.pop("date")
                values["state"] = FetchState.FOUND if study.doubts else FetchState.WANTED
                connection.execute(
                    f"INSERT INTO earlier_studies (case_reference, {', '.join(values)})"
                    f" SELECT reference, {', '.join(f':{name}' for name in values)} FROM cases WHERE reference = :case"
                    " ON CONFLICT (case_reference, archive, study_uid) DO UPDATE SET images = excluded.images,"
                    " state = CASE WHEN state = 'failed' AND excluded.state = 'wanted' THEN 'wanted' ELSE state END",
                    {**values, "case": case},
                )

    def list_wanted(self) -> list[EarlierStudy]:
        """What is to be fetched, in the order in which it was found."""
        return self._rows("state = 'wanted' ORDER BY sequence")

    def record_fetch(self, study: EarlierStudy, kept: int, reason: Reason | None) -> None:
        """The study was fetched, *kept* images of it by now, or for *reason* not whole."""
        state = FetchState.FETCHED if reason is None else FetchState.FAILED
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE earlier_studies SET state = ?, kept = ?, reason = ? WHERE sequence = ?",
                (state, kept, dump_reason(reason), study.sequence),
            )
            audit.append(connection, ACTOR, FETCHED, study.case, {"images": kept, "archive": study.archive})

    def has_study(self, study_uid: str) -> bool:
        """Whether the box has images of this study."""
        return self.count_objects(study_uid) > 0

    def count_objects(self, study_uid: str) -> int:
        """How many objects of this study the box has."""
        row = self._database.connection.execute(
            "SELECT COUNT(*) FROM cases c JOIN instances i ON i.case_reference = c.reference"
            " WHERE c.study_uid = ?1 OR c.shared_study = ?1",
            (study_uid,),
        ).fetchone()
        return int(row[0])

    def _rows(self, condition: str, *values: object) -> list[EarlierStudy]:
        rows = self._database.connection.execute(
            "SELECT *, (SELECT c.reference FROM cases c LEFT JOIN case_persons p ON p.case_reference = c.reference"
            " AND p.number = earlier_studies.number WHERE earlier_studies.study_uid IN (c.study_uid, c.shared_study)"
            " AND EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = c.reference)"
            " ORDER BY p.number IS NULL, c.rowid LIMIT 1) AS here"
            f" FROM earlier_studies WHERE {condition}",
            values,
        )
        return [_parse_study(row) for row in rows]


def is_fetched_study(database: Database, case: str) -> bool:
    """Whether *case* is an earlier study that was fetched from an archive."""
    row = database.connection.execute("SELECT earlier FROM cases WHERE reference = ?", (case,)).fetchone()
    return row is not None and bool(row[0])


def _parse_study(row: sqlite3.Row) -> EarlierStudy:
    said = parse_row(StudyDescription, row, date=row["study_date"], doubts=tuple(row["doubts"].split()))
    return parse_row(EarlierStudy, row, case=row["case_reference"], said=said)


@dataclass(frozen=True, slots=True)
class SearchSubject:
    """The patient of a case as an archive is asked for, the date of the case's study, and that study's UID."""

    patient: PatientKey
    study_date: str
    study_uids: frozenset[str]


def find_search_subject(clinical: ClinicalDatabase, state: StateDir, case: str) -> SearchSubject:
    """Whom and what a search for *case* is about; raises `CaseUnknown` or `EARLIER_NO_NUMBER`.

    Of a registered patient, number and birth date are those of the registration.  The issuer is the images', unless a
    person has entered the number.
    """
    clinical.load_case(case)
    known, images = Patients(clinical, state).load_displayed(case), clinical.list_images(case)
    if not known.patient.patient_id:
        raise EARLIER_NO_NUMBER()
    headers = [image.header for image in images if image.header]
    born = next((born for header in headers if (born := patient_data.parse_birth_date(header.birth_date))), "")
    if known.registration:
        born = Registrations(clinical.database).require_entry(known.registration).registered.birth_date or born
    issuer = ""
    if "patient_id" not in known.entered:
        issuer = _find_issuer(state, [image.reference for image in images], known.patient.patient_id)
    return SearchSubject(
        PatientKey(issuer, known.patient.patient_id, born, known.patient.sex),
        next((header.study_date for header in headers if header.study_date), "") or "",
        frozenset(header.study_instance_uid for header in headers if header.study_instance_uid),
    )


def _find_issuer(state: StateDir, instances: Iterable[str], number: str) -> str:
    """Who gave the patient the *number*, as the images say."""
    for instance in instances:
        said = patient_data.read_identity(state.display / instance)
        if said.get("issuer") and said.get("patient_id", "").strip() in ("", number):
            return said["issuer"]
    return ""

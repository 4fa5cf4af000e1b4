"""Earlier studies of a case's patient in the clinic's archives: who asked for them, what was found, what was fetched.

A person asks; the gateway searches and fetches.  Where issuer, number and birth date are the same the study is fetched
at once; otherwise it waits for a person to confirm that it is the same patient (`patient_identity.find_doubts`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import EARLIER_NO_NUMBER, CaseUnknown, EarlierUnknown
from firmware_app.cases.patient_identity import PatientKey
from firmware_app.cases.patients import Patients
from firmware_app.cases.registrations import Registrations
from firmware_app.cases.row_json import dump_reason, parse_reason
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Reason
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data

ACTOR: Final = "box"
SEARCHED: Final = "earlier.searched"
CONFIRMED: Final = "earlier.confirmed"
FETCHED: Final = "earlier.fetched"


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
    reason: Reason | None
    here: str | None


@dataclass(frozen=True, slots=True)
class Search:
    """The last search for a case: whether it is still to be done, and why an archive could not be searched."""

    asked: bool
    reason: Reason | None
    actor: str
    at: clock.Stamp


class EarlierStudies:
    """The searches of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what people do --------------------------------------------------------------------------------------------

    def ask(self, case: str, actor: str) -> None:
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
        """A person says that the study is of the case's patient: have it fetched; raises `EarlierUnknown`."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE earlier_studies SET state = 'wanted', reason = NULL"
                " WHERE case_reference = ? AND sequence = ? AND state <> 'fetched' RETURNING doubts",
                (case, sequence),
            ).fetchone()
            if changed is None:
                raise EarlierUnknown
            audit.append(connection, actor, CONFIRMED, case, {"doubts": changed[0]})

    def search(self, case: str) -> Search | None:
        row = self._database.connection.execute(
            "SELECT * FROM earlier_searches WHERE case_reference = ?", (case,)
        ).fetchone()
        if row is None:
            return None
        return Search(bool(row["asked"]), parse_reason(row["reason"]), row["actor"], clock.parse_stamp(row["at"]))

    def of_case(self, case: str) -> list[EarlierStudy]:
        """What was found for *case*, the newest study first."""
        return self._rows("case_reference = ? ORDER BY study_date DESC, sequence", case)

    # --- what the gateway does -------------------------------------------------------------------------------------

    def asked(self) -> list[str]:
        """The cases for which the archives are still to be searched."""
        rows = self._database.connection.execute(
            "SELECT case_reference FROM earlier_searches WHERE asked = 1 ORDER BY rowid"
        )
        return [row[0] for row in rows]

    def answered(self, case: str, reason: Reason | None) -> None:
        """The search for *case* is over; *reason*: why an archive could not be searched."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE earlier_searches SET asked = 0, reason = ? WHERE case_reference = ?",
                (dump_reason(reason), case),
            )

    def found(self, case: str, archive: str, studies: Iterable[StudyDescription]) -> None:
        """Keep what *archive* has for *case*, unless it was deleted; what is not doubtful is wanted at once."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM earlier_studies WHERE case_reference = ? AND archive = ? AND state = 'found'",
                (case, archive),
            )
            for one in studies:
                connection.execute(
                    "INSERT INTO earlier_studies (case_reference, archive, study_uid, study_date, modalities,"
                    " description, images, name, number, issuer, birth_date, sex, doubts, state)"
                    " SELECT reference, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 FROM cases"
                    " WHERE reference = ?1 ON CONFLICT (case_reference, archive, study_uid) DO UPDATE SET"
                    " images = excluded.images,"
                    " state = CASE WHEN state = 'failed' AND excluded.state = 'wanted' THEN 'wanted' ELSE state END",
                    (
                        case,
                        archive,
                        one.study_uid,
                        one.date,
                        one.modalities,
                        one.description,
                        one.images,
                        one.name,
                        one.number,
                        one.issuer,
                        one.birth_date,
                        one.sex,
                        " ".join(one.doubts),
                        FetchState.FOUND if one.doubts else FetchState.WANTED,
                    ),
                )

    def wanted(self) -> list[EarlierStudy]:
        """What is to be fetched, in the order in which it was found."""
        return self._rows("state = 'wanted' ORDER BY sequence")

    def fetched(self, one: EarlierStudy, kept: int, reason: Reason | None) -> None:
        """The study was fetched, *kept* images of it by now, or for *reason* not whole."""
        state = FetchState.FETCHED if reason is None else FetchState.FAILED
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE earlier_studies SET state = ?, kept = ?, reason = ? WHERE sequence = ?",
                (state, kept, dump_reason(reason), one.sequence),
            )
            audit.append(connection, ACTOR, FETCHED, one.case, {"images": kept, "archive": one.archive})

    def holds(self, study_uid: str) -> bool:
        """Whether the box has images of this study."""
        row = self._database.connection.execute(
            "SELECT 1 FROM cases c JOIN instances i ON i.case_reference = c.reference"
            " WHERE c.study_uid = ?1 OR c.shared_study = ?1 LIMIT 1",
            (study_uid,),
        ).fetchone()
        return row is not None

    def kept(self, study_uid: str) -> int:
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
        return [_study(row) for row in rows]


def is_fetched_study(database: Database, case: str) -> bool:
    """Whether *case* is an earlier study that was fetched from an archive."""
    row = database.connection.execute("SELECT earlier FROM cases WHERE reference = ?", (case,)).fetchone()
    return row is not None and bool(row[0])


def _study(row: sqlite3.Row) -> EarlierStudy:
    said = StudyDescription(
        study_uid=row["study_uid"],
        date=row["study_date"],
        modalities=row["modalities"],
        description=row["description"],
        images=row["images"],
        name=row["name"],
        number=row["number"],
        issuer=row["issuer"],
        birth_date=row["birth_date"],
        sex=row["sex"],
        doubts=tuple(row["doubts"].split()),
    )
    return EarlierStudy(
        sequence=row["sequence"],
        case=row["case_reference"],
        archive=row["archive"],
        said=said,
        state=FetchState(row["state"]),
        kept=row["kept"],
        reason=parse_reason(row["reason"]),
        here=row["here"],
    )


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
    known, headers = Patients(clinical, state).known(case), [one.header for one in clinical.images(case) if one.header]
    clinical.case(case)
    if not known.patient.patient_id:
        raise EARLIER_NO_NUMBER()
    born = next((born for one in headers if (born := patient_data.parse_birth_date(one.birth_date))), "")
    if known.registration:
        born = Registrations(clinical.database).entry(known.registration).registered.birth_date or born
    references = [one.reference for one in clinical.images(case)]
    issuer = "" if "patient_id" in known.entered else _issuer(state, references, known.patient.patient_id)
    return SearchSubject(
        PatientKey(issuer, known.patient.patient_id, born, known.patient.sex),
        next((one.study_date for one in headers if one.study_date), "") or "",
        frozenset(one.study_instance_uid for one in headers if one.study_instance_uid),
    )


def _issuer(state: StateDir, instances: Iterable[str], number: str) -> str:
    """Who gave the patient the *number*, as the images say."""
    for instance in instances:
        try:
            said = json.loads((state.display / instance / patient_data.IDENTITY_FILE).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and said.get("issuer") and str(said.get("patient_id", "")).strip() in ("", number):
            return str(said["issuer"])
    return ""

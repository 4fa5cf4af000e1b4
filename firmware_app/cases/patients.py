"""The patient of a case, for display: from the image's header, or as corrected by a person.

A case may be tied to a registered patient (`cases.registrations`): by the gateway when the image has the
registration's UID or numbers, or by a person.  Then the registered values hold.

The header's values are in ``display/<instance>/identity.json`` (`firmware_app.dicom.patient_data`), written by the
gateway when the image arrives and again by the decode child.  A correction is a row of its own in clinical.db, never a
change of the image.  It comes with an audit entry that names the fields, and of age and sex the values before and
after.  If the age changed, the case is read again.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock
from firmware_app.core.records import Detail, Header
from firmware_app.core.rows import insert, parse_json
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom import patient_data
from firmware_app.dicom.patient_data import Person, Relation, compare_with_known
from firmware_app.dicom.worklist import WorklistEntry

LONGEST: Final = 64  # characters of one value (PS3.5 6.2: PN and LO)
SEXES: Final = ("M", "F", "O")
AGE_UNITS: Final = ("Y", "M", "W", "D")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Patient:
    """The patient data that people see; an empty text means unknown.  `age` is a DICOM AS such as ``045Y``."""

    name: str = ""
    patient_id: str = ""
    age: str = ""
    sex: str = ""

    @property
    def age_parts(self) -> tuple[int, str] | None:
        """The age as number and unit, such as (45, "Y"); None when unknown."""
        match = re.fullmatch(r"(\d{1,3})([DWMY])", self.age)
        return (int(match[1]), match[2]) if match else None


def clean_text(text: str) -> str:
    """*text* as one line of at most `LONGEST` characters, without control or direction characters."""
    return " ".join(_CONTROL.sub(" ", text).split())[:LONGEST]


@dataclass(frozen=True, slots=True)
class DisplayedPatient:
    """The patient as shown, and which fields a person entered."""

    patient: Patient
    entered: frozenset[str] = frozenset()
    actor: str = ""
    version: int = 0
    registration: str = ""
    """The accession number of the registration that the case is tied to."""


@dataclass(frozen=True, slots=True)
class PatientChange:
    """One change of a case's patient: by whom, when, to which registration, and the fields with old and new value."""

    actor: str
    at: clock.Stamp
    registration: str
    values: tuple[tuple[str, str, str], ...]


class Patients:
    """The patients of one box's cases."""

    def __init__(self, clinical: ClinicalDatabase, state: StateDir) -> None:
        self._clinical, self._display = clinical, state.display

    def load_from_images(self, case: str) -> Patient:
        """The patient in the headers of *case*, each field from the first image that has it.

        An image gives none where nothing shows that it names the patient of those before it: a name never stands beside
        a number that no image has with it.
        """
        rows = self._clinical.database.connection.execute(
            "SELECT reference, header FROM instances WHERE case_reference = ? ORDER BY sequence LIMIT 32", (case,)
        )
        patient, persons = Patient(), list[Person]()
        for row in rows:
            said, person = _read_identity(self._display / row["reference"])
            if row["header"]:
                header = parse_json(Header, row["header"])
                said = replace(said, age=patient_data.age_text(header))
                person = replace(person, birth_date=header.birth_date or "")
            if not person.is_unknown:
                if persons and compare_with_known(person, persons) is not Relation.SAME:
                    continue
                persons.append(person)
            patient = _fill_missing(patient, said)
            if all(getattr(patient, field.name) for field in fields(patient)):
                break
        return patient

    def load_displayed(self, case: str) -> DisplayedPatient:
        """The patient as shown to people."""
        imaged = self.load_from_images(case)
        row = self._clinical.database.connection.execute(
            "SELECT * FROM identities WHERE case_reference = ? ORDER BY version DESC LIMIT 1", (case,)
        ).fetchone()
        if row is None:
            return DisplayedPatient(imaged)
        entered = _parse_row(row)
        return DisplayedPatient(
            replace(imaged, **entered), frozenset(entered), row["actor"], row["version"], row["registration"] or ""
        )

    def list_changes(self, case: str) -> list[PatientChange]:
        """Every change of the patient of *case*, the first one first."""
        imaged = shown = self.load_from_images(case)
        changes = []
        for row in self._clinical.database.connection.execute(
            "SELECT * FROM identities WHERE case_reference = ? ORDER BY version", (case,)
        ):
            before, shown = shown, replace(imaged, **_parse_row(row))
            values = tuple(
                (name, getattr(before, name), getattr(shown, name)) for name in _list_changed_fields(before, shown)
            )
            changes.append(PatientChange(row["actor"], clock.parse_stamp(row["at"]), row["registration"] or "", values))
        return changes

    def correct(self, case: str, patient: Patient, actor: str) -> int:
        """Use *patient* for *case* from now on; returns how many images are read again because of it.

        Raises `CaseUnknown`.  Entering the known values changes nothing.
        """
        self._clinical.load_case(case)
        before = self.load_displayed(case)
        if patient == before.patient:
            return 0
        return self._write(
            case, before, patient, registration=before.registration, actor=actor, action="patient.corrected"
        )

    def tie(self, case: str, entry: WorklistEntry | None, actor: str) -> int:
        """Give *case* the registered patient of *entry*, or with None the patient of its images again.

        Returns how many images are read again because of the age.  Raises `CaseUnknown`.
        """
        self._clinical.load_case(case)
        before, accession = self.load_displayed(case), entry.accession if entry is not None else ""
        if before.registration == accession:
            return 0
        patient = apply_registration(self.load_from_images(case), entry)
        action = "patient.tied" if entry is not None else "patient.untied"
        return self._write(case, before, patient, registration=accession, actor=actor, action=action)

    def _write(
        self, case: str, known: DisplayedPatient, patient: Patient, *, registration: str, actor: str, action: str
    ) -> int:
        imaged, before = self.load_from_images(case), known.patient
        changed = _list_changed_fields(before, patient)
        with self._clinical.database.transaction() as connection:
            insert(
                connection,
                "identities",
                case_reference=case,
                version=known.version + 1,
                **{field.name: _choose_stored_value(patient, imaged, field.name) for field in fields(Patient)},
                actor=actor,
                at=clock.stamp_text("seconds"),
                registration=registration or None,
            )
            again = self._clinical.reopen(case) if "age" in changed else 0
            details: dict[str, Detail] = {"fields": " ".join(changed), "again": again}
            for field in sorted({"age", "sex"} & set(changed)):  # name and number identify: they stay out of the audit
                details[f"{field}_before"] = getattr(before, field) or "-"
                details[f"{field}_after"] = getattr(patient, field) or getattr(imaged, field) or "-"
            if action != "patient.corrected":
                details["registration"] = registration
            audit.append(connection, actor, action, case, details)
        return again


def apply_registration(imaged: Patient, entry: WorklistEntry | None) -> Patient:
    """The patient of images that say *imaged* once they are tied to *entry*: what it does not know is theirs."""
    if entry is None:
        return imaged
    return Patient(entry.name, entry.patient_id, entry.age or imaged.age, entry.sex or imaged.sex)


def _parse_row(row: sqlite3.Row) -> dict[str, str]:
    return {field.name: row[field.name] for field in fields(Patient) if row[field.name] is not None}


def _list_changed_fields(before: Patient, after: Patient) -> list[str]:
    return [field.name for field in fields(Patient) if getattr(before, field.name) != getattr(after, field.name)]


def _choose_stored_value(patient: Patient, imaged: Patient, name: str) -> str | None:
    """The value to store; None where the image has the same.  An emptied age or sex is the image's again."""
    value: str = getattr(patient, name)
    if value == getattr(imaged, name) or (not value and name in ("age", "sex")):
        return None
    return value


def _fill_missing(patient: Patient, more: Patient) -> Patient:
    return Patient(*(getattr(patient, field.name) or getattr(more, field.name) for field in fields(Patient)))


def _read_identity(folder: Path) -> tuple[Patient, Person]:
    """The identity of one image, also to tell patients apart; empty where it is not known."""
    texts = patient_data.read_identity(folder)
    sex = texts.get("sex", "").upper()
    patient = Patient(
        clean_text(texts.get("name", "")),
        clean_text(texts.get("patient_id", "")),
        patient_data.clean_age(texts.get("age", "")),
        sex if sex in SEXES else "",
    )
    return patient, Person(patient.patient_id, texts.get("issuer", ""), patient.name)

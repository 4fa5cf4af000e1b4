"""The patient of a case, for display: from the image's header, or as corrected by a person.

The header's values are in ``display/<instance>/identity.json`` (`firmware_app.headers.identity`), written by the
gateway when the image arrives and again by the decode child.  A correction is a row of its own in clinical.db, never a
change of the image.  It comes with an audit entry that names the fields but not their values.  If the age changed, the
case is read again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from firmware_app import clock
from firmware_app.headers import identity
from firmware_app.headers.age import completed_years
from firmware_app.store.accounts import audit
from firmware_app.store.clinical import forms
from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.disk.layout import StateDir

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


@dataclass(frozen=True, slots=True)
class Known:
    """The patient as shown, and which fields a person entered."""

    patient: Patient
    entered: frozenset[str] = frozenset()
    actor: str = ""
    version: int = 0


def clean(text: str) -> str:
    """*text* as one line of at most `LONGEST` characters, without control or direction characters."""
    return " ".join(_CONTROL.sub(" ", text).split())[:LONGEST]


def clean_age(text: str) -> str:
    """*text* as a DICOM AS with three digits; empty when it is not an age."""
    match = re.fullmatch(r"0*(\d{1,3})([DWMY])", text.strip().upper())
    return f"{int(match[1]):03d}{match[2]}" if match else ""


class Patients:
    """The patients of one box's cases."""

    def __init__(self, clinical: Clinical, state: StateDir) -> None:
        self._clinical, self._display = clinical, state.display

    def imaged(self, case: str) -> Patient:
        """The patient in the headers of *case*, each field from the first image that has it."""
        rows = self._clinical.database.connection.execute(
            "SELECT reference, header FROM instances WHERE case_reference = ? ORDER BY sequence LIMIT 32", (case,)
        )
        patient = Patient()
        for row in rows:
            patient = _completed(patient, _read(self._display / row["reference"] / identity.FILE_NAME))
            if not patient.age and row["header"]:  # computed from birth date and study date, as in routing
                years = completed_years(forms.header().validate_json(row["header"]))
                patient = replace(patient, age="" if years is None else f"{years:03d}Y")
            if all(getattr(patient, field.name) for field in fields(patient)):
                break
        return patient

    def known(self, case: str) -> Known:
        """The patient as shown to people."""
        imaged = self.imaged(case)
        row = self._clinical.database.connection.execute(
            "SELECT * FROM identities WHERE case_reference = ? ORDER BY version DESC LIMIT 1", (case,)
        ).fetchone()
        if row is None:
            return Known(imaged)
        entered = {field.name: row[field.name] for field in fields(Patient) if row[field.name] is not None}
        return Known(replace(imaged, **entered), frozenset(entered), row["actor"], row["version"])

    def correct(self, case: str, patient: Patient, actor: str) -> int:
        """Use *patient* for *case* from now on; returns how many images are read again because of it.

        Raises `CaseUnknown`.  Entering the known values changes nothing.
        """
        self._clinical.case(case)
        before, imaged = self.known(case), self.imaged(case)
        changed = [f.name for f in fields(Patient) if getattr(before.patient, f.name) != getattr(patient, f.name)]
        if not changed:
            return 0
        values = [_entered(patient, imaged, field.name) for field in fields(Patient)]
        with self._clinical.database.transaction() as connection:
            connection.execute(
                "INSERT INTO identities (case_reference, version, name, patient_id, age, sex, actor, at)"
                " VALUES (?, (SELECT COALESCE(MAX(version), 0) + 1 FROM identities WHERE case_reference = ?),"
                " ?, ?, ?, ?, ?, ?)",
                (case, case, *values, actor, clock.text("seconds")),
            )
            again = self._clinical.reopen(case) if "age" in changed else 0
            audit.append(connection, actor, "patient.corrected", case, {"fields": " ".join(changed), "again": again})
        return again


def _entered(patient: Patient, imaged: Patient, name: str) -> str | None:
    """The value to store; None where the image has the same.  An emptied age or sex is the image's again."""
    value: str = getattr(patient, name)
    if value == getattr(imaged, name) or (not value and name in ("age", "sex")):
        return None
    return value


def _completed(patient: Patient, more: Patient) -> Patient:
    return Patient(*(getattr(patient, field.name) or getattr(more, field.name) for field in fields(Patient)))


def _read(path: Path) -> Patient:
    """The identity of one image; empty where the file is missing or invalid."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return Patient()
    texts = (
        {key: value for key, value in content.items() if isinstance(value, str)} if isinstance(content, dict) else {}
    )
    sex = texts.get("sex", "").upper()
    return Patient(
        clean(texts.get("name", "")), clean(texts.get("patient_id", "")), clean_age(texts.get("age", "")),
        sex if sex in SEXES else "",
    )  # fmt: skip

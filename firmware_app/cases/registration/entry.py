"""A registered patient with one examination: checked here, whoever enters it, and the same in store and worklist."""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from firmware_app.cases.registration import id_card, names
from firmware_app.core.errors import (
    AgeMissing,
    BirthDateWrong,
    ExaminationUnknown,
    IdCardContradicts,
    PatientIdUnusable,
)
from firmware_app.dicom.examinations import EXAMINATIONS
from firmware_app.dicom.headers import age as ages
from firmware_app.dicom.worklist_entry import WorklistEntry

ACCESSION: Final = "L[2-9A-HJKMNP-Z]{9}"
"""The form of an accession number: SH (PS3.5 6.2), without letters that look like digits."""
SEXES: Final = ("M", "F", "O", "")
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_MOST: Final = 64  # PS3.5 6.2, LO
_ID: Final = re.compile(rf"[ -\[\]-~]{{1,{_ID_MOST}}}")
_DATES: Final = (re.compile(r"(\d{4})(\d\d)(\d\d)"), re.compile(r"(\d{4})[-./年](\d{1,2})[-./月](\d{1,2})日?"))


def new_accession() -> str:
    """A number that no other registration has: 44 random bits."""
    return "L" + "".join(secrets.choice(_ALPHABET) for _ in range(9))


def checked(form: Mapping[str, str], now: datetime, accession: str = "") -> WorklistEntry:
    """The registration that *form* asks for, at the local time *now*.

    Fields: `patient_id` and `name`; `spelled` (empty: as `names.spelling` has it), `birth_date`, `age` (AS), `sex`;
    `examination`.  Birth date and sex follow from an ID-card number.  Raises a `RegistrationError`.
    """
    given = {
        key: unicodedata.normalize("NFKC", form.get(key, "")).strip() for key in ("patient_id", "birth_date", "age")
    }
    today = now.date()
    card = id_card.read(given["patient_id"].replace(" ", ""), today)
    patient_id = card.number if card is not None else given["patient_id"]
    if _ID.fullmatch(patient_id) is None:
        raise PatientIdUnusable(most=_ID_MOST)
    name = names.clean(form.get("name", ""))
    person_name = names.person_name(name, form.get("spelled", "").strip() or names.spelling(name))
    born, sex = birth_date(given["birth_date"], today), form.get("sex", "")
    sex = sex if sex in SEXES else ""
    if card is not None:
        if (born or card.birth_date) != card.birth_date or (sex or card.sex) != card.sex:
            raise IdCardContradicts
        born, sex = card.birth_date, card.sex
    age = age_at(born, today) if born is not None else ages.clean_age(given["age"])
    if not age:
        raise AgeMissing
    if form.get("examination", "") not in EXAMINATIONS:
        raise ExaminationUnknown(known=", ".join(EXAMINATIONS))
    return WorklistEntry(
        accession if re.fullmatch(ACCESSION, accession) else new_accession(),
        f"2.25.{uuid.uuid4().int}",
        patient_id,
        name,
        person_name,
        f"{born:%Y%m%d}" if born is not None else "",
        age,
        sex,
        form["examination"],
        f"{now:%Y%m%d%H%M%S}",
    )


def birth_date(text: str, today: date) -> date | None:
    """The date in *text*, None where it is empty; raises `BirthDateWrong`."""
    if not text:
        return None
    match = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    try:
        born = date(*map(int, match.groups())) if match else None
    except ValueError:
        born = None
    if born is None or born > today or (today - born).days > 366 * ages.OLDEST_YEARS or not ages.is_likely(born):
        raise BirthDateWrong(years=ages.OLDEST_YEARS)
    return born


def age_at(born: date, today: date) -> str:
    """The age as an AS (PS3.5 6.2): in days below a month, in months below two years, else in years."""
    months = 12 * (today.year - born.year) + today.month - born.month - (today.day < born.day)
    if months < 1:
        return f"{(today - born).days:03d}D"
    return f"{months:03d}M" if months < 24 else f"{months // 12:03d}Y"

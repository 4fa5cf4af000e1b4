"""A registered patient with one examination, made from a form of this box or from an entry of the hospital's worklist.

Every entry is checked here, so that store and worklist hold the same.

The number of a Chinese resident identity card (GB 11643-1999) gives birth date and sex: six digits of a region, eight
of the birth date, three in order (odd: male), and a check digit by ISO 7064 MOD 11-2.

An entry of the hospital's worklist keeps the hospital's numbers and UID, so that the images of the device belong to the
hospital's examination.  One that cannot be a registered patient of this box is left out, with the reason.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from firmware_app.cases import person_names
from firmware_app.cases.errors import (
    AGE_MISSING,
    EXAMINATION_UNKNOWN,
    ID_CARD_CONTRADICTS,
    PATIENT_ID_UNUSABLE,
    BirthDateWrong,
    IdCardWrong,
    RegistrationError,
)
from firmware_app.core.records import is_uid
from firmware_app.dicom import patient_data
from firmware_app.dicom import patient_data as ages
from firmware_app.dicom.patient_data import OLDEST_YEARS
from firmware_app.dicom.worklist import EXAMINATIONS, MODALITY_NAMES, WorklistEntry, find_kind

_SHAPE: Final = re.compile(r"[1-9][0-9]{5}(?:18|19|20)[0-9]{9}[0-9X]")
_CHECK: Final = "10X98765432"


@dataclass(frozen=True, slots=True)
class IdCard:
    """What a card's number says; `sex` is M or F."""

    number: str
    birth_date: date
    sex: str


def compute_check_digit(digits: str) -> str:
    """The last character for the first 17 *digits* (ISO 7064 MOD 11-2)."""
    return _CHECK[sum((2 ** (17 - place) % 11) * int(digit) for place, digit in enumerate(digits)) % 11]


def parse_id_card(text: str, today: date) -> IdCard | None:
    """What *text* says as a card's number; None where it is another kind of number.

    Raises `IdCardWrong` for a number of a card's shape with a wrong check digit, or a birth date that cannot be.
    """
    number = text.upper()
    if _SHAPE.fullmatch(number) is None:
        return None
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        raise IdCardWrong from None
    if number[17] != compute_check_digit(number[:17]) or not 0 <= (today - born).days <= 366 * OLDEST_YEARS:
        raise IdCardWrong
    return IdCard(number, born, "M" if int(number[16]) % 2 else "F")


ACCESSION_PATTERN: Final = "L[2-9A-HJKMNP-Z]{9}"
"""The form of an accession number: SH (PS3.5 6.2), without letters that look like digits."""
SEXES: Final = ("M", "F", "O", "")
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID_MOST: Final = 64  # PS3.5 6.2, LO
_ID: Final = re.compile(rf"[ -\[\]-~]{{1,{_ID_MOST}}}")
_DATES: Final = (re.compile(r"(\d{4})(\d\d)(\d\d)"), re.compile(r"(\d{4})[-./年](\d{1,2})[-./月](\d{1,2})日?"))


def create_accession() -> str:
    """A number that no other registration has: 44 random bits."""
    return "L" + "".join(secrets.choice(_ALPHABET) for _ in range(9))


def check_registration(form: Mapping[str, str], now: datetime, accession: str = "") -> WorklistEntry:
    """The registration that *form* asks for, at the local time *now*.

    Fields: `patient_id` and `name`; `spelled` (empty: as `person_names.spell_name` has it), `parse_birth_date`,
    `age` (AS), `sex`; `examination`.  Birth date and sex follow from an ID-card number.  Raises a `RegistrationError`.
    """
    given = {
        key: unicodedata.normalize("NFKC", form.get(key, "")).strip() for key in ("patient_id", "birth_date", "age")
    }
    today = now.date()
    card = parse_id_card(given["patient_id"].replace(" ", ""), today)
    patient_id = card.number if card is not None else given["patient_id"]
    if _ID.fullmatch(patient_id) is None:
        raise PATIENT_ID_UNUSABLE(most=_ID_MOST)
    name = person_names.clean_name(form.get("name", ""))
    person_name = person_names.format_person_name(
        name, form.get("spelled", "").strip() or person_names.spell_name(name)
    )
    born, sex = parse_birth_date(given["birth_date"], today), form.get("sex", "")
    sex = sex if sex in SEXES else ""
    if card is not None:
        if (born or card.birth_date) != card.birth_date or (sex or card.sex) != card.sex:
            raise ID_CARD_CONTRADICTS()
        born, sex = card.birth_date, card.sex
    age = format_age(born, today) if born is not None else ages.clean_age(given["age"])
    if not age:
        raise AGE_MISSING()
    if form.get("examination", "") not in EXAMINATIONS:
        raise EXAMINATION_UNKNOWN(known=", ".join(EXAMINATIONS))
    return WorklistEntry(
        accession=accession if re.fullmatch(ACCESSION_PATTERN, accession) else create_accession(),
        study_uid=f"2.25.{uuid.uuid4().int}",
        patient_id=patient_id,
        name=name,
        person_name=person_name,
        birth_date=f"{born:%Y%m%d}" if born is not None else "",
        age=age,
        sex=sex,
        examination=form["examination"],
        scheduled=f"{now:%Y%m%d%H%M%S}",
    )


def parse_birth_date(text: str, today: date) -> date | None:
    """The date in *text*, None where it is empty; raises `BirthDateWrong`."""
    if not text:
        return None
    match = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    try:
        born = date(*map(int, match.groups())) if match else None
    except ValueError:
        born = None
    if (
        born is None
        or born > today
        or (today - born).days > 366 * ages.OLDEST_YEARS
        or not ages.is_likely_birth_date(born)
    ):
        raise BirthDateWrong(years=ages.OLDEST_YEARS)
    return born


def format_age(born: date, today: date) -> str:
    """The age as an AS (PS3.5 6.2): in days below a month, in months below two years, else in years."""
    months = 12 * (today.year - born.year) + today.month - born.month - (today.day < born.day)
    if months < 1:
        return f"{(today - born).days:03d}D"
    return f"{months:03d}M" if months < 24 else f"{months // 12:03d}Y"


_ANY: Final = {"xray": "xray", "mammography": "mammography", "ultrasound": "us", "ct": "ct", "mr": "mr"}
"""By kind of machine, the examination of no named part."""
_NUMBER: Final = re.compile(r"[ -\[\]-~]{1,16}")
_PATIENT_ID: Final = re.compile(r"[^\\\x00-\x1f\x7f]{1,64}")
_LONGEST: Final = 64

ACCESSION, NAME, PATIENT_ID, BIRTH_DATE, SEX, AGE = (
    0x00080050,
    0x00100010,
    0x00100020,
    0x00100030,
    0x00100040,
    0x00101010,
)
STUDY, PROCEDURE, PROCEDURE_ID = 0x0020000D, 0x00321060, 0x00401001
MODALITY, START_DATE, START_TIME, STEP, STEP_ID = 0x00080060, 0x00400002, 0x00400003, 0x00400007, 0x00400009


class OmissionReason(StrEnum):
    """Why an entry of the hospital's worklist is none of this box's."""

    ACCESSION = "accession"
    PATIENT = "patient_id"
    NAME = "name"
    STUDY = "study_uid"
    DATE = "date"
    MODALITY = "modality"
    TWICE = "twice"
    """Its accession number or its UID is that of an entry before it."""
    TOO_MANY = "too_many"


def parse_worklist_entry(
    said: Mapping[int, str], step: Mapping[int, str], origin: str, today: date
) -> WorklistEntry | OmissionReason:
    """The patient of one answer: its texts by tag, and those of its scheduled step; else why it cannot be taken up.

    It needs a number of the patient and of the examination that fit into the images' attributes (PS3.5 6.2, LO and SH),
    a name, a valid UID, a date, and a machine of a kind that this box knows.
    """
    number, accession = said.get(PATIENT_ID, ""), said.get(ACCESSION, "") or said.get(PROCEDURE_ID, "")
    modality, scheduled = step.get(MODALITY, ""), step.get(START_DATE, "")
    name = patient_data.readable_name(said.get(NAME, ""))
    needed = (
        (OmissionReason.MODALITY, modality in MODALITY_NAMES),
        (OmissionReason.PATIENT, _PATIENT_ID.fullmatch(number)),
        (OmissionReason.ACCESSION, _NUMBER.fullmatch(accession)),
        (OmissionReason.STUDY, is_uid(said.get(STUDY, ""))),
        (OmissionReason.DATE, re.fullmatch(r"\d{8}", scheduled)),
    )
    for reason, is_there in needed:
        if not is_there:
            return reason
    try:
        shown = person_names.clean_name(name)
        person_name = _person_name(said.get(NAME, ""), shown)
    except RegistrationError:
        return OmissionReason.NAME
    try:
        born = parse_birth_date(said.get(BIRTH_DATE, ""), today)
    except BirthDateWrong:
        born = None
    return WorklistEntry(
        accession=accession,
        study_uid=said[STUDY],
        patient_id=number,
        name=shown,
        person_name=person_name,
        birth_date=f"{born:%Y%m%d}" if born else "",
        age=format_age(born, today) if born else ages.clean_age(said.get(AGE, "")),
        sex=said.get(SEX, "") if said.get(SEX, "") in SEXES else "",
        examination=_ANY[find_kind(modality)],
        scheduled=scheduled + re.sub(r"\D", "", step.get(START_TIME, ""))[:6].ljust(6, "0"),
        procedure_id=said.get(PROCEDURE_ID, "")[:16],
        step_id=step.get(STEP_ID, "")[:16],
        description=(step.get(STEP, "") or said.get(PROCEDURE, ""))[:_LONGEST],
        origin=origin,
    )


def _person_name(told: str, shown: str) -> str:
    """The name as the hospital writes it, where its first group is in Latin letters; else with pinyin before it.

    An old console is told the first group only.
    """
    if told.partition("=")[0].isascii() and told.partition("=")[0].strip("^ "):
        return told
    return person_names.format_person_name(shown, person_names.spell_name(shown))

"""An entry of the hospital's worklist as a registered patient of this box, or none where it cannot be one.

It keeps the hospital's numbers and UID, so that what the machine then makes is the hospital's examination.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Final

from firmware_app.cases.registration import names
from firmware_app.cases.registration.entry import SEXES, age_at, birth_date
from firmware_app.core.errors import BirthDateWrong, RegistrationError
from firmware_app.core.records import is_uid
from firmware_app.dicom.examinations import MODALITIES, kind_of
from firmware_app.dicom.headers import age as ages
from firmware_app.dicom.headers import identity
from firmware_app.dicom.worklist_entry import WorklistEntry

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


class LeftOut(StrEnum):
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


def learned(said: Mapping[int, str], step: Mapping[int, str], origin: str, today: date) -> WorklistEntry | LeftOut:
    """The patient of one answer: its texts by tag, and those of its scheduled step; else why it cannot be taken up.

    It needs a number of the patient and of the examination that fit into the images' attributes (PS3.5 6.2, LO and SH),
    a name, a valid UID, a date, and a machine of a kind that this box knows.
    """
    number, accession = said.get(PATIENT_ID, ""), said.get(ACCESSION, "") or said.get(PROCEDURE_ID, "")
    modality, scheduled = step.get(MODALITY, ""), step.get(START_DATE, "")
    name = identity.spoken(said.get(NAME, ""))
    needed = (
        (LeftOut.MODALITY, modality in MODALITIES),
        (LeftOut.PATIENT, _PATIENT_ID.fullmatch(number)),
        (LeftOut.ACCESSION, _NUMBER.fullmatch(accession)),
        (LeftOut.STUDY, is_uid(said.get(STUDY, ""))),
        (LeftOut.DATE, re.fullmatch(r"\d{8}", scheduled)),
    )
    for reason, is_there in needed:
        if not is_there:
            return reason
    try:
        shown = names.clean(name)
        person_name = _person_name(said.get(NAME, ""), shown)
    except RegistrationError:
        return LeftOut.NAME
    try:
        born = birth_date(said.get(BIRTH_DATE, ""), today)
    except BirthDateWrong:
        born = None
    return WorklistEntry(
        accession,
        said[STUDY],
        number,
        shown,
        person_name,
        f"{born:%Y%m%d}" if born else "",
        age_at(born, today) if born else ages.clean_age(said.get(AGE, "")),
        said.get(SEX, "") if said.get(SEX, "") in SEXES else "",
        _ANY[kind_of(modality)],
        scheduled + re.sub(r"\D", "", step.get(START_TIME, ""))[:6].ljust(6, "0"),
        said.get(PROCEDURE_ID, "")[:16],
        step.get(STEP_ID, "")[:16],
        (step.get(STEP, "") or said.get(PROCEDURE, ""))[:_LONGEST],
        origin,
    )


def _person_name(told: str, shown: str) -> str:
    """The name as the hospital writes it, where its first group is in Latin letters; else with pinyin before it.

    An old console is told the first group only.
    """
    if told.partition("=")[0].isascii() and told.partition("=")[0].strip("^ "):
        return told
    return names.person_name(shown, names.spelling(shown))

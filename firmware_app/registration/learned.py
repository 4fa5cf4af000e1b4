"""An entry of the hospital's worklist as a registered patient of this box, or none where it cannot be one.

It keeps the hospital's numbers and UID, so that what the machine then makes is the hospital's examination.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from firmware_app.errors import BirthDateWrong, RegistrationError
from firmware_app.headers import age as ages
from firmware_app.headers import identity
from firmware_app.records import is_uid
from firmware_app.registration import names
from firmware_app.registration.entry import SEXES, Registered, age_at, birth_date
from firmware_app.registration.examinations import MODALITIES, kind_of

_ANY: Final = {"xray": "xray", "mammography": "mammography", "ultrasound": "us", "ct": "ct", "mr": "mr"}
"""By kind of machine, the examination of no named part."""
_NUMBER: Final = re.compile(r"[ -\[\]-~]{1,16}")
_PATIENT_ID: Final = re.compile(r"[^\\\x00-\x1f\x7f]{1,64}")
_LONGEST: Final = 64

ACCESSION, NAME, PATIENT_ID, BIRTH_DATE, SEX, AGE = (
    0x00080050, 0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x00101010,
)  # fmt: skip
STUDY, PROCEDURE, PROCEDURE_ID = 0x0020000D, 0x00321060, 0x00401001
MODALITY, START_DATE, START_TIME, STEP, STEP_ID = 0x00080060, 0x00400002, 0x00400003, 0x00400007, 0x00400009


def learned(said: Mapping[int, str], step: Mapping[int, str], origin: str, today: date) -> Registered | None:
    """The patient of one answer: its texts by tag, and those of its scheduled step.

    None without a number of the patient or of the examination, without a name or a valid UID, or for a machine of a
    kind that this box does not know.
    """
    number, accession = said.get(PATIENT_ID, ""), said.get(ACCESSION, "") or said.get(PROCEDURE_ID, "")
    modality, scheduled = step.get(MODALITY, ""), step.get(START_DATE, "")
    name = identity.spoken(said.get(NAME, ""))
    if not (
        _PATIENT_ID.fullmatch(number) and _NUMBER.fullmatch(accession) and is_uid(said.get(STUDY, ""))
        and modality in MODALITIES and re.fullmatch(r"\d{8}", scheduled)
    ):  # fmt: skip
        return None
    try:
        shown = names.clean(name)
        person_name = _person_name(said.get(NAME, ""), shown)
    except RegistrationError:
        return None
    try:
        born = birth_date(said.get(BIRTH_DATE, ""), today)
    except BirthDateWrong:
        born = None
    return Registered(
        accession, said[STUDY], number, shown, person_name, f"{born:%Y%m%d}" if born else "",
        age_at(born, today) if born else ages.clean_age(said.get(AGE, "")),
        said.get(SEX, "") if said.get(SEX, "") in SEXES else "", _ANY[kind_of(modality)],
        scheduled + re.sub(r"\D", "", step.get(START_TIME, ""))[:6].ljust(6, "0"),
        said.get(PROCEDURE_ID, "")[:16], step.get(STEP_ID, "")[:16],
        (step.get(STEP, "") or said.get(PROCEDURE, ""))[:_LONGEST], origin,
    )  # fmt: skip


def _person_name(told: str, shown: str) -> str:
    """The name as the hospital writes it, where its first group is in Latin letters; else with pinyin before it.

    An old console is told the first group only.
    """
    if told.partition("=")[0].isascii() and told.partition("=")[0].strip("^ "):
        return told
    return names.person_name(shown, names.spelling(shown))

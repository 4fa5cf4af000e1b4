"""The patient's age when the image was made, in completed years: known, not given, or given but unclear.

An age that cannot be understood never counts as "not given": a child whose age field says “five” is not an adult.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from enum import Enum
from typing import Final

from firmware_app.headers.charset import possible_readings
from firmware_app.records import Header

OLDEST_YEARS: Final = 130
LARGEST_DIFFERENCE_YEARS: Final = 2
"""Allowed between the stated age and that by the dates: clinics enter 1 January of a guessed year, or count from 1."""

# PS3.5 6.2, VR AS: three digits and D, W, M or Y.  Consoles leave out leading zeros, add a space, or write Chinese.
_AGE: Final = re.compile(r"(\d{1,3})\s*(D|W|M|Y|YRS?|YEARS?|天|日|周|个?月|岁)", re.ASCII)
_UNITS: Final = {"天": "D", "日": "D", "周": "W", "个月": "M", "月": "M", "岁": "Y"}
_DAYS: Final = {"D": 1.0, "W": 7.0, "M": 365.25 / 12}


class NotKnown(Enum):
    """Why the age is not known."""

    ABSENT = "absent"
    UNCLEAR = "unclear"


def stated(header: Header) -> int | NotKnown:
    """Completed years from PatientAge, else from birth date and study date.

    Unclear: an age or a birth date that cannot be understood, is absurd, or contradicts the other by more than two
    years.  Zero years, months or weeks mean a newborn, or a console where nobody entered an age: the dates decide.
    """
    said, counted = _from_age(header.patient_age), _from_dates(header.birth_date, header.study_date)
    if said is None:
        return NotKnown.UNCLEAR if counted is NotKnown.ABSENT else counted
    if said is NotKnown.ABSENT:
        return counted
    if isinstance(said, int) and isinstance(counted, int) and abs(said - counted) > LARGEST_DIFFERENCE_YEARS:
        return NotKnown.UNCLEAR
    if isinstance(said, int) and _born_later(header.birth_date, header.study_date):
        return NotKnown.UNCLEAR
    return said


def completed_years(header: Header) -> int | None:
    """The age in years, None where it is not known."""
    years = stated(header)
    return years if isinstance(years, int) else None


def _from_age(text: str | None) -> int | NotKnown | None:
    """Years, or why they are not known; None for a zero that may mean a newborn or an empty field."""
    text = (text or "").strip(" \0")
    if not text:
        return NotKnown.ABSENT
    for reading in possible_readings(text):
        match = _AGE.fullmatch(unicodedata.normalize("NFKC", reading).upper().strip())
        if match is not None:
            break
    else:
        return NotKnown.UNCLEAR
    amount, unit = int(match[1]), _UNITS.get(match[2], match[2][0])
    if amount == 0 and unit != "D":  # 000D is a newborn
        return None
    years = amount if unit == "Y" else int(amount * _DAYS[unit] / 365.25 + 1e-9)
    return years if years <= OLDEST_YEARS else NotKnown.UNCLEAR


def _from_dates(birth: str | None, study: str | None) -> int | NotKnown:
    if not (birth or "").strip(" 0.\0"):  # empty, or only zeros
        return NotKnown.ABSENT
    born, seen = _date(birth), _date(study)
    if born is None or seen is None or seen < born:
        return NotKnown.UNCLEAR
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return years if years <= OLDEST_YEARS else NotKnown.UNCLEAR


def _born_later(birth: str | None, study: str | None) -> bool:
    born, seen = _date(birth), _date(study)
    return born is not None and seen is not None and seen < born


def _date(text: str | None) -> date | None:
    """A DA value, also in the older form with dots (PS3.5 6.2 note)."""
    digits = (text or "").strip().replace(".", "")
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None

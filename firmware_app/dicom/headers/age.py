"""The patient's age when the image was made, in completed years: known, not given, or given but unclear.

An age that cannot be understood never counts as "not given": a child whose age field says “five” is not an adult.  Nor
does one that only fills the field: a birth date of 1 January 1900 is no age of 126 years.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from enum import Enum
from typing import Final

from firmware_app.core.records import Header
from firmware_app.dicom.headers.charset import possible_readings

OLDEST_YEARS: Final = 120
"""Of the people whose age was ever proved, two were older: a field that says more was filled by a program."""
LARGEST_DIFFERENCE_YEARS: Final = 2
"""Allowed between the stated age and that by the dates: clinics enter 1 January of a guessed year, or count from 1."""
ROUNDING_YEARS: Final = 1
"""What lies between completed and begun years (PS3.5 6.2, AS: the standard does not say which)."""

# PS3.5 6.2, VR AS: three digits and D, W, M or Y.  Consoles leave out leading zeros, add a space, or write Chinese.
_AGE: Final = re.compile(r"(\d{1,3})\s*(D|W|M|Y|YRS?|YEARS?|天|日|周|个?月|岁)", re.ASCII)
_UNITS: Final = {"天": "D", "日": "D", "周": "W", "个月": "M", "月": "M", "岁": "Y"}
_DAYS: Final = {"D": 1.0, "W": 7.0, "M": 365.25 / 12}
_FILLER: Final = 999
"""All that the field can hold, in whichever unit: nobody counted that."""

# Before and after these nobody was born who is imaged with such a machine; between them, the zero dates of databases,
# spreadsheets and consoles.
_FIRST_BIRTH, _LAST_BIRTH = date(1870, 1, 1), date(2098, 12, 31)
_PLACEHOLDERS: Final = frozenset(
    (date(1899, 12, 30), date(1899, 12, 31), date(1900, 1, 1), date(1901, 1, 1), date(1904, 1, 1))
)


class NotKnown(Enum):
    """Why the age is not known."""

    ABSENT = "absent"
    UNCLEAR = "unclear"


def stated(header: Header) -> int | NotKnown:
    """Completed years from PatientAge, else from birth date and study date.

    Unclear: an age or a birth date that cannot be understood, is absurd or a placeholder, or contradicts the other by
    more than two years.  Zero years, months or weeks mean a newborn, or a console where nobody entered an age, and an
    absurd age is a filler: the dates decide.
    """
    said, counted = _from_age(header), _from_dates(header.birth_date, header.study_date)
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


def otherwise(header: Header) -> int | None:
    """The age by the dates, where PatientAge says another one and more than rounding lies between them."""
    said, counted = stated(header), _from_dates(header.birth_date, header.study_date)
    apart = isinstance(said, int) and isinstance(counted, int) and abs(said - counted) > ROUNDING_YEARS
    return counted if apart and isinstance(counted, int) else None


def shown(header: Header) -> str:
    """The age as people see it, an AS such as ``012Y``: as the image states it, else by the dates; empty: unknown."""
    if isinstance(_from_age(header), int) and (text := clean_age(header.patient_age or "")):
        return text
    years = completed_years(header)
    return "" if years is None else f"{years:03d}Y"


def clean_age(text: str) -> str:
    """*text* as an AS with three digits; empty when it is no age of a person."""
    match = re.fullmatch(r"0*(\d{1,3})([DWMY])", text.strip().upper(), re.ASCII)
    if match is None or not _is_plausible(int(match[1]), match[2]):
        return ""
    return f"{int(match[1]):03d}{match[2]}"


def birth_date(text: str | None) -> str:
    """A birth date as a DA; empty where it is absent, no date, or one that stands for "unknown"."""
    born = _date(text)
    return f"{born:%Y%m%d}" if born is not None and is_likely(born) else ""


def is_likely(born: date) -> bool:
    """Whether a patient may have been born then; False for a date that stands for "unknown"."""
    return born not in _PLACEHOLDERS and _FIRST_BIRTH <= born <= _LAST_BIRTH


def _is_plausible(amount: int, unit: str) -> bool:
    return amount != _FILLER and (unit != "Y" or amount <= OLDEST_YEARS)


def _from_age(header: Header) -> int | NotKnown | None:
    """Years, or why they are not known; None for a zero that may mean a newborn or an empty field, and for a filler."""
    text = (header.patient_age or "").strip(" \0")
    if not text:
        return NotKnown.ABSENT
    for reading in possible_readings(text):
        match = _AGE.fullmatch(unicodedata.normalize("NFKC", reading).upper().strip())
        if match is not None:
            break
    else:
        return NotKnown.UNCLEAR
    amount, unit = int(match[1]), _UNITS.get(match[2], match[2][0])
    if not _is_plausible(amount, unit) or (amount == 0 and unit != "D"):  # 000D is a newborn
        return None
    years = amount if unit == "Y" else int(amount * _DAYS[unit] / 365.25 + 1e-9)
    return None if _is_of_placeholder(years, header) else years


def _is_of_placeholder(years: int, header: Header) -> bool:
    """Whether the console computed the age from a birth date that nobody entered."""
    born, seen = _date(header.birth_date), _date(header.study_date)
    if born is None or seen is None or is_likely(born):
        return False
    return abs(_years(born, seen) - years) <= ROUNDING_YEARS


def _from_dates(birth: str | None, study: str | None) -> int | NotKnown:
    if not (birth or "").strip(" 0.\0"):  # empty, or only zeros
        return NotKnown.ABSENT
    born, seen = _date(birth), _date(study)
    if born is None or seen is None or seen < born or not is_likely(born):
        return NotKnown.UNCLEAR
    years = _years(born, seen)
    return years if years <= OLDEST_YEARS else NotKnown.UNCLEAR


def _years(born: date, seen: date) -> int:
    return seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))


def _born_later(birth: str | None, study: str | None) -> bool:
    born, seen = _date(birth), _date(study)
    return born is not None and seen is not None and seen < born and is_likely(born)


def _date(text: str | None) -> date | None:
    """A DA value, also in the older form with dots (PS3.5 6.2 note)."""
    digits = (text or "").strip(" \0").replace(".", "")
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None

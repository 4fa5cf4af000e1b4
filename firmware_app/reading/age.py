"""How old the patient was when the image was made, in completed years."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from firmware_app.records import Header

OLDEST_YEARS: Final = 120
# PS3.5 6.2, VR AS: three digits and D, W, M or Y.  Some modalities leave out the leading zeros or the letter's case.
_AGE: Final = re.compile(r"(\d{1,3})([DWMY])", re.IGNORECASE)
_DAYS: Final = {"D": 1.0, "W": 7.0, "M": 365.25 / 12}


def completed_years(header: Header) -> int | None:
    """Completed years from PatientAge, else from birth date and study date; None when unknown or absurd.

    PatientAge wins: it is what the technician saw, while birth dates of clinics are often 1 January of a guessed year.
    """
    stated = _from_age(header.patient_age)
    return stated if stated is not None else _from_dates(header.birth_date, header.study_date)


def _from_age(text: str | None) -> int | None:
    match = _AGE.fullmatch((text or "").strip())
    if match is None:
        return None
    amount, unit = int(match[1]), match[2].upper()
    # 000D is a newborn, while 000Y is what a console writes when nobody typed an age.
    if amount == 0 and unit != "D":
        return None
    years = amount if unit == "Y" else int(amount * _DAYS[unit] / 365.25 + 1e-9)
    return years if years <= OLDEST_YEARS else None


def _from_dates(birth: str | None, study: str | None) -> int | None:
    born, seen = _date(birth), _date(study)
    if born is None or seen is None or seen < born:
        return None
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return years if years <= OLDEST_YEARS else None


def _date(text: str | None) -> date | None:
    """A DA value, also in the older form with dots (PS3.5 6.2 note)."""
    digits = (text or "").strip().replace(".", "")
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None

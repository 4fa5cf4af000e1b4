"""What people know a patient by, as values without a database; `clinical.patients` finds and keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

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


def clean(text: str) -> str:
    """*text* as one line of at most `LONGEST` characters, without control or direction characters."""
    return " ".join(_CONTROL.sub(" ", text).split())[:LONGEST]

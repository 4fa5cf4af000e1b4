"""The number of a Chinese resident identity card (GB 11643-1999): check digit, birth date and sex.

Six digits of a region, eight of the birth date, three in order (odd: male), and a check digit by ISO 7064 MOD 11-2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from firmware_app.core.errors import IdCardWrong
from firmware_app.dicom.headers.age import OLDEST_YEARS

_SHAPE: Final = re.compile(r"[1-9][0-9]{5}(?:18|19|20)[0-9]{9}[0-9X]")
_CHECK: Final = "10X98765432"


@dataclass(frozen=True, slots=True)
class IdCard:
    """What a card's number says; `sex` is M or F."""

    number: str
    birth_date: date
    sex: str


def check_digit(digits: str) -> str:
    """The last character for the first 17 *digits* (ISO 7064 MOD 11-2)."""
    return _CHECK[sum((2 ** (17 - place) % 11) * int(digit) for place, digit in enumerate(digits)) % 11]


def read(text: str, today: date) -> IdCard | None:
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
    if number[17] != check_digit(number[:17]) or not 0 <= (today - born).days <= 366 * OLDEST_YEARS:
        raise IdCardWrong
    return IdCard(number, born, "M" if int(number[16]) % 2 else "F")

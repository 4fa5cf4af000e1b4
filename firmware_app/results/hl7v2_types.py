"""Data types of HL7 v2.5.1 (chapter 2.A) from DICOM's: names, times, numbers, and text with its escape sequences."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Final

from firmware_app.cases.registration import names

_ESCAPES: Final = {"|": "F", "^": "S", "&": "T", "~": "R", "\\": "E"}
_DATE: Final = re.compile(r"\d{4}(?:\d\d(?:\d\d)?)?", re.ASCII)
_TIME: Final = re.compile(r"(\d\d(?:\d\d(?:\d\d)?)?)(?:\.\d*)?", re.ASCII)
_FORMS: Final = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_DAY: Final = 8
_REPRESENTATIONS: Final = ("A", "I", "P")
"""Table 0465, in the order of the groups of a PN (PS3.5 6.2.1)."""
_LEGAL: Final = "L"
"""Table 0200."""


def escaped(text: str) -> str:
    """*text* with its delimiters and control characters escaped (2.7)."""
    return "".join(_escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return f"\\{_ESCAPES[letter]}\\"
    return f"\\X{letter.encode().hex().upper()}\\" if unicodedata.category(letter) == "Cc" else letter


def lines(text: str) -> list[str]:
    """A TX: the lines of *text*, each a repetition of the field."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def number(value: float) -> str:
    """An NM of four digits; it has no exponent."""
    return f"{Decimal(f'{value:.4g}'):f}"


def xpn(person_name: str) -> list[tuple[str, ...]]:
    """The repetitions of an XPN for a PN (PS3.5 6.2.1): each group one, with its representation.

    DICOM has prefix and suffix in this order, HL7 in the other.  A name in Latin letters alone needs no representation.
    """
    groups = [[part.strip() for part in group.split("^")] for group in person_name.split("=")]
    made: list[tuple[str, ...]] = []
    for group, place in zip(groups, _REPRESENTATIONS, strict=False):
        if any(group):
            family, given, middle, prefix, *suffixes = (*group, "", "", "", "")
            suffix = " ".join(filter(None, suffixes))
            written = "I" if place == "A" and names.is_chinese("".join(group)) else place
            made.append((family, given, middle, suffix, prefix, "", _LEGAL, written))
    if [one[-1] for one in made] != ["A"]:
        return made
    told = max(number for number, part in enumerate(made[0][:5], 1) if part)
    return [made[0][:told]]


def time(date: str | None, time: str | None = None) -> str:
    """The TS of a DA and a TM, each also in the form of ACR-NEMA; as much of it as is valid, perhaps nothing.

    A TM may end after its hours or minutes, and so may a TS; after a year or a month no hour may come.
    """
    day = (date or "").strip().replace(".", "")
    if _DATE.fullmatch(day) is None or not _is_valid(day):
        return ""
    found = _TIME.fullmatch((time or "").strip().replace(":", ""))
    if found is None or len(day) < _DAY or not _is_valid(day + found[1]):
        return day
    return day + found[1]


def _is_valid(text: str) -> bool:
    try:
        datetime.strptime(text, _FORMS[len(text)])
    except ValueError:
        return False
    return True

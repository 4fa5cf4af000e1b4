"""The patient in a header: the identity for people at the viewer, the age, and whether two objects name one patient.

**Identity** never leaves the box.  ``identity.json`` lies beside the frames for the viewer.  The door writes it as soon
as it has accepted an image, so that the name is there before the image is read; the decode child writes it again with
the frames.  Text is decoded by `dicom.charset`, so that a Chinese console's GBK is readable also when no character set
was declared.

**Age** is in completed years when the image was made: known, not given, or given but unclear.  An age that cannot be
understood never counts as "not given": a child whose age field says “five” is not an adult.  Nor does one that only
fills the field: a birth date of 1 January 1900 is no age of 126 years.

**Person**: a study belongs to one patient (PS3.3 7.3), but devices put several under one Study Instance UID.  Another
patient is one with another Patient ID of the same issuer, or with another name and another birth date.  Where the
numbers cannot be compared, another birth date is enough, and so is another name unless the birth dates are the same.
What only one of the two states proves nothing, and neither does a name that is written differently (PS3.5 6.2.1): case,
blanks, accents, empty components, prefix and suffix, or another group of it.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from enum import Enum, auto
from functools import lru_cache
from pathlib import Path
from typing import Final

from firmware_app.core.records import Header
from firmware_app.dicom.charset import decode_text, possible_readings

IDENTITY_FILE: Final = "identity.json"
IDENTITY_KEYWORDS: Final = {
    "name": "PatientName",
    "patient_id": "PatientID",
    "age": "PatientAge",
    "sex": "PatientSex",
    "accession": "AccessionNumber",  # of the examination; people name it in a register of outcomes
    "issuer": "IssuerOfPatientID",  # whose number `patient_id` is
}
MOST_IDENTITY_BYTES: Final = 512  # of one value


def collect_identity(values: Mapping[str, bytes], charset: bytes) -> dict[str, str]:
    """The attributes of `IDENTITY_KEYWORDS` that the header has, as text; *values* are the bytes in the file."""
    texts = {key: identity_text(value, charset, is_name=key == "name") for key, value in values.items()}
    texts["name"] = readable_name(texts.get("name", ""))
    return {key: value for key, value in texts.items() if value}


def identity_text(value: bytes, charset: bytes, *, is_name: bool = False) -> str:
    """The text of one element in whatever character set."""
    return decode_text(value[:MOST_IDENTITY_BYTES], charset, name=is_name).strip(" \0")


def readable_name(name: str) -> str:
    """A PN value (PS3.5 6.2.1) as people write it: its ideographic group if present, else the first that is not empty.

    Chinese components are joined without a space, others with spaces, in the order of the header.
    """
    groups = [group for group in name.split("=") if group.strip("^ ")]
    if not groups:
        return ""
    chosen = next((group for group in groups if _ideographic(group)), groups[0])
    parts = [part.strip() for part in chosen.split("^") if part.strip()]
    return ("" if _ideographic(chosen) else " ").join(parts)


def write_identity(identity: Mapping[str, str], folder: Path) -> None:
    """Write ``identity.json`` into *folder*, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{IDENTITY_FILE}.{os.getpid()}"  # the door and the decode child may write at the same instant
    beside.write_text(json.dumps(dict(identity), ensure_ascii=False), "utf-8")
    os.replace(beside, folder / IDENTITY_FILE)


def read_identity(folder: Path) -> dict[str, str]:
    """What `write_identity` wrote into *folder*; empty where there is none, or no whole one."""
    try:
        content = json.loads((folder / IDENTITY_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)} if isinstance(content, dict) else {}


def _ideographic(text: str) -> bool:
    return any(unicodedata.name(character, "").startswith("CJK UNIFIED") for character in text)


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


class AgeUnknown(Enum):
    """Why the age is not known."""

    ABSENT = "absent"
    UNCLEAR = "unclear"


def parse_age(header: Header) -> int | AgeUnknown:
    """Completed years from PatientAge, else from birth date and study date.

    Unclear: an age or a birth date that cannot be understood, is absurd or a placeholder, or contradicts the other by
    more than two years.  Zero years, months or weeks mean a newborn, or a console where nobody entered an age, and an
    absurd age is a filler: the dates decide.
    """
    said, counted = _years_from_age(header), _years_from_dates(header.birth_date, header.study_date)
    if said is None:
        return AgeUnknown.UNCLEAR if counted is AgeUnknown.ABSENT else counted
    if said is AgeUnknown.ABSENT:
        return counted
    if isinstance(said, int) and isinstance(counted, int) and abs(said - counted) > LARGEST_DIFFERENCE_YEARS:
        return AgeUnknown.UNCLEAR
    if isinstance(said, int) and _is_born_later(header.birth_date, header.study_date):
        return AgeUnknown.UNCLEAR
    return said


def parse_age_years(header: Header) -> int | None:
    """The age in years, None where it is not known."""
    years = parse_age(header)
    return years if isinstance(years, int) else None


def conflicting_age(header: Header) -> int | None:
    """The age by the dates, where PatientAge says another one and more than rounding lies between them."""
    said, counted = parse_age(header), _years_from_dates(header.birth_date, header.study_date)
    apart = isinstance(said, int) and isinstance(counted, int) and abs(said - counted) > ROUNDING_YEARS
    return counted if apart and isinstance(counted, int) else None


def age_text(header: Header) -> str:
    """The age as people see it, an AS such as ``012Y``: as the image states it, else by the dates; empty: unknown."""
    if isinstance(_years_from_age(header), int) and (text := clean_age(header.patient_age or "")):
        return text
    years = parse_age_years(header)
    return "" if years is None else f"{years:03d}Y"


def clean_age(text: str) -> str:
    """*text* as an AS with three digits; empty when it is no age of a person."""
    match = re.fullmatch(r"0*(\d{1,3})([DWMY])", text.strip().upper(), re.ASCII)
    if match is None or not _is_plausible(int(match[1]), match[2]):
        return ""
    return f"{int(match[1]):03d}{match[2]}"


def parse_birth_date(text: str | None) -> str:
    """A birth date as a DA; empty where it is absent, no date, or one that stands for "unknown"."""
    born = _parse_date(text)
    return f"{born:%Y%m%d}" if born is not None and is_likely_birth_date(born) else ""


def is_likely_birth_date(born: date) -> bool:
    """Whether a patient may have been born then; False for a date that stands for "unknown"."""
    return born not in _PLACEHOLDERS and _FIRST_BIRTH <= born <= _LAST_BIRTH


def _is_plausible(amount: int, unit: str) -> bool:
    return amount != _FILLER and (unit != "Y" or amount <= OLDEST_YEARS)


def _years_from_age(header: Header) -> int | AgeUnknown | None:
    """Years, or why they are not known; None for a zero that may mean a newborn or an empty field, and for a filler."""
    text = (header.patient_age or "").strip(" \0")
    if not text:
        return AgeUnknown.ABSENT
    for reading in possible_readings(text):
        match = _AGE.fullmatch(unicodedata.normalize("NFKC", reading).upper().strip())
        if match is not None:
            break
    else:
        return AgeUnknown.UNCLEAR
    amount, unit = int(match[1]), _UNITS.get(match[2], match[2][0])
    if not _is_plausible(amount, unit) or (amount == 0 and unit != "D"):  # 000D is a newborn
        return None
    years = amount if unit == "Y" else int(amount * _DAYS[unit] / 365.25 + 1e-9)
    return None if _is_of_placeholder(years, header) else years


def _is_of_placeholder(years: int, header: Header) -> bool:
    """Whether the console computed the age from a birth date that nobody entered."""
    born, seen = _parse_date(header.birth_date), _parse_date(header.study_date)
    if born is None or seen is None or is_likely_birth_date(born):
        return False
    return abs(_years_between(born, seen) - years) <= ROUNDING_YEARS


def _years_from_dates(birth: str | None, study: str | None) -> int | AgeUnknown:
    if not (birth or "").strip(" 0.\0"):  # empty, or only zeros
        return AgeUnknown.ABSENT
    born, seen = _parse_date(birth), _parse_date(study)
    if born is None or seen is None or seen < born or not is_likely_birth_date(born):
        return AgeUnknown.UNCLEAR
    years = _years_between(born, seen)
    return years if years <= OLDEST_YEARS else AgeUnknown.UNCLEAR


def _years_between(born: date, seen: date) -> int:
    return seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))


def _is_born_later(birth: str | None, study: str | None) -> bool:
    born, seen = _parse_date(birth), _parse_date(study)
    return born is not None and seen is not None and seen < born and is_likely_birth_date(born)


def _parse_date(text: str | None) -> date | None:
    """A DA value, also in the older form with dots (PS3.5 6.2 note)."""
    digits = (text or "").strip(" \0").replace(".", "")
    if not re.fullmatch(r"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


_WORDS: Final = re.compile(r"[\s^,.·・-]+")
_NAMED: Final = 3  # components of a PN without prefix and suffix
_REMEMBERED: Final = 4096
_HAN: Final = "CJK"
_NO_NUMBER: Final = re.compile(r"[\W_0]*|unknown|none|null|n/?a|anonym(ous|ized|ised)?|no ?id|unbekannt|未知|无")
"""What consoles write where nobody entered a Patient ID."""


class Relation(Enum):
    """How what two objects say of their patients goes together."""

    ANOTHER = auto()
    UNLIKE = auto()  # another name, and nothing that says more: weaker than SAME
    OPEN = auto()  # nothing can be compared
    SAME = auto()


@dataclass(frozen=True, slots=True)
class Person:
    """The patient as one object states it; empty texts are unknown.  `name` is a PN, `birth_date` a DA."""

    number: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""

    @property
    def is_unknown(self) -> bool:
        return not (_fold_number(self.number) or _name_groups(self.name) or parse_birth_date(self.birth_date))

    def key(self) -> str:
        """The same text for the same statements."""
        return "\0".join(_fold_text(text) for text in astuple(self))


def compare_persons(one: Person, other: Person) -> Relation:
    """Whether *one* and *other* can be one patient."""
    numbers, names = _compare_numbers(one, other), _compare_names(one.name, other.name)
    births = _compare(parse_birth_date(one.birth_date), parse_birth_date(other.birth_date))
    if numbers is False or (births is False and (names is False or not numbers)):
        return Relation.ANOTHER
    if numbers:
        return Relation.SAME
    if names is False and not births:
        return Relation.UNLIKE
    if names or (births and names is not False):
        return Relation.SAME
    return Relation.OPEN


def compare_with_known(person: Person, known: Sequence[Person]) -> Relation:
    """How *person* goes together with all that objects of one patient have said by now."""
    found = {compare_persons(person, one) for one in known}
    strongest = (Relation.ANOTHER, Relation.SAME, Relation.UNLIKE)
    return next((relation for relation in strongest if relation in found), Relation.OPEN)


def have_same_number(one: Person, other: Person) -> bool:
    """Whether both state the same Patient ID, of issuers that do not differ."""
    return bool(_compare_numbers(one, other))


def _compare_numbers(one: Person, other: Person) -> bool | None:
    if _compare(_fold_text(one.issuer), _fold_text(other.issuer)) is False:
        return None  # two numbers of one patient, or one number of two
    return _compare(_fold_number(one.number), _fold_number(other.number))


def _compare_names(one: str, other: str) -> bool | None:
    mine, theirs = _name_groups(one), _name_groups(other)
    said = {script: _is_one_name(mine[script], theirs[script]) for script in mine.keys() & theirs.keys()}
    if not said:
        return None
    if _HAN in said and not said[_HAN] and any(said.values()):
        return None  # written alike in letters: two characters of one sound, or one in its simplified form
    return any(said.values())


def _compare(one: str, other: str) -> bool | None:
    return one == other if one and other else None


@lru_cache(_REMEMBERED)
def _fold_text(text: str) -> str:
    """Without the padding and case that tell nobody apart (PS3.5 6.2, LO)."""
    return " ".join(unicodedata.normalize("NFKC", text.strip(" \0")).casefold().split())


def _fold_number(text: str) -> str:
    plain = _fold_text(text)
    return "" if _NO_NUMBER.fullmatch(plain) else plain


@lru_cache(_REMEMBERED)
def _name_groups(name: str) -> dict[str, tuple[str, ...]]:
    """The components of each group of a PN that has letters, without accents and case, by its script."""
    found: dict[str, tuple[str, ...]] = {}
    for group in name.split("=")[:3]:
        flat = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", group)).casefold()
        flat = "".join(letter for letter in flat if not unicodedata.combining(letter))
        letters = [letter for letter in flat if letter.isalpha()]
        if letters and "\ufffd" not in flat:
            scripts = [unicodedata.name(letter, "?").split()[0] for letter in letters]
            script = _HAN if _HAN in scripts else scripts[0]
            found.setdefault(script, tuple(flat.split("^")[:_NAMED]))
    return found


def _is_one_name(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether the components say the same; a middle name that only one of them has counts for nothing."""
    if _letters(mine) == _letters(theirs) or _sort_words(mine) == _sort_words(theirs):
        return True
    lacks_middle = not all(len(one) == _NAMED and _letters(one[2:]) for one in (mine, theirs))
    return lacks_middle and len(mine) > 1 < len(theirs) and _letters(mine[:2]) == _letters(theirs[:2])


def _letters(components: tuple[str, ...]) -> str:
    return "".join(letter for letter in "".join(components) if letter.isalnum())


def _sort_words(components: tuple[str, ...]) -> list[str]:
    return sorted(word for word in _WORDS.split("^".join(components)) if word)

"""Whom an object's header names, and whether two objects of one study can be of one patient.

A study belongs to one patient (PS3.3 7.3), but machines put several under one Study Instance UID.  Another patient is
one with another Patient ID of the same issuer, or with another name and another birth date.  Where the numbers cannot
be compared, another birth date is enough, and so is another name unless the birth dates are the same.  What only one of
the two states proves nothing, and neither does a name that is written differently (PS3.5 6.2.1): case, blanks, accents,
empty components, prefix and suffix, or another group of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from firmware_app.dicom.headers.age import birth_date

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
        return not (_number(self.number) or _groups(self.name) or birth_date(self.birth_date))

    def key(self) -> str:
        """The same text for the same statements."""
        return "\0".join(_plain(text) for text in astuple(self))


def relation(one: Person, other: Person) -> Relation:
    """Whether *one* and *other* can be one patient."""
    numbers, names = _same_number(one, other), _same_name(one.name, other.name)
    births = _same(birth_date(one.birth_date), birth_date(other.birth_date))
    if numbers is False or (births is False and (names is False or not numbers)):
        return Relation.ANOTHER
    if numbers:
        return Relation.SAME
    if names is False and not births:
        return Relation.UNLIKE
    if names or (births and names is not False):
        return Relation.SAME
    return Relation.OPEN


def among(person: Person, known: Sequence[Person]) -> Relation:
    """How *person* goes together with all that objects of one patient have said by now."""
    found = {relation(person, one) for one in known}
    strongest = (Relation.ANOTHER, Relation.SAME, Relation.UNLIKE)
    return next((one for one in strongest if one in found), Relation.OPEN)


def same_number(one: Person, other: Person) -> bool:
    """Whether both state the same Patient ID, of issuers that do not differ."""
    return bool(_same_number(one, other))


def _same_number(one: Person, other: Person) -> bool | None:
    if _same(_plain(one.issuer), _plain(other.issuer)) is False:
        return None  # two numbers of one patient, or one number of two
    return _same(_number(one.number), _number(other.number))


def _same_name(one: str, other: str) -> bool | None:
    mine, theirs = _groups(one), _groups(other)
    said = {script: _is_one_name(mine[script], theirs[script]) for script in mine.keys() & theirs.keys()}
    if not said:
        return None
    if _HAN in said and not said[_HAN] and any(said.values()):
        return None  # written alike in letters: two characters of one sound, or one in its simplified form
    return any(said.values())


def _same(one: str, other: str) -> bool | None:
    return one == other if one and other else None


@lru_cache(_REMEMBERED)
def _plain(text: str) -> str:
    """Without the padding and case that tell nobody apart (PS3.5 6.2, LO)."""
    return " ".join(unicodedata.normalize("NFKC", text.strip(" \0")).casefold().split())


def _number(text: str) -> str:
    plain = _plain(text)
    return "" if _NO_NUMBER.fullmatch(plain) else plain


@lru_cache(_REMEMBERED)
def _groups(name: str) -> dict[str, tuple[str, ...]]:
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
    if _letters(mine) == _letters(theirs) or _sorted(mine) == _sorted(theirs):
        return True
    lacks_middle = not all(len(one) == _NAMED and _letters(one[2:]) for one in (mine, theirs))
    return lacks_middle and len(mine) > 1 < len(theirs) and _letters(mine[:2]) == _letters(theirs[:2])


def _letters(components: tuple[str, ...]) -> str:
    return "".join(letter for letter in "".join(components) if letter.isalnum())


def _sorted(components: tuple[str, ...]) -> list[str]:
    return sorted(word for word in _WORDS.split("^".join(components)) if word)

"""What a header says inside sequences of how an image was taken: codes of view, region, posture and side, and the words
of what was asked for (PS3.3 8, C.8.11.5, 10.5, 10.19; in enhanced objects within their functional groups).

Which codes PS3.16 has for what is asked of pydicom's copy of it, and only once an image carries one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final

from firmware_app.core.records import Code, CodedFacts
from firmware_app.dicom.data_elements import Element
from firmware_app.dicom.element_stream import Item

_VIEW, _VIEW_MODIFIER = 0x00540220, 0x00540222
_REGION, _REGION_MODIFIER, _STRUCTURE, _STRUCTURE_MODIFIER = 0x00082218, 0x00082220, 0x00082228, 0x00082230
_POSTURE, _POSTURE_MODIFIER = 0x00540410, 0x00540412
_FRAME_ANATOMY, _SHARED_GROUPS, _GROUPS_OF_FRAMES = 0x00209071, 0x52009229, 0x52009230
_REQUESTS, _REQUESTED, _PERFORMED, _PROCEDURE, _SERIES_CODE, _SCHEDULED = (
    0x00400275,
    0x00321064,
    0x00400260,
    0x00081032,
    0x0008103F,
    0x00400008,
)
SEQUENCES: Final = frozenset(
    (
        _VIEW,
        _VIEW_MODIFIER,
        _REGION,
        _REGION_MODIFIER,
        _STRUCTURE,
        _STRUCTURE_MODIFIER,
        _POSTURE,
        _POSTURE_MODIFIER,
        _FRAME_ANATOMY,
        _SHARED_GROUPS,
        _GROUPS_OF_FRAMES,
        _REQUESTS,
        _REQUESTED,
        _PERFORMED,
        _PROCEDURE,
        _SERIES_CODE,
        _SCHEDULED,
    )
)
_OF_THE_IMAGE: Final = (_SERIES_CODE, _PERFORMED)
_OF_THE_STUDY: Final = (_PROCEDURE, _REQUESTED, _SCHEDULED)

# Code Value, its long form and its form as a URN (PS3.3 8.1); the scheme; the meaning.
_VALUES: Final = (0x00080100, 0x00080119, 0x00080120)
_SCHEME, _MEANING = 0x00080102, 0x00080104
_FRAME_LATERALITY: Final = 0x00209072
_REQUEST_WORDS: Final = (0x00321060, 0x00400007)
WANTED: Final = frozenset((*_VALUES, _SCHEME, _MEANING, _FRAME_LATERALITY, *_REQUEST_WORDS))
MOST_CODES: Final = 16  # of one kind; the standard allows one, or one and its modifiers

Text = Callable[[Element | None, Item | None], str | None]

_SNOMED: Final = re.compile(r"SCT|SRT|SNM3|99SDM|SNOMED.*")  # PS3.16 8: one terminology under its names through time
_OTHER_SCHEMES: Final = {"DCM": "DCM", "NCIT": "NCIt", "RADLEX": "RADLEX", "FMA": "FMA"}
_PA_OF_OLD: Final = {"R-10214": "postero-anterior"}
"""CID 4010 until 2017; the copy of PS3.16 has its successor only."""
_SIDES: Final = {"LEFT": "L", "RIGHT": "R", "BILATERAL": "B", "UNILATERAL": "U"}  # CID 244


def collect_coded_facts(items: Sequence[Item], text: Text, laterality: Iterable[str | None]) -> CodedFacts:
    """What *items* say; *text* gives the text of an element of an item, *laterality* what the attributes beside them
    say of the side."""
    frames = (text(item.elements.get(_FRAME_LATERALITY), item) for item in items)
    coded = map(_side, _codes(items, text, _REGION_MODIFIER, _STRUCTURE_MODIFIER))
    sides = [*map(_one_side, zip(laterality, strict=True)), _one_side(frames), _one_side(coded)]
    return CodedFacts(
        views=_codes(items, text, _VIEW),
        view_modifiers=_codes(items, text, _VIEW_MODIFIER),
        regions=_codes(items, text, _REGION),
        structures=_codes(items, text, _STRUCTURE),
        postures=_codes(items, text, _POSTURE, _POSTURE_MODIFIER),
        sides=tuple(dict.fromkeys(filter(None, sides))),
    )


def collect_words(items: Sequence[Item], text: Text) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of *items*: those of the image's protocol, and those of the procedure that was asked for."""
    of_image = [code.meaning for code in _codes(items, text, *_OF_THE_IMAGE)]
    of_study = [code.meaning for code in _codes(items, text, *_OF_THE_STUDY)]
    for item in items:
        if item.path == (_REQUESTS,):
            of_study += [said for tag in _REQUEST_WORDS if (said := text(item.elements.get(tag), item))]
    return _unique(of_image), _unique(of_study)


def code_meanings(code: Code) -> tuple[str, ...]:
    """What PS3.16 calls *code*, the shortest first; empty for a code that it does not have."""
    scheme, value = re.sub(r"[^A-Z0-9]", "", code.scheme.upper()), code.value.strip().upper()
    if scheme in _OTHER_SCHEMES:
        return _dictionary(_OTHER_SCHEMES[scheme]).get(value, ())
    if not _SNOMED.fullmatch(scheme):
        return ()
    if value in _PA_OF_OLD:
        return (_PA_OF_OLD[value],)
    return _dictionary("SCT").get(value) or _dictionary("SRT").get(value, ())


def _side(code: Code) -> str:
    """L, R, B or U; empty for a code of anything else."""
    said = (meaning.partition(" ")[0].upper() for meaning in (*code_meanings(code), code.meaning))
    return next((_SIDES[one] for one in said if one in _SIDES), "")


def _one_side(said: Iterable[str | None]) -> str:
    """The side that one place of the header names: both where it names left and right; empty where it names none."""
    sides = {side for one in said if (side := (one or "").strip().upper()) in _SIDES.values()}
    return "B" if {"L", "R"} <= sides else min(sides, default="")


@cache
def _dictionary(scheme: str) -> dict[str, tuple[str, ...]]:
    """Meanings by value of one scheme of PS3.16; of SNOMED RT by way of SNOMED CT."""
    from pydicom.sr._concepts_dict import concepts  # a table of 15 MB
    from pydicom.sr._snomed_dict import mapping

    if scheme == "SRT":
        known = _dictionary("SCT")
        return {old: known[new] for old, new in mapping["SRT"].items() if new in known}
    found: dict[str, list[str]] = {}
    named: dict[str, Any] = concepts.get(scheme, {})  # keyword -> value -> meaning and context groups
    for of_keyword in named.values():
        for value, (meaning, _) in of_keyword.items():
            found.setdefault(value.upper(), []).append(meaning)
    return {value: tuple(sorted(said, key=len)) for value, said in found.items()}


def _codes(items: Sequence[Item], text: Text, *sequences: int) -> tuple[Code, ...]:
    """The codes in the items of *sequences*, at whatever depth these lie."""
    found: dict[Code, None] = {}
    for item in items:
        if item.path[-1] in sequences and len(found) < MOST_CODES:
            value = next((said for tag in _VALUES if (said := text(item.elements.get(tag), item))), "")
            scheme, meaning = (text(item.elements.get(tag), item) or "" for tag in (_SCHEME, _MEANING))
            if value or meaning:
                found[Code(value, scheme, meaning)] = None
    return tuple(found)


def _unique(said: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in said if one))[:MOST_CODES]

"""The view of an X-ray: from ViewPosition and orientation, else from the examination's descriptions.

A view that is named but not understood is one that no model reads; only a film without any may be taken for frontal.
ViewCodeSequence is not used: the door reads no value inside a sequence.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from firmware_app.headers.charset import possible_readings
from firmware_app.records import Header

LATERAL: Final = "LATERAL"
OBLIQUE: Final = "OBLIQUE"
OTHER: Final = "OTHER"
FRONTAL: Final = "FRONTAL"


class Ambiguity(Enum):
    """A description that leaves the view open."""

    MIXED = "a frontal view and another one"


# Words of posture: a frontal film in that posture is still frontal.
_POSTURES: Final = frozenset(
    {"ERECT", "UPRIGHT", "STANDING", "SITTING", "SUPINE", "PORTABLE", "BEDSIDE", "MOBILE", "CHEST", "VIEW"}
)
_FRONTAL_CODES: Final = {"AP": "AP", "PA": "PA", "FRONTAL": FRONTAL, "后前位": "PA", "前后位": "AP", "正位": FRONTAL}
_OTHERS: Final = (
    (
        LATERAL,
        re.compile(r"(?<![A-Z])(?:[LR]?LAT|LATERAL\w*|LL|RL|SEITLICH\w*|PROFILE?)(?![A-Z])|侧[位卧片面]|正.{0,3}侧"),
    ),
    (OBLIQUE, re.compile(r"(?<![A-Z])(?:OBL|OBLIQ\w*|[LR][AP]O|LLO|RLO|SCHR[AÄ]G\w*)(?![A-Z])|斜")),
    ("DECUBITUS", re.compile(r"(?<![A-Z])(?:DECUB\w*|LLD|RLD)(?![A-Z])|卧位")),
    ("LORDOTIC", re.compile(r"(?<![A-Z])(?:LORDO\w*|APICAL)(?![A-Z])|前弓|前凸")),
    ("AXIAL", re.compile(r"(?<![A-Z])AXIAL(?![A-Z])|轴位")),
)
_FRONTAL: Final = re.compile(
    r"(?<![A-Z])(?:A\.?P\.?|P\.?A\.?|FRONTAL\w*|\w*ANTERO-?POST\w*|\w*POSTERO-?ANT\w*)(?![A-Z])|正.{0,3}位|正[侧斜]|后前|前后"
)
_SEVERAL: Final = re.compile(r"(?<![A-Z0-9])(?:[2-9]|TWO|THREE)[ -]?(?:VIEWS?|V)(?![A-Z])")
# Lying on the back is a posture, not a view.
_NO_VIEWS: Final = ("仰卧位", "仰卧")


def stated(header: Header) -> str | Ambiguity | None:
    """The view as a short upper-case word, `Words.MIXED`, or None when nothing names it.

    The film's own fields come first; the descriptions of its series, else of its study, may only contradict them.
    """
    words = _named(header.series_description)
    code = _code(header.view_position)
    if code is not None and code not in _FRONTAL_CODES.values():
        return code
    if _seen_from_the_side(header.patient_orientation):
        return LATERAL
    if code is not None:
        return words if isinstance(words, str) and words != FRONTAL else code
    return words if words is not None else _named(header.study_description)


def _code(view_position: str | None) -> str | None:
    """ViewPosition, a code (PS3.3 C.8.11.5), as a word of this module or unchanged; None when it is empty."""
    text = (view_position or "").strip(" \0")
    if not text:
        return None
    for reading in (one.upper() for one in possible_readings(text)):  # upper case last: it would change such bytes
        if reading in _FRONTAL_CODES:
            return _FRONTAL_CODES[reading]
        other = _other_than_frontal(reading)
        if other is not None:
            return other
    words = set(re.split(r"[ _,/\\]+", text.upper().replace("-", "").replace(".", ""))) - _POSTURES - {""}
    if len(words) == 1 and (word := words.pop()) in _FRONTAL_CODES:
        return _FRONTAL_CODES[word]
    return re.sub(r"[^A-Z]", "", text.upper())[:16] or OTHER


def _named(description: str | None) -> str | Ambiguity | None:
    """The view named in a description."""
    for reading in possible_readings(description or ""):
        text = reading.upper().replace("_", " ")
        for word in _NO_VIEWS:
            text = text.replace(word, " ")
        other, frontal = _other_than_frontal(text), _FRONTAL.search(text) is not None
        if _SEVERAL.search(text) or (frontal and other is not None):
            return Ambiguity.MIXED
        if frontal or other is not None:
            return other or FRONTAL
    return None


def _other_than_frontal(text: str) -> str | None:
    text = text.replace("_", " ")
    return next((view for view, words in _OTHERS if words.search(text)), None)


def _seen_from_the_side(orientation: str | None) -> bool:
    """Whether rows or columns run from front to back (PS3.3 C.7.6.1.1.1), as they do on no frontal film."""
    return any(axis.strip().upper()[:1] in ("A", "P") for axis in (orientation or "").split("\\"))

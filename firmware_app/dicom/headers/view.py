"""The view of an X-ray: from View Position, View Code, posture and orientation, else from the descriptions.

A view that is named but not understood is one that no model reads; only a film without any may be taken for frontal.
View Code and its modifiers are codes (PS3.3 C.8.11.5, PS3.16 CID 4010 and 4011).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final

from firmware_app.core.records import Code, Header
from firmware_app.dicom.headers import coded, orientation
from firmware_app.dicom.headers.charset import possible_readings

LATERAL: Final = "LATERAL"
OBLIQUE: Final = "OBLIQUE"
OTHER: Final = "OTHER"
FRONTAL: Final = "FRONTAL"


class Ambiguity(Enum):
    """A description that leaves the view open."""

    MIXED = "a frontal view and another one"
    CONTRADICTED = "one view in one field of the film, another in the next"


# Words of posture: a frontal film in that posture is still frontal.
_POSTURES: Final = frozenset(
    {"ERECT", "UPRIGHT", "STANDING", "SITTING", "SUPINE", "PORTABLE", "BEDSIDE", "MOBILE", "CHEST", "VIEW"}
)
_FRONTAL_CODES: Final = {"AP": "AP", "PA": "PA", "FRONTAL": FRONTAL, "后前位": "PA", "前后位": "AP", "正位": FRONTAL}
_OTHERS: Final = (
    ("DECUBITUS", re.compile(r"(?<![A-Z])(?:DECUB\w*|LLD|RLD)(?![A-Z])|卧位")),
    (
        LATERAL,
        re.compile(
            r"(?<![A-Z])(?:[LR]?LAT|LATER(?:AL|O)\w*|LL|RL|SEITLICH\w*|PROFILE?|CROSS-?TABLE|SAGITTAL)(?![A-Z])"
            r"|侧[位卧片面]|正.{0,3}侧"
        ),
    ),
    (OBLIQUE, re.compile(r"(?<![A-Z])(?:OBL|OBLIQ\w*|[LR][AP]O|LLO|RLO|SCHR[AÄ]G\w*)(?![A-Z])|斜")),
    ("LORDOTIC", re.compile(r"(?<![A-Z])(?:LORDO\w*|APICAL)(?![A-Z])|前弓|前凸")),
    (
        "AXIAL",
        re.compile(r"(?<![A-Z])(?:AXIAL|TANGENTIAL|CAUDAD|CEPHALAD|CRANIO-?CAUDAL|CAUDO-?CRANIAL)(?![A-Z])|轴位"),
    ),
)
_FRONTAL: Final = re.compile(
    r"(?<![A-Z])(?:A\.?P\.?|P\.?A\.?|FRONTAL\w*|\w*ANTERO-?POST\w*|\w*POSTERO-?ANT\w*)(?![A-Z])|正.{0,3}位|正[侧斜]|后前|前后"
)
_FACES: Final = (
    ("AP", re.compile(r"(?<![A-Z])(?:A\.?P\.?(?![A-Z])|\w*ANTERO-?POST)|前后")),
    ("PA", re.compile(r"(?<![A-Z])(?:P\.?A\.?(?![A-Z])|\w*POSTERO-?ANT)|后前")),
    (FRONTAL, _FRONTAL),
)
_OBLIQUE_DEGREES: Final = 20  # of a C-arm about the patient, from which a frontal film is an oblique one
_SEVERAL: Final = re.compile(r"(?<![A-Z0-9])(?:[2-9]|TWO|THREE)[ -]?(?:VIEWS?|V)(?![A-Z])")
# Lying on the back is a posture, not a view.
_NO_VIEWS: Final = ("仰卧位", "仰卧")


def stated(header: Header) -> str | Ambiguity | None:
    """The view as a short upper-case word, an `Ambiguity`, or None when nothing names it.

    The film's own fields and codes come first; the descriptions of its series, else of its study, may only contradict
    them.  A posture or a beam that makes another view of a frontal one decides.
    """
    own = {view for view in (_code(header.view_position), *_coded(header)) if view is not None}
    frontal = own & set(_FRONTAL_CODES.values())
    if len(frontal - {FRONTAL}) > 1 or (frontal and own - frontal):
        return Ambiguity.CONTRADICTED
    if own - frontal:
        return min(own - frontal)
    posed = _posed(header)
    if posed is not None:
        return posed
    if orientation.is_from_the_side(header.patient_orientation):
        return LATERAL
    words = _named_in((header.series_description, *header.image_words))
    if frontal:
        return words if isinstance(words, str) and words != FRONTAL else next(iter(frontal - {FRONTAL}), FRONTAL)
    if header.coded.views:
        return OTHER
    return words if words is not None else _named_in((header.study_description, *header.study_words))


def _coded(header: Header) -> list[str]:
    """The views that View Code and its modifiers name: what the codes mean, and what the header calls them."""
    for modifier in header.coded.view_modifiers:
        for meaning in (*coded.meanings(modifier), modifier.meaning):
            if (turned := _other_than_frontal(meaning.upper())) is not None:
                return [turned]
    views = [view for code in header.coded.views for view in (_meant(code), _understood(code.meaning))]
    return [view for view in views if view is not None]


def _meant(code: Code) -> str | None:
    """The view that *code* means by PS3.16, in its own letters where it is none of this module; None for a code that
    PS3.16 does not have."""
    meanings = coded.meanings(code)
    return next(filter(None, map(_understood, meanings)), None) or _code(" ".join(meanings[:1]))


def _understood(meaning: str) -> str | None:
    """The view in the *meaning* of a code, as a word of this module; None where it names none."""
    for text in (reading.upper() for reading in possible_readings(meaning)):
        view = _other_than_frontal(text) or next((word for word, said in _FACES if said.search(text)), None)
        if view is not None:
            return view
    return None


def _posed(header: Header) -> str | None:
    """The view that a frontal film becomes by the patient's posture or by the beam's angle."""
    if re.fullmatch(r"[A-Z]{2}D[LR]", (header.patient_position or "").strip().upper()):
        return "DECUBITUS"
    for code in header.coded.postures:
        for said in (*coded.meanings(code), code.meaning):
            if (view := _other_than_frontal(said.upper())) is not None:
                return view
    if (header.positioner_type or "").strip().upper() != "CARM":  # of a tube on a column the angle is the room's
        return None
    try:
        angle = abs(float(header.primary_angle or 0)) % 180
    except ValueError:
        return None
    return OBLIQUE if _OBLIQUE_DEGREES <= angle <= 180 - _OBLIQUE_DEGREES else None


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


def _named_in(descriptions: Iterable[str | None]) -> str | Ambiguity | None:
    """The view in the first of *descriptions* that names one; mixed where a later one names one of the other kind."""
    named: str | Ambiguity | None = None
    for said in map(_named, descriptions):
        if named is None:
            named = said
        elif isinstance(said, str) and isinstance(named, str) and (said == FRONTAL) != (named == FRONTAL):
            return Ambiguity.MIXED
    return named


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

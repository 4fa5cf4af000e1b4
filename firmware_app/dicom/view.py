"""The view of an X-ray, the patient's orientation in it, and what a person adds to a header that says too little.

The view comes from View Position, View Code, posture and orientation, else from the descriptions.  A view that is named
but not understood is one that no model reads; only an image without any may be taken for frontal.  View Code and its
modifiers are codes (PS3.3 C.8.11.5, PS3.16 CID 4010 and 4011).

Patient Orientation (PS3.3 C.7.6.1.1.1) says which way rows and columns run on the patient.  A frontal image is shown
with the patient's right on the left: its rows run to the left (L), its columns to the feet (F).

What a person says is put where the header says nothing, or contradicts itself.  What the header says otherwise always
stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import Final

from firmware_app.core.records import Code, EnteredFacts, Header
from firmware_app.dicom import body_part, coded_entries
from firmware_app.dicom.charset import possible_readings

LATERAL: Final = "LATERAL"
OBLIQUE: Final = "OBLIQUE"
OTHER: Final = "OTHER"
FRONTAL: Final = "FRONTAL"


class AmbiguousView(Enum):
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


def find_view(header: Header) -> str | AmbiguousView | None:
    """The view as a short upper-case word, an `AmbiguousView`, or None when nothing names it.

    The film's own fields and codes come first; the descriptions of its series, else of its study, may only contradict
    them.  A posture or a beam that makes another view of a frontal one decides.
    """
    own = {view for view in (_view_position(header.view_position), *_read_view_codes(header)) if view is not None}
    frontal = own & set(_FRONTAL_CODES.values())
    if len(frontal - {FRONTAL}) > 1 or (frontal and own - frontal):
        return AmbiguousView.CONTRADICTED
    if own - frontal:
        return min(own - frontal)
    posed = _view_by_posture(header)
    if posed is not None:
        return posed
    if is_lateral(header.patient_orientation):
        return LATERAL
    words = _view_in_descriptions((header.series_description, *header.image_words))
    if frontal:
        return words if isinstance(words, str) and words != FRONTAL else next(iter(frontal - {FRONTAL}), FRONTAL)
    if header.coded.views:
        return OTHER
    return words if words is not None else _view_in_descriptions((header.study_description, *header.study_words))


def _read_view_codes(header: Header) -> list[str]:
    """The views that View Code and its modifiers name: what the codes mean, and what the header calls them."""
    for modifier in header.coded.view_modifiers:
        for meaning in (*coded_entries.code_meanings(modifier), modifier.meaning):
            if (turned := _find_other_view(meaning.upper())) is not None:
                return [turned]
    views = [view for code in header.coded.views for view in (_view_of_code(code), _view_in_meaning(code.meaning))]
    return [view for view in views if view is not None]


def _view_of_code(code: Code) -> str | None:
    """The view that *code* means by PS3.16, in its own letters where it is none of this module; None for a code that
    PS3.16 does not have."""
    meanings = coded_entries.code_meanings(code)
    return next(filter(None, map(_view_in_meaning, meanings)), None) or _view_position(" ".join(meanings[:1]))


def _view_in_meaning(meaning: str) -> str | None:
    """The view in the *meaning* of a code, as a word of this module; None where it names none."""
    for text in (reading.upper() for reading in possible_readings(meaning)):
        view = _find_other_view(text) or next((word for word, said in _FACES if said.search(text)), None)
        if view is not None:
            return view
    return None


def _view_by_posture(header: Header) -> str | None:
    """The view that a frontal film becomes by the patient's posture or by the beam's angle."""
    if re.fullmatch(r"[A-Z]{2}D[LR]", (header.patient_position or "").strip().upper()):
        return "DECUBITUS"
    for code in header.coded.postures:
        for said in (*coded_entries.code_meanings(code), code.meaning):
            if (view := _find_other_view(said.upper())) is not None:
                return view
    if (header.positioner_type or "").strip().upper() != "CARM":  # of a tube on a column the angle is the room's
        return None
    try:
        angle = abs(float(header.primary_angle or 0)) % 180
    except ValueError:
        return None
    return OBLIQUE if _OBLIQUE_DEGREES <= angle <= 180 - _OBLIQUE_DEGREES else None


def _view_position(view_position: str | None) -> str | None:
    """ViewPosition, a code (PS3.3 C.8.11.5), as a word of this module or unchanged; None when it is empty."""
    text = (view_position or "").strip(" \0")
    if not text:
        return None
    for reading in (one.upper() for one in possible_readings(text)):  # upper case last: it would change such bytes
        if reading in _FRONTAL_CODES:
            return _FRONTAL_CODES[reading]
        other = _find_other_view(reading)
        if other is not None:
            return other
    words = set(re.split(r"[ _,/\\]+", text.upper().replace("-", "").replace(".", ""))) - _POSTURES - {""}
    if len(words) == 1 and (word := words.pop()) in _FRONTAL_CODES:
        return _FRONTAL_CODES[word]
    return re.sub(r"[^A-Z]", "", text.upper())[:16] or OTHER


def _view_in_descriptions(descriptions: Iterable[str | None]) -> str | AmbiguousView | None:
    """The view in the first of *descriptions* that names one; mixed where a later one names one of the other kind."""
    named: str | AmbiguousView | None = None
    for said in map(_view_in_text, descriptions):
        if named is None:
            named = said
        elif isinstance(said, str) and isinstance(named, str) and (said == FRONTAL) != (named == FRONTAL):
            return AmbiguousView.MIXED
    return named


def _view_in_text(description: str | None) -> str | AmbiguousView | None:
    """The view named in a description."""
    for reading in possible_readings(description or ""):
        text = reading.upper().replace("_", " ")
        for word in _NO_VIEWS:
            text = text.replace(word, " ")
        other, frontal = _find_other_view(text), _FRONTAL.search(text) is not None
        if _SEVERAL.search(text) or (frontal and other is not None):
            return AmbiguousView.MIXED
        if frontal or other is not None:
            return other or FRONTAL
    return None


def _find_other_view(text: str) -> str | None:
    text = text.replace("_", " ")
    return next((view for view, words in _OTHERS if words.search(text)), None)


_AS_SEEN_FROM_THE_FRONT: Final = ("L", "F", "R", "H")  # each a quarter turn after the one before


def image_axes(orientation: str | None) -> tuple[str, ...]:
    """The main direction of rows and of columns, as a letter each; that of an axis that says none is empty."""
    return tuple(axis.strip().upper()[:1] for axis in (orientation or "").split("\\"))


def is_lateral(orientation: str | None) -> bool:
    """Whether rows or columns run from front to back, as they do on no frontal film."""
    return bool({"A", "P"} & set(image_axes(orientation)))


def is_mirrored(orientation: str | None) -> bool:
    """Whether the film is a frontal one with left and right exchanged, however it is turned.

    From rows to columns it is a quarter turn clockwise, then, in the other sense.
    """
    known = image_axes(orientation)
    if len(known) != 2 or not set(known) <= set(_AS_SEEN_FROM_THE_FRONT):
        return False
    rows, columns = map(_AS_SEEN_FROM_THE_FRONT.index, known)
    return (columns - rows) % 4 == 3


_PICTURE: Final = Header("", "", None, None, "", has_pixels=True)


def complete_header(header: Header | None, said: EnteredFacts) -> Header:
    """*header* with what *said* adds to it; for a picture without a header (None), all that is known of it."""
    known = header if header is not None else replace(_PICTURE, patient_age=said.age or None)
    if said.modality and lacks_modality(header):
        known = replace(known, modality=said.modality)
    if said.body_part and lacks_part(header):
        coded = replace(known.coded, regions=(), structures=())
        known = replace(known, body_part=said.body_part, coded=coded)
    if said.view and lacks_view(header):
        known = replace(known, view_position=said.view, coded=replace(known.coded, views=(), view_modifiers=()))
    return known


def lacks_modality(header: Header | None) -> bool:
    """Whether the image does not say what kind of machine made it."""
    return header is None or not (header.modality or "").strip()


def lacks_part(header: Header | None) -> bool:
    """Whether the image names no part of the body, neither in field or code nor in the examination's words; nor does
    one whose field and code contradict each other."""
    return header is None or body_part.find_body_part(header) is None


def lacks_view(header: Header | None) -> bool:
    """Whether the image does not say from which side it was taken, or names several sides."""
    return header is None or not isinstance(find_view(header), str)

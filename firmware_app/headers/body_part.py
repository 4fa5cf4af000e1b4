"""Which part of the body an image shows, from its own field or from the examination's descriptions.

BodyPartExamined is a code of PS3.16 Annex L, but consoles write what they like; descriptions are free text, in China
often GBK under a header that does not say so, so mojibake is undone before the words are looked for.
"""

from __future__ import annotations

import re
from typing import Final

from firmware_app.headers.charset import possible_readings
from firmware_app.records import Header

CHEST: Final = "CHEST"
LIVER: Final = "LIVER"

# Longer Chinese words come before the characters in them: 胸椎 is the spine, 胸骨 a bone.
_CHINESE: Final = (
    ("SPINE", ("颈椎", "胸椎", "腰椎", "胸腰椎", "脊柱", "椎")),
    ("BONE", ("胸骨", "锁骨", "肩胛", "骨盆", "股骨", "肱骨", "髌骨", "跟骨", "鼻骨", "肋骨")),
    ("BREAST", ("乳腺", "乳房")),
    (LIVER, ("肝",)),
    ("ABDOMEN", ("腹", "泌尿", "胃", "肠")),
    ("EXTREMITY", ("手", "腕", "肘", "肩", "膝", "踝", "足", "髋", "小腿", "前臂", "关节")),
    ("HEAD", ("头", "颅", "鼻窦", "副鼻窦")),
    (CHEST, ("胸", "肺", "心肺")),
)
# Words that hold a part's character and name none: at the bedside, operation, born at term.
_NO_PARTS: Final = ("床头", "手术", "足月")
_LATIN: Final = (
    ("SPINE", r"[CTL][- ]?SPINE|SPINES?|SPINAL|CERVICAL|LUMBAR|SACR\w+|[CTL]SPINE|VERTEBR\w+"),
    ("BREAST", r"BREASTS?|MAMM\w+"),
    ("BONE", r"STERNUM|CLAVICLE|RIBS?|SCAPULA|PELVIS|FEMUR|HUMERUS|PATELLA|SKELET\w+"),
    (LIVER, r"LIVER|HEPAR|HEPATIC"),
    ("ABDOMEN", r"ABD|ABDO|ABDOM\w*|KUB|STOMACH|KIDNEYS?|BOWEL|BLADDER"),
    (
        "EXTREMITY",
        r"HANDS?|WRIST|ELBOW|SHOULDER|KNEES?|ANKLE|FOOT|FEET|HIPS?|LEGS?|ARM|FINGER|TOE|FOREARM|EXTREMIT\w+|TIB\w*|FIB\w*",
    ),
    ("HEAD", r"HEAD|SKULL|SINUS\w*|BRAIN|FACE|FACIAL|ORBITS?|NECK|JAW|DENTAL|TEETH"),
    (CHEST, r"CHEST|THORAX|THORACIC|THORACO\w*|TORAX|LUNGS?|CXR|PULMON\w+"),
)
_NOTHING: Final = frozenset({"", "UNKNOWN", "OTHER", "NONE", "UNDEFINED", "UNSPECIFIED", "ANY", "NA", "N/A", "DEFAULT"})


def parts_in(text: str | None) -> frozenset[str]:
    """The parts of the body that *text* names, as the coarse words of this module; empty when it names none."""
    for reading in possible_readings(text or ""):
        parts = _latin_parts(reading) | _chinese_parts(reading)
        if parts:
            return frozenset(parts)
    return frozenset()


def _latin_parts(text: str) -> set[str]:
    parts: set[str] = set()
    rest = text.upper().replace("_", " ")
    for part, words in _LATIN:
        fewer = re.sub(rf"(?:(?<![A-Z])THORACIC[- ]*)?(?<![A-Z])(?:{words})(?![A-Z])", " ", rest)
        if fewer != rest:
            parts.add(part)
            rest = fewer
    return parts


def _chinese_parts(text: str) -> set[str]:
    parts: set[str] = set()
    for word in _NO_PARTS:
        text = text.replace(word, " ")
    for part, words in _CHINESE:
        for word in words:
            if word in text:
                parts.add(part)
                text = text.replace(word, " ")
    return parts


def examined(field: str | None) -> str | None:
    """The part of the body in *field*: a word of this module, else its own (at most 16 letters); None if empty."""
    text = (field or "").strip()
    if text.upper() in _NOTHING:
        return None
    parts = parts_in(text)
    if parts:
        return "+".join(sorted(parts))
    code = re.sub(r"[^A-Z]", "", text.upper())[:16]
    return code or None


def of(header: Header) -> str | None:
    """The part in the header's own field, else in the words of the examination; several are joined by ``+``."""
    part = examined(header.body_part)
    if part is not None:
        return part
    named = parts_in(header.series_description) or parts_in(header.study_description)
    return "+".join(sorted(named)) or None

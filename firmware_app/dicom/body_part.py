"""Which part of the body an image shows: from its own field and codes, else from the examination's descriptions.

BodyPartExamined is a code of PS3.16 Annex L, but consoles write what they like; descriptions are free text, in China
often GBK under a header that does not say so, so mojibake is undone before the words are looked for.  Anatomic Region
and Primary Anatomic Structure are codes (PS3.3 10.5).  Where field and codes name different parts, no part is known.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Final

from firmware_app.core.records import Code, Header
from firmware_app.dicom import coded_entries
from firmware_app.dicom.charset import possible_readings

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
    ("BONE", r"STERNUM|CLAVICLE|RIBS?|SCAPULA|PELVIS|FEMUR|HUMERUS|PATELLA|SKELET\w+|PELVIC"),
    (LIVER, r"LIVER|HEPAR|HEPATIC"),
    ("ABDOMEN", r"ABD|ABDO|ABDOM\w*|KUB|STOMACH|KIDNEYS?|BOWEL|BLADDER"),
    (
        "EXTREMITY",
        r"HANDS?|WRIST|ELBOW|SHOULDER|KNEES?|ANKLE|FOOT|FEET|HIPS?|LEGS?|ARM|FINGER|TOE|FOREARM|EXTREMIT\w+|LIMBS?|TIB\w*|FIB\w*",
    ),
    ("HEAD", r"HEAD|SKULL|SINUS\w*|BRAIN|FACE|FACIAL|ORBITS?|NECK|JAW|DENTAL|TEETH"),
    (CHEST, r"CHEST|THORAX|THORACIC|THORACO\w*|TORAX|LUNGS?|CXR|PULMON\w+"),
)
_WITHIN: Final = {
    LIVER: "ABDOMEN",
    "GALLBLADDER": "ABDOMEN",
    "PANCREAS": "ABDOMEN",
    "SPLEEN": "ABDOMEN",
    "BREAST": CHEST,
    "HEART": CHEST,
    "THYROID": "HEAD",
}
"""Organs, and the region that an image of them may name beside them; the organ is what the image shows."""
_NOTHING: Final = frozenset({"", "UNKNOWN", "OTHER", "NONE", "UNDEFINED", "UNSPECIFIED", "ANY", "NA", "N/A", "DEFAULT"})


def find_parts(text: str | None) -> frozenset[str]:
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


def parse_body_part(field: str | None) -> str | None:
    """The part of the body in *field*: a word of this module, else its own (at most 16 letters); None if empty."""
    text = (field or "").strip()
    if text.upper() in _NOTHING:
        return None
    parts = find_parts(text)
    if parts:
        return "+".join(sorted(parts))
    code = re.sub(r"[^A-Z]", "", text.upper())[:16]
    return code or None


def find_body_part(header: Header) -> str | None:
    """The part that the image states, else the part in the words of the examination; several are joined by ``+``."""
    if contradicting_parts(header):
        return None
    part = read_body_part(header)
    if part is not None or _is_coded(header):
        return part
    image = (header.series_description, *header.image_words)
    study = (header.study_description, *header.study_words)
    return _join_parts(_parts_in_descriptions(image) or _parts_in_descriptions(study))


def read_body_part(header: Header) -> str | None:
    """The part in the image's own field and codes, not in its words."""
    said = _statements(header)
    parts: set[str] = set().union(*said)
    regions = {region for part, region in _WITHIN.items() if part in parts} if len(said) > 1 else set()
    return _join_parts(parts - regions)


def contradicting_parts(header: Header) -> tuple[str, ...]:
    """The parts that the image's field and codes name, where two of them have none in common; else empty."""
    said = _statements(header)
    if all(_agree(one, other) for one, other in itertools.combinations(said, 2)):
        return ()
    return tuple(sorted(set().union(*said)))


def _statements(header: Header) -> list[set[str]]:
    """The parts in each place of the image that names any: the field, the codes of region and structure, and what these
    codes are called in the header, which may be something else than they mean."""
    field = parse_body_part(header.body_part)
    said = [set(field.split("+")) if field is not None else set()]
    for codes in (header.coded.regions, header.coded.structures):
        said.append(set().union(*(_parts_of_code(code) for code in codes)))
        said.append(set().union(*(find_parts(code.meaning) for code in codes)))
    return [parts for parts in said if parts]


def _parts_of_code(code: Code) -> set[str]:
    """The parts that *code* means by PS3.16; of a code that is not in it, what the header calls it."""
    meanings = coded_entries.code_meanings(code) or (code.meaning,)
    named = next((parts for meaning in meanings if (parts := find_parts(meaning))), None)
    return set(named) if named is not None else set(filter(None, [parse_body_part(meanings[0])]))


def _agree(one: set[str], other: set[str]) -> bool:
    return any(a == b or _WITHIN.get(a) == b or _WITHIN.get(b) == a for a in one for b in other)


def _is_coded(header: Header) -> bool:
    """Whether the image names a part by a code, understood or not: then words do not count."""
    return bool(header.coded.regions or header.coded.structures)


def _parts_in_descriptions(descriptions: Iterable[str | None]) -> set[str]:
    """The parts in the first of *descriptions* that names any, with those of a later one that has none in common."""
    named: set[str] = set()
    for parts in map(find_parts, descriptions):
        if named.isdisjoint(parts):
            named |= parts
    return named


def _join_parts(parts: Iterable[str]) -> str | None:
    return "+".join(sorted(parts)) or None

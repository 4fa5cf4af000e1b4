"""What a person may enter for an image whose header does not state it, from the rules of the installed packs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from firmware_app.core.records import EnteredFacts, Header, Reading
from firmware_app.dicom import body_part, patient_data, view
from firmware_app.dicom.errors import AgeUnknown
from firmware_app.dicom.view import lacks_modality, lacks_part, lacks_view
from firmware_app.dicom.worklist import EXAMINATION_KINDS, EXAMINATIONS, MODALITY_NAMES, find_examination, find_kind
from firmware_app.reading import hints
from firmware_app.reading.errors import (
    AGE_UNCLEAR,
    BODY_PART_CONTRADICTED,
    BODY_PART_UNKNOWN,
    MODALITY_UNKNOWN,
    VIEW_CONTRADICTED,
    VIEW_UNCLEAR,
)
from firmware_app.reading.routing import RoutingRule

UNDECIDED: Final = frozenset(
    refusal.code
    for refusal in (MODALITY_UNKNOWN, BODY_PART_UNKNOWN, BODY_PART_CONTRADICTED, VIEW_UNCLEAR, VIEW_CONTRADICTED)
)
"""Reasons for which only a person can say what the image shows."""
AGELESS: Final = frozenset({AgeUnknown.code, AGE_UNCLEAR.code})
ASSUMED: Final = frozenset({hints.VIEW_ASSUMED, hints.AGE_ASSUMED_ADULT, hints.AGE_ASSUMED_CHILD, hints.ENTERED})
"""Hints on which a person may know better."""
OTHER_KIND: Final = "OT"  # PS3.3 C.7.3.1.1.1
OTHER_PART: Final = "OTHERPART"


@dataclass(frozen=True, slots=True)
class EntryChoice:
    """One kind of image: `examination` is a key of `EXAMINATIONS`, or empty where it lists none like it; `pack` then
    names one that reads it."""

    examination: str
    said: EnteredFacts
    pack: str = ""

    @property
    def key(self) -> str:
        """How a form names it."""
        return "-".join((self.said.modality, self.said.body_part, self.said.view))


def is_undecided(reading: Reading) -> bool:
    """Whether the image has no result only because it does not say what it shows, or whom."""
    return reading.reason is not None and reading.reason.code in UNDECIDED | AGELESS


def is_correctable(reading: Reading) -> bool:
    """Whether something of the image was assumed, or said by hand, that a person may know better."""
    return bool(ASSUMED & {hint.code for hint in reading.quality.hints})


def list_choices(header: Header | None, packs: Iterable[tuple[str, RoutingRule]]) -> list[EntryChoice]:
    """What an image with *header* may be so that one of *packs*, each a name with its rule, is asked.

    A film that a pack reads from one side may also have been taken from another: that is offered too.  Only what
    the header leaves open differs from it.
    """
    choices: dict[tuple[str, ...], EntryChoice] = {}
    for name, rule in packs:
        modality = rule.modalities[0] if lacks_modality(header) else (header.modality or "").strip() if header else ""
        if modality.upper() not in rule.modalities:
            continue
        parts = {part: coarse for part in rule.body_parts if (coarse := body_part.parse_body_part(part)) is not None}
        stated = None if header is None or lacks_part(header) else body_part.find_body_part(header)
        if stated is not None and stated not in parts.values():
            continue
        part = next(iter(parts), "") if stated is None else ""
        coarse = parts[part] if part else stated or ""
        views = (view.FRONTAL, view.LATERAL) if rule.views and lacks_view(header) else ("",)
        kind = find_kind(modality.upper())
        for seen in views:
            choice = EntryChoice(find_examination(kind, coarse), EnteredFacts(modality, part, seen), name)
            choices.setdefault((kind, coarse, seen), choice)
    return list(choices.values())


def list_other_choices(header: Header | None, offered: Iterable[EntryChoice]) -> list[EntryChoice]:
    """The other examinations that such an image may be, and at the end none of them; no pack reads these."""
    if header is not None and not lacks_part(header):
        return []
    known = {entry_choice.examination for entry_choice in offered}
    modality = (header.modality or "").strip().upper() if header is not None else ""
    kinds = {find_kind(modality)} if modality in MODALITY_NAMES else set(EXAMINATION_KINDS)
    listed = [
        EntryChoice(code, EnteredFacts(EXAMINATION_KINDS[one.kind][0], one.body_part))
        for code, one in EXAMINATIONS.items()
        if one.body_part and one.kind in kinds and code not in known
    ]
    return [*listed, EntryChoice("", EnteredFacts(OTHER_KIND, OTHER_PART))]


def list_populations(header: Header | None, packs: Iterable[tuple[str, RoutingRule]]) -> dict[str, RoutingRule]:
    """``children`` or ``adult`` -> a rule for them, where the image has no age and a pack reads only such patients."""
    if header is not None and isinstance(patient_data.parse_age(header), int):
        return {}
    modality = (header.modality or "").strip().upper() if header is not None else ""
    fitting = [rule for _, rule in packs if not modality or modality in rule.modalities]
    return {rule.population: rule for rule in reversed(fitting) if rule.population != "any"}

"""What a person may say of an image that does not say it itself, from the rules of the packs that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from firmware_app.core.errors import (
    AgeUnclear,
    AgeUnknown,
    BodyPartContradicted,
    BodyPartUnknown,
    ModalityUnknown,
    ViewContradicted,
    ViewUnclear,
)
from firmware_app.core.records import Entered, Header, Reading
from firmware_app.dicom.examinations import EXAMINATIONS, KINDS, MODALITIES, kind_of, like
from firmware_app.dicom.headers import age, body_part, view
from firmware_app.dicom.headers.entered import lacks_modality, lacks_part, lacks_view
from firmware_app.reading import hints
from firmware_app.reading.routing import Rule

UNDECIDED: Final = frozenset(
    one.code for one in (ModalityUnknown, BodyPartUnknown, BodyPartContradicted, ViewUnclear, ViewContradicted)
)
"""Reasons for which only a person can say what the image shows."""
AGELESS: Final = frozenset({AgeUnknown.code, AgeUnclear.code})
ASSUMED: Final = frozenset({hints.VIEW_ASSUMED, hints.AGE_ASSUMED_ADULT, hints.AGE_ASSUMED_CHILD, hints.ENTERED})
"""Hints on which a person may know better."""
OTHER_KIND: Final = "OT"  # PS3.3 C.7.3.1.1.1
OTHER_PART: Final = "OTHERPART"


@dataclass(frozen=True, slots=True)
class Choice:
    """One kind of image: `examination` is a key of `EXAMINATIONS`, or empty where it lists none like it; `pack` then
    names one that reads it."""

    examination: str
    said: Entered
    pack: str = ""

    @property
    def key(self) -> str:
        """How a form names it."""
        return "-".join((self.said.modality, self.said.body_part, self.said.view))


def is_asked(reading: Reading) -> bool:
    """Whether the image has no result only because it does not say what it shows, or whom."""
    return reading.reason is not None and reading.reason.code in UNDECIDED | AGELESS


def is_open(reading: Reading) -> bool:
    """Whether something of the image was assumed, or said by hand, that a person may know better."""
    return bool(ASSUMED & {hint.code for hint in reading.quality.hints})


def read_by(header: Header | None, packs: Iterable[tuple[str, Rule]]) -> list[Choice]:
    """What an image with *header* may be so that one of *packs*, each a name with its rule, is asked.

    A film that a pack reads from one side may also have been taken from another: that is offered too.  Only what
    the header leaves open differs from it.
    """
    choices: dict[tuple[str, ...], Choice] = {}
    for name, rule in packs:
        modality = rule.modalities[0] if lacks_modality(header) else (header.modality or "").strip() if header else ""
        if modality.upper() not in rule.modalities:
            continue
        parts = {part: coarse for part in rule.body_parts if (coarse := body_part.examined(part)) is not None}
        stated = None if header is None or lacks_part(header) else body_part.of(header)
        if stated is not None and stated not in parts.values():
            continue
        part = next(iter(parts), "") if stated is None else ""
        coarse = parts[part] if part else stated or ""
        views = (view.FRONTAL, view.LATERAL) if rule.views and lacks_view(header) else ("",)
        kind = kind_of(modality.upper())
        for seen in views:
            choice = Choice(like(kind, coarse), Entered(modality, part, seen), name)
            choices.setdefault((kind, coarse, seen), choice)
    return list(choices.values())


def others(header: Header | None, offered: Iterable[Choice]) -> list[Choice]:
    """The other examinations that such an image may be, and at the end none of them; no pack reads these."""
    if header is not None and not lacks_part(header):
        return []
    known = {one.examination for one in offered}
    modality = (header.modality or "").strip().upper() if header is not None else ""
    kinds = {kind_of(modality)} if modality in MODALITIES else set(KINDS)
    listed = [
        Choice(code, Entered(KINDS[one.kind][0], one.body_part))
        for code, one in EXAMINATIONS.items()
        if one.body_part and one.kind in kinds and code not in known
    ]
    return [*listed, Choice("", Entered(OTHER_KIND, OTHER_PART))]


def populations(header: Header | None, packs: Iterable[tuple[str, Rule]]) -> dict[str, Rule]:
    """``children`` or ``adult`` -> a rule for them, where the image has no age and a pack reads only such patients."""
    if header is not None and isinstance(age.stated(header), int):
        return {}
    modality = (header.modality or "").strip().upper() if header is not None else ""
    fitting = [rule for _, rule in packs if not modality or modality in rule.modalities]
    return {rule.population: rule for rule in reversed(fitting) if rule.population != "any"}

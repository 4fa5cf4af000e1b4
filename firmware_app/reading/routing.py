"""Which pack may read an image: a pure function of its header, the packs' rules and the clinic's setting.

A pack whose rule contradicts the header is always refused.  A missing value is assumed only where a person or a setting
says so, and then a hint states the assumption.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from firmware_app.core.errors import (
    AgeOutside,
    AgeUnclear,
    AgeUnknown,
    BodyPartContradicted,
    BodyPartNotCovered,
    BodyPartUnknown,
    ForProcessing,
    ModalityNotCovered,
    ModalityUnknown,
    NoPackInstalled,
    NoPixels,
    PackUnknown,
    SideContradicted,
    ViewContradicted,
    ViewNotCovered,
    ViewUnclear,
)
from firmware_app.core.records import Entered, Header, Reason
from firmware_app.dicom.headers import age, body_part, orientation, view
from firmware_app.dicom.headers.entered import completed
from firmware_app.reading import hints

Population = Literal["adult", "children", "ask"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_FRONTAL: Final = frozenset({"AP", "PA"})
_FOR_PROCESSING: Final = frozenset(_STORAGE + suffix for suffix in ("1.1.1", "1.2.1", "1.3.1"))  # PS3.4 B.5


class Ages(Protocol):
    """A range of completed years."""

    @property
    def min(self) -> int | None: ...
    @property
    def max(self) -> int | None: ...
    def holds(self, years: int) -> bool:
        """Whether *years* is in the range."""


class Rule(Protocol):
    """Whom a pack may read (`packs.scope.Route`)."""

    @property
    def modalities(self) -> tuple[str, ...]: ...
    @property
    def body_parts(self) -> tuple[str, ...]: ...
    @property
    def views(self) -> tuple[str, ...]: ...
    @property
    def age_years(self) -> Ages: ...
    @property
    def population(self) -> Literal["children", "adult", "any"]: ...


@dataclass(frozen=True, slots=True)
class PackCandidate:
    """A pack's name with its rule."""

    pack: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pack that may read the image, and what had to be assumed for it."""

    pack: str
    hints: tuple[Reason, ...]


def route(
    header: Header | None,
    packs: Sequence[PackCandidate],
    usual_population: Population,
    forced: str | None = None,
    entered: Entered | None = None,
) -> Chosen:
    """The pack for an image, the first of *packs* where several fit; *header* is None for a picture without one.

    *entered* is what a person has said of it; it counts where the header says nothing.

    Raises a `CannotJudge` with the first reason against every pack, `NoPixels` for an object that is no image, and
    `PackUnknown` when *forced* names no pack.
    """
    if header is not None and not header.has_pixels:
        raise NoPixels
    if not packs:
        raise NoPackInstalled
    assumed: list[Reason] = []
    if entered is not None:
        header = completed(header, entered)
    if forced is not None:
        packs = [candidate for candidate in packs if candidate.pack == forced]
        if not packs:
            raise PackUnknown(pack=forced)
        assumed.append(hints.hint(hints.PACK_FORCED, pack=forced))
    if header is None:
        if forced is None:
            raise ModalityUnknown
        return Chosen(packs[0].pack, tuple(assumed))
    packs = _of_modality(header, packs, forced is not None)
    _refuse_raw(header)
    packs = _of_body_part(header, packs, forced is not None, assumed)
    packs = _of_view(header, packs, forced is not None, assumed)
    if {"L", "R"} <= set(header.coded.sides):
        raise SideContradicted
    packs = _of_age(header, packs, usual_population, forced is not None, assumed, entered)
    return Chosen(packs[0].pack, tuple(assumed))


def may_share(one: Rule, other: Rule, usual_population: Population) -> bool:
    """Whether one image can fit both rules, also an image that does not state its view or age."""
    parts = _coarse(one.body_parts) & _coarse(other.body_parts)
    if not (set(one.modalities) & set(other.modalities) and parts - {None}):
        return False
    views_differ = one.views and other.views and set(one.views).isdisjoint(other.views)
    if views_differ and _reads_frontal(one) != _reads_frontal(other):
        return False
    youngest = max(rule.age_years.min or 0 for rule in (one, other))
    if all(rule.age_years.max is None or youngest <= rule.age_years.max for rule in (one, other)):
        return True
    return all(rule.population in (usual_population, "any") for rule in (one, other))  # an image without an age


def _of_modality(header: Header, packs: Sequence[PackCandidate], given: bool) -> Sequence[PackCandidate]:
    modality = (header.modality or "").strip().upper()
    if not modality:
        if given:
            return packs
        raise ModalityUnknown
    kept = [candidate for candidate in packs if modality in candidate.rule.modalities]
    if not kept:
        raise ModalityNotCovered(modality=modality[:16])
    return kept


def _refuse_raw(header: Header) -> None:
    """Refuse raw detector data: it is linear in exposure, often inverted, and no pack was trained on any."""
    intent = re.sub(r"[^A-Z]", "", (header.presentation_intent or "").upper())
    if intent == "FORPROCESSING" or header.sop_class_uid in _FOR_PROCESSING:
        raise ForProcessing


def _of_body_part(
    header: Header, packs: Sequence[PackCandidate], given: bool, assumed: list[Reason]
) -> Sequence[PackCandidate]:
    part, contradicting = body_part.of(header), body_part.contradiction(header)
    if contradicting:
        read = frozenset[str | None]().union(*(_coarse(candidate.rule.body_parts) for candidate in packs))
        covered = [one for one in contradicting if one in read]
        if not covered:
            raise BodyPartNotCovered(body_part="+".join(contradicting))
        raise BodyPartContradicted(
            body_part=covered[0], other_part=next(one for one in contradicting if one != covered[0])
        )
    if part is None:
        if given:
            return packs
        raise BodyPartUnknown
    if body_part.stated(header) is None:
        assumed.append(hints.hint(hints.BODY_PART_FROM_TEXT))
    kept = [candidate for candidate in packs if part in _coarse(candidate.rule.body_parts)]
    if not kept:
        raise BodyPartNotCovered(body_part=part)
    return kept


def _coarse(names: tuple[str, ...]) -> frozenset[str | None]:
    return frozenset(body_part.examined(name) for name in names)


def _of_view(
    header: Header, packs: Sequence[PackCandidate], given: bool, assumed: list[Reason]
) -> Sequence[PackCandidate]:
    if not any(candidate.rule.views for candidate in packs):
        return packs
    if orientation.is_mirrored(header.patient_orientation):
        assumed.append(hints.hint(hints.MIRRORED, orientation=(header.patient_orientation or "").strip().upper()[:16]))
    seen = view.stated(header)
    if seen is view.Ambiguity.CONTRADICTED:
        raise ViewContradicted
    if seen is view.Ambiguity.MIXED and not given:
        raise ViewUnclear
    if not isinstance(seen, str):
        if not given:
            assumed.append(hints.hint(hints.VIEW_ASSUMED))
        return [candidate for candidate in packs if _reads_frontal(candidate.rule)] or packs
    wanted = _FRONTAL if seen == view.FRONTAL else {seen}
    kept = [candidate for candidate in packs if not candidate.rule.views or wanted & set(candidate.rule.views)]
    if not kept:
        raise ViewNotCovered(view=seen)
    return kept


def _reads_frontal(rule: Rule) -> bool:
    return not rule.views or not _FRONTAL.isdisjoint(rule.views)


def _of_age(
    header: Header,
    packs: Sequence[PackCandidate],
    usual: Population,
    given: bool,
    assumed: list[Reason],
    entered: Entered | None,
) -> Sequence[PackCandidate]:
    years = age.stated(header)
    if entered is not None and entered.population and not isinstance(years, int):
        kept = [candidate for candidate in packs if candidate.rule.population in (entered.population, "any")]
        if not kept:
            raise AgeUnknown
        return kept
    if years is age.NotKnown.UNCLEAR:
        raise AgeUnclear
    if isinstance(years, int):
        kept = [candidate for candidate in packs if candidate.rule.age_years.holds(years)]
        other = age.otherwise(header)
        if other is not None and kept != [one for one in packs if one.rule.age_years.holds(other)]:
            raise AgeUnclear
        if not kept:
            raise AgeOutside(age=years)
        return kept
    if given:
        return packs
    kept = [candidate for candidate in packs if candidate.rule.population in (usual, "any")]
    if not kept:
        raise AgeUnknown
    if all(candidate.rule.population == "any" for candidate in kept):
        return kept
    assumed.append(hints.hint(hints.AGE_ASSUMED_ADULT if usual == "adult" else hints.AGE_ASSUMED_CHILD))
    return kept

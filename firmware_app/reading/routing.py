"""Which pack may read an image: a pure function of its header, the packs' rules and the clinic's setting.

A pack whose rule contradicts the header is always refused.  A missing value is assumed only where a person or a
setting says so, and then a hint states the assumption.

Where several packs fit, the clinic's order decides, then the shipped packs come first, then the name.  With an order by
name alone, a new pack called “a-…” would take the images of a pack that is in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final, Literal, Protocol

from firmware_app.core.language import N_, register
from firmware_app.core.records import EnteredFacts, Header, Reason
from firmware_app.dicom import body_part, patient_data, view
from firmware_app.dicom.errors import AgeUnknown
from firmware_app.dicom.view import complete_header
from firmware_app.imaging.errors import NoPixels
from firmware_app.packs.errors import PACK_UNKNOWN
from firmware_app.reading import hints
from firmware_app.reading.errors import (
    AGE_OUTSIDE,
    AGE_UNCLEAR,
    BODY_PART_CONTRADICTED,
    BODY_PART_NOT_COVERED,
    BODY_PART_UNKNOWN,
    FOR_PROCESSING,
    MODALITY_NOT_COVERED,
    MODALITY_UNKNOWN,
    NO_PACK_INSTALLED,
    SIDE_CONTRADICTED,
    VIEW_CONTRADICTED,
    VIEW_NOT_COVERED,
    VIEW_UNCLEAR,
)

if TYPE_CHECKING:
    from firmware_app.core.settings import Config
    from firmware_app.packs.pack_folder import Pack
    from firmware_app.packs.pack_store import PackStore

Population = Literal["adult", "children", "ask"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_FRONTAL: Final = frozenset({"AP", "PA"})
_FOR_PROCESSING: Final = frozenset(_STORAGE + suffix for suffix in ("1.1.1", "1.2.1", "1.3.1"))  # PS3.4 B.5


class AgeRange(Protocol):
    """A range of completed years."""

    @property
    def min(self) -> int | None: ...
    @property
    def max(self) -> int | None: ...
    def contains(self, years: int) -> bool:
        """Whether *years* is in the range."""


class RoutingRule(Protocol):
    """Whom a pack may read (`packs.requirements.Route`)."""

    @property
    def modalities(self) -> tuple[str, ...]: ...
    @property
    def body_parts(self) -> tuple[str, ...]: ...
    @property
    def views(self) -> tuple[str, ...]: ...
    @property
    def age_years(self) -> AgeRange: ...
    @property
    def population(self) -> Literal["children", "adult", "any"]: ...


@dataclass(frozen=True, slots=True)
class PackCandidate:
    """A pack's name with its rule."""

    pack: str
    rule: RoutingRule


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """The pack that may read the image, and what had to be assumed for it."""

    pack: str
    hints: tuple[Reason, ...]


def route(
    header: Header | None,
    packs: Sequence[PackCandidate],
    usual_population: Population,
    forced: str | None = None,
    entered: EnteredFacts | None = None,
) -> RoutingDecision:
    """The pack for an image, the first of *packs* where several fit; *header* is None for a picture without one.

    *entered* is what a person has said of it; it counts where the header says nothing.

    Raises a `CannotJudge` with the first reason against every pack, `NoPixels` for an object that is no image, and
    `PACK_UNKNOWN` when *forced* names no pack.
    """
    if header is not None and not header.has_pixels:
        raise NoPixels
    if not packs:
        raise NO_PACK_INSTALLED()
    assumed: list[Reason] = []
    if entered is not None:
        header = complete_header(header, entered)
    if forced is not None:
        packs = [candidate for candidate in packs if candidate.pack == forced]
        if not packs:
            raise PACK_UNKNOWN(pack=forced)
        assumed.append(hints.make_hint(hints.PACK_FORCED, pack=forced))
    if header is None:
        if forced is None:
            raise MODALITY_UNKNOWN()
        return RoutingDecision(packs[0].pack, tuple(assumed))
    packs = _match_modality(header, packs, forced is not None)
    _refuse_raw_data(header)
    packs = _match_body_part(header, packs, forced is not None, assumed)
    packs = _match_view(header, packs, forced is not None, assumed)
    if {"L", "R"} <= set(header.coded.sides):
        raise SIDE_CONTRADICTED()
    packs = _match_age(header, packs, usual_population, given=forced is not None, assumed=assumed, entered=entered)
    return RoutingDecision(packs[0].pack, tuple(assumed))


def may_overlap(one: RoutingRule, other: RoutingRule, usual_population: Population) -> bool:
    """Whether one image can fit both rules, also an image that does not state its view or age."""
    parts = _list_coarse_parts(one.body_parts) & _list_coarse_parts(other.body_parts)
    if not (set(one.modalities) & set(other.modalities) and parts - {None}):
        return False
    views_differ = one.views and other.views and set(one.views).isdisjoint(other.views)
    if views_differ and _reads_frontal(one) != _reads_frontal(other):
        return False
    youngest = max(rule.age_years.min or 0 for rule in (one, other))
    if all(rule.age_years.max is None or youngest <= rule.age_years.max for rule in (one, other)):
        return True
    return all(rule.population in (usual_population, "any") for rule in (one, other))  # an image without an age


def _match_modality(header: Header, packs: Sequence[PackCandidate], given: bool) -> Sequence[PackCandidate]:
    modality = (header.modality or "").strip().upper()
    if not modality:
        if given:
            return packs
        raise MODALITY_UNKNOWN()
    kept = [candidate for candidate in packs if modality in candidate.rule.modalities]
    if not kept:
        raise MODALITY_NOT_COVERED(modality=modality[:16])
    return kept


def _refuse_raw_data(header: Header) -> None:
    """Refuse raw detector data: it is linear in exposure, often inverted, and no pack was trained on any."""
    intent = re.sub(r"[^A-Z]", "", (header.presentation_intent or "").upper())
    if intent == "FORPROCESSING" or header.sop_class_uid in _FOR_PROCESSING:
        raise FOR_PROCESSING()


def _match_body_part(
    header: Header, packs: Sequence[PackCandidate], given: bool, assumed: list[Reason]
) -> Sequence[PackCandidate]:
    part, contradicting = body_part.find_body_part(header), body_part.contradicting_parts(header)
    if contradicting:
        read = frozenset[str | None]().union(*(_list_coarse_parts(candidate.rule.body_parts) for candidate in packs))
        covered = [one for one in contradicting if one in read]
        if not covered:
            raise BODY_PART_NOT_COVERED(body_part="+".join(contradicting))
        raise BODY_PART_CONTRADICTED(
            body_part=covered[0], other_part=next(one for one in contradicting if one != covered[0])
        )
    if part is None:
        if given:
            return packs
        raise BODY_PART_UNKNOWN()
    if body_part.read_body_part(header) is None:
        assumed.append(hints.make_hint(hints.BODY_PART_FROM_TEXT))
    kept = [candidate for candidate in packs if part in _list_coarse_parts(candidate.rule.body_parts)]
    if not kept:
        raise BODY_PART_NOT_COVERED(body_part=part)
    return kept


def _list_coarse_parts(names: tuple[str, ...]) -> frozenset[str | None]:
    return frozenset(body_part.parse_body_part(name) for name in names)


def _match_view(
    header: Header, packs: Sequence[PackCandidate], given: bool, assumed: list[Reason]
) -> Sequence[PackCandidate]:
    if not any(candidate.rule.views for candidate in packs):
        return packs
    if view.is_mirrored(header.patient_orientation):
        assumed.append(
            hints.make_hint(hints.MIRRORED, orientation=(header.patient_orientation or "").strip().upper()[:16])
        )
    seen = view.find_view(header)
    if seen is view.AmbiguousView.CONTRADICTED:
        raise VIEW_CONTRADICTED()
    if seen is view.AmbiguousView.MIXED and not given:
        raise VIEW_UNCLEAR()
    if not isinstance(seen, str):
        if not given:
            assumed.append(hints.make_hint(hints.VIEW_ASSUMED))
        return [candidate for candidate in packs if _reads_frontal(candidate.rule)] or packs
    wanted = _FRONTAL if seen == view.FRONTAL else {seen}
    kept = [candidate for candidate in packs if not candidate.rule.views or wanted & set(candidate.rule.views)]
    if not kept:
        raise VIEW_NOT_COVERED(view=seen)
    return kept


def _reads_frontal(rule: RoutingRule) -> bool:
    return not rule.views or not _FRONTAL.isdisjoint(rule.views)


def _match_age(
    header: Header,
    packs: Sequence[PackCandidate],
    usual: Population,
    given: bool,
    assumed: list[Reason],
    entered: EnteredFacts | None,
) -> Sequence[PackCandidate]:
    years = patient_data.parse_age(header)
    if entered is not None and entered.population and not isinstance(years, int):
        kept = [candidate for candidate in packs if candidate.rule.population in (entered.population, "any")]
        if not kept:
            raise AgeUnknown
        return kept
    if years is patient_data.AgeUnknown.UNCLEAR:
        raise AGE_UNCLEAR()
    if isinstance(years, int):
        kept = [candidate for candidate in packs if candidate.rule.age_years.contains(years)]
        other = patient_data.conflicting_age(header)
        if other is not None and kept != [pack for pack in packs if pack.rule.age_years.contains(other)]:
            raise AGE_UNCLEAR()
        if not kept:
            raise AGE_OUTSIDE(age=years)
        return kept
    if given:
        return packs
    kept = [candidate for candidate in packs if candidate.rule.population in (usual, "any")]
    if not kept:
        raise AgeUnknown
    if all(candidate.rule.population == "any" for candidate in kept):
        return kept
    assumed.append(hints.make_hint(hints.AGE_ASSUMED_ADULT if usual == "adult" else hints.AGE_ASSUMED_CHILD))
    return kept


_OVERLAP: Final = register(
    "doctor.packs_overlap",
    N_(
        "Images that fit both “{asked}” and “{passed_over}” are read by “{asked}”, though nobody chose that. "
        "Name the one to be asked under [packs] prefer."
    ),
)
_CHOSEN: Final = register(
    "doctor.packs_chosen",
    N_("Images that fit both “{asked}” and “{passed_over}” are read by “{asked}”, as [packs] prefer says."),
)


@dataclass(frozen=True, slots=True)
class PackOverlap:
    """Two packs that one image may fit: *asked* is, *passed_over* is not.  `is_chosen`: by `[packs] prefer`."""

    asked: str
    passed_over: str
    is_chosen: bool

    @property
    def names(self) -> tuple[str, str]:
        """Both."""
        return self.asked, self.passed_over

    @property
    def reason(self) -> Reason:
        """It as a sentence."""
        return Reason(_CHOSEN if self.is_chosen else _OVERLAP, {"asked": self.asked, "passed_over": self.passed_over})


def order_packs(packs: Iterable[Pack], config: Config, store: PackStore) -> list[Pack]:
    """*packs* as they are asked: those of `[packs] prefer` in that order, the shipped ones, the installed ones."""
    wanted = config.packs.prefer

    def rank(pack: Pack) -> tuple[int, bool, str]:
        place = wanted.index(pack.name) if pack.name in wanted else len(wanted)
        return place, not store.is_shipped(pack.name), pack.name

    return sorted(packs, key=rank)


def list_candidates(packs: Iterable[Pack], config: Config, store: PackStore) -> list[PackCandidate]:
    """*packs* for `routing.route`, in the order in which they are asked."""
    return [PackCandidate(pack.name, pack.manifest.route) for pack in order_packs(packs, config, store)]


def find_overlaps(packs: Iterable[Pack], config: Config, store: PackStore) -> list[PackOverlap]:
    """Every two of *packs* that one image may fit."""
    usual, wanted = config.box.usual_population, config.packs.prefer
    return [
        PackOverlap(first.name, second.name, first.name in wanted)
        for first, second in combinations(order_packs(packs, config, store), 2)
        if may_overlap(first.manifest.route, second.manifest.route, usual)
    ]

"""A pack on a device with all that is known of it there, what people may decide about it, and the hospital's report.

Thresholds are at the pack's own prevalence, as in a pack's manifest; `LocalPerformance.to_displayed` gives the number
that the case's page shows beside a probability.

The hospital gets the figures of the packs used last, counted again as they change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firmware_app.cases import imaging_devices, model_scores
from firmware_app.cases.accounts import Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Source
from firmware_app.cases.model_scores import DeviceScores, ModelSite
from firmware_app.cases.suspensions import Suspension, Suspensions
from firmware_app.core import operating_point
from firmware_app.core.clinic_accuracy import (
    ClinicFigures,
    Estimate,
    ImagesNeeded,
    count_images_needed,
    estimate_figures,
)
from firmware_app.core.operating_point import CurvePoint, ThresholdSuggestion, standardise_probability
from firmware_app.core.records import LocalState
from firmware_app.core.settings import Config
from firmware_app.monitoring.errors import ModelSiteUnknown, TooFewConfirmed
from firmware_app.monitoring.operating_points import OperatingPoint, OperatingPoints, Proposal, format_figures
from firmware_app.packs import prevalence_adjustment
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_store import PackStore
from firmware_app.packs.tasks.interface import FindingPart
from firmware_app.uplink.messages.box_reports import MOST_SITE_FIGURES, Hundredths, SiteFigures

WIDTHS: Final = (0.12, 0.06)
"""Half widths of the interval of a sensitivity that a clinic is told how to reach."""
MOST_WRONG: Final = 0.15
"""The share of wrong readings that the cautious figures allow for: what double readings of chest films have shown."""


@dataclass(frozen=True, slots=True)
class LocalPerformance:
    """A finding of a pack on a machine.

    `manifest` is ``None`` for a version that the box has no more; then nothing can be decided about it.
    `threshold` is the one in force, `own` the pack's; it rests on the films of `point` or of `unlabelled`, or is the
    same.  Of the films `read`, `aside` have a truth that nobody asked for, which is in no figure; `sources` counts the
    truths that are.
    """

    place: ModelSite
    finding: str
    machine: str
    manifest: Manifest | None
    state: LocalState
    threshold: float
    own: float | None
    point: OperatingPoint | None
    altered: bool
    proposal: Proposal | None
    suspension: Suspension | None
    unlabelled: DeviceScores | None
    read: int
    aside: int
    sources: Mapping[Source, int]
    prevalence: float | None  # that the configuration states for the finding

    def to_displayed(self, threshold: float) -> float:
        """*threshold* as the case's page shows it, at the clinic's own prevalence where that is configured."""
        if self.manifest is None or self.prevalence is None:
            return threshold
        given = prevalence_adjustment.pack_prevalence(self.manifest)
        return (
            prevalence_adjustment.shift_probability(threshold, given, self.prevalence)
            if 0.0 < given < 1.0
            else threshold
        )

    def to_pack_prevalence(self, shown: float) -> float:
        """The threshold that the case's page shows as *shown*, at the pack's own prevalence."""
        if self.manifest is None or self.prevalence is None:
            return shown
        given = prevalence_adjustment.pack_prevalence(self.manifest)
        return prevalence_adjustment.shift_probability(shown, self.prevalence, given) if 0.0 < given < 1.0 else shown

    def label(self, language: str) -> str:
        """The finding's name; its code where the pack is gone."""
        specs = self.manifest.findings if self.manifest is not None else ()
        return next((spec.label.text(language) for spec in specs if spec.code == self.finding), self.finding)


class PerformanceOverview:
    """The packs of one box at its clinic."""

    def __init__(self, clinical: ClinicalDatabase, config: Config) -> None:
        database = clinical.database
        self._database, self._config = database, config
        self._confirmations, self._standings = Confirmations(database), Suspensions(database)
        self._points = OperatingPoints(database, database.path.parent)

    # --- what is known -------------------------------------------------------------------------------------------

    def all(self) -> tuple[LocalPerformance, ...]:
        """Every finding of every pack on every machine that it has read films of, the latest used first."""
        manifests = self._manifests()
        return tuple(
            self._assess_site(place, finding, manifests) for place, finding in self._confirmations.list_sites()
        )

    def find_site(
        self, pack: str, machine: str, finding: str | None = None, version: str | None = None
    ) -> LocalPerformance:
        """One of `all`: the latest version, and the first finding, where these are not named.

        Raises `ModelSiteUnknown`.
        """
        manifests = self._manifests()
        for place, code in self._confirmations.list_sites():
            fits = (place.pack, place.machine) == (pack, machine)
            if fits and finding in (None, code) and version in (None, place.version):
                return self._assess_site(place, code, manifests)
        raise ModelSiteUnknown(pack=pack)

    def compute_figures(self, here: LocalPerformance, *, cautious: bool = False) -> ClinicFigures:
        """The figures at the threshold in force; *cautious*: own readings may be wrong, up to `MOST_WRONG` of them."""
        films = self._confirmations.load_images(here.place, here.finding).films
        return estimate_figures(films, here.threshold, MOST_WRONG if cautious else 0.0)

    def list_images_needed(self, found: ClinicFigures) -> tuple[ImagesNeeded, ...]:
        """How many films more make the interval of the sensitivity as narrow as each of `WIDTHS`."""
        return tuple(count_images_needed(found, width) for width in WIDTHS)

    def compute_curve(self, here: LocalPerformance, prevalence: float | None = None) -> tuple[CurvePoint, ...]:
        """Missed cases and referrals per 1000 films at every threshold; empty while a class is absent."""
        return operating_point.threshold_curve(
            self._confirmations.load_images(here.place, here.finding).films, prevalence
        )

    def evaluate_thresholds(
        self, here: LocalPerformance, thresholds: Sequence[float], prevalence: float | None = None
    ) -> tuple[CurvePoint, ...]:
        """The points of `compute_curve` at these *thresholds*; empty while a class is absent."""
        films = self._confirmations.load_images(here.place, here.finding).films
        points = (operating_point.evaluate_threshold(films, threshold, prevalence) for threshold in thresholds)
        return tuple(point for point in points if point is not None)

    def suggest(
        self, here: LocalPerformance, miss_costs: float, prevalence: float | None = None
    ) -> ThresholdSuggestion:
        """The threshold that costs least where a miss is as bad as *miss_costs* needless referrals.

        *prevalence*: ``None`` for that of the clinic's confirmed films.  Raises `TooFewConfirmed` with too few of them,
        and `ValueError` for a cost that is not positive or a prevalence outside (0, 1).
        """
        films = self._confirmations.load_images(here.place, here.finding).films
        found = operating_point.suggest_threshold(films, miss_costs, prevalence, here.threshold)
        if found is None:
            raise TooFewConfirmed(least=operating_point.LEAST_CONFIRMED)
        return found

    # --- what people decide ---------------------------------------------------------------------------------------

    def propose(
        self,
        here: LocalPerformance,
        threshold: float,
        actor: str,
        role: Role,
        miss_costs: float | None = None,
        prevalence: float | None = None,
    ) -> Proposal:
        """Propose *threshold* with the figures it has here; the first of the two agreements.

        Raises `ModelSiteUnknown` for a version that the box has no more, `POINT_ROLE_MISSING`, and `ValueError` for a
        threshold outside (0, 1).
        """
        if here.manifest is None:
            raise ModelSiteUnknown(pack=here.place.pack)
        films = self._confirmations.load_images(here.place, here.finding).films
        rests_on = format_figures(estimate_figures(films, threshold)) | {
            "miss_costs": miss_costs,
            "assumed_prevalence": prevalence,
        }
        return self._points.propose(
            here.place, here.manifest.files, here.finding, threshold=threshold, figures=rests_on, actor=actor, role=role
        )

    def agree(self, here: LocalPerformance, digest: str, actor: str, role: Role) -> OperatingPoint | None:
        """Agree to the proposal that was seen as *digest*; the second agreement puts it in force, and returns it.

        Raises `ProposalOutdated`, `SamePersonAgreed` and `POINT_ROLE_MISSING`.
        """
        return self._points.agree(here.place, here.finding, digest, actor, role)

    def undo(self, here: LocalPerformance, actor: str) -> None:
        """Back to the pack's own threshold, or, where the pack is suspended, let it go on.

        A threshold that rests on confirmed films does not give way to one that rests on unlabelled ones.  Raises
        `NoOperatingPoint` where neither is the case.
        """
        if here.suspension is not None:
            self._standings.resume(here.place, actor)
            return
        if here.unlabelled is None or here.altered:
            self._points.undo(here.place, here.finding, actor)
        spec = _find_spec(here.manifest, here.finding)
        if spec is not None and spec.usual_scores is not None:
            model_scores.undo_device_scores(self._database, here.place, here.finding, actor)

    # --- details --------------------------------------------------------------------------------------------------

    def _manifests(self) -> dict[tuple[str, str], Manifest]:
        packs = PackStore.from_config(self._config).survey().packs
        return {(pack.name, pack.manifest.version): pack.manifest for pack in packs}

    def _assess_site(
        self, place: ModelSite, finding: str, manifests: Mapping[tuple[str, str], Manifest]
    ) -> LocalPerformance:
        manifest = manifests.get((place.pack, place.version))
        spec = _find_spec(manifest, finding)
        own = spec.threshold if spec is not None else None
        point = self._points.find_in_force(place, finding, manifest.files if manifest is not None else None)
        suspension = self._standings.find_suspension(place)
        known = self._confirmations.load_images(place, finding)
        threshold, unlabelled = own if own is not None else 0.5, None
        if point is not None:
            threshold = point.threshold
        elif spec is not None and spec.usual_scores is not None:
            unlabelled = model_scores.find_device_scores(self._database.connection, place, finding)
            if unlabelled is not None:
                threshold = standardise_probability(threshold, spec.usual_scores.log_odds, unlabelled.log_odds)
        state = LocalState.CALIBRATED if point is not None else LocalState.PROVISIONAL
        return LocalPerformance(
            place=place,
            finding=finding,
            machine=imaging_devices.find_device_name(self._database.connection, place.machine),
            manifest=manifest,
            state=LocalState.SUSPENDED if suspension is not None else state,
            threshold=threshold,
            own=own,
            point=point,
            altered=self._points.is_altered(place, finding),
            proposal=self._points.find_proposal(place, finding),
            suspension=suspension,
            unlabelled=unlabelled,
            read=len(known.films),
            aside=known.aside,
            sources=known.sources,
            prevalence=self._config.reader.prevalence.get(finding),
        )


def _find_spec(manifest: Manifest | None, finding: str) -> FindingPart | None:
    return (
        next((finding_part for finding_part in manifest.findings if finding_part.code == finding), None)
        if manifest is not None
        else None
    )


_CHANGES = (
    "SELECT (SELECT COUNT(*) FROM confirmations), (SELECT COUNT(*) FROM standings), (SELECT COUNT(*) FROM agreements),"
    " (SELECT COUNT(*) FROM machine_scores),"
    " (SELECT COUNT(*) FROM audit WHERE action = 'calibration.undone'), (SELECT COUNT(*) / 50 FROM scored),"
    " (SELECT COUNT(DISTINCT pack || version || machine) FROM scored)"
)


class PerformanceReport:
    """The figures for the hospital; counted again where something was confirmed or decided, or 50 films were read."""

    def __init__(self, clinical: ClinicalDatabase, config: Config) -> None:
        self._clinical, self._config = clinical, config
        self._mark: tuple[object, ...] | None = None
        self._figures: tuple[SiteFigures, ...] = ()

    def list_figures(self) -> tuple[SiteFigures, ...]:
        """At most `MOST_SITE_FIGURES`, the latest used first."""
        mark = tuple(self._clinical.database.connection.execute(_CHANGES).fetchone())
        if mark != self._mark:
            overview = PerformanceOverview(self._clinical, self._config)
            told = (_build_figures(here, overview) for here in overview.all()[:MOST_SITE_FIGURES])
            self._figures, self._mark = tuple(site_figures for site_figures in told if site_figures is not None), mark
        return self._figures


def _build_figures(here: LocalPerformance, overview: PerformanceOverview) -> SiteFigures | None:
    """The figures of *here*; ``None`` for a pack whose name has not the permitted form."""
    place, found = here.place, overview.compute_figures(here)
    named = {"pack": place.pack, "version": place.version, "machine": place.machine, "finding": here.finding}
    if not SiteFigures.accepts(**named):
        return None
    return SiteFigures(
        **named,
        state=here.state,
        threshold=round(1e4 * here.threshold),
        read=found.read,
        confirmed=found.confirmed,
        positives=found.positives,
        auc=_to_hundredths(found.auc),
        sensitivity=_to_hundredths(found.sensitivity),
        specificity=_to_hundredths(found.specificity),
    )


def _to_hundredths(estimate: Estimate | None) -> Hundredths:
    if estimate is None:
        return ()
    return tuple(round(100 * one) for one in (estimate.value, estimate.low, estimate.high))

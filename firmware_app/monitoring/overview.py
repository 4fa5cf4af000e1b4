"""A pack on a machine with all that is known of it there, and what people may decide about it.

Thresholds are at the pack's own prevalence, as in a pack's manifest; `Here.as_shown` gives the number that the case's
page has beside a probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firmware_app.cases import machine_scores, machines
from firmware_app.cases.accounts.accounts_db import Role
from firmware_app.cases.clinical_db import Clinical
from firmware_app.cases.confirmations import Confirmations, Source
from firmware_app.cases.machine_scores import MachineScores
from firmware_app.cases.scored import Place
from firmware_app.cases.standings import Standings, Suspension
from firmware_app.core.errors import PlaceUnknown, PointUnfounded
from firmware_app.core.records import LocalState
from firmware_app.core.settings import Config
from firmware_app.core.statistics import operating_point
from firmware_app.core.statistics.confirmed import Figures, Needed, figures, needed
from firmware_app.core.statistics.operating_point import CurvePoint, Suggestion
from firmware_app.core.statistics.standardised import standardised_probability
from firmware_app.monitoring.points import OperatingPoint, Points, Proposal, figures_of
from firmware_app.packs import prior
from firmware_app.packs.installed import PackStore
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.tasks.interface import FindingPart

WIDTHS: Final = (0.12, 0.06)
"""Half widths of the interval of a sensitivity that a clinic is told how to reach."""
MOST_WRONG: Final = 0.15
"""The share of wrong readings that the cautious figures allow for: what double readings of chest films have shown."""


@dataclass(frozen=True, slots=True)
class Here:
    """A finding of a pack on a machine.

    `manifest` is ``None`` for a version that the box has no more; then nothing can be decided about it.
    `threshold` is the one in force, `own` the pack's; it rests on the films of `point` or of `unlabelled`, or is the
    same.  Of the films `read`, `aside` have a truth that nobody asked for, which is in no figure; `sources` counts the
    truths that are.
    """

    place: Place
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
    unlabelled: MachineScores | None
    read: int
    aside: int
    sources: Mapping[Source, int]
    prevalence: float | None  # that the configuration states for the finding

    def as_shown(self, threshold: float) -> float:
        """*threshold* as the case's page shows it, at the clinic's own prevalence where that is configured."""
        if self.manifest is None or self.prevalence is None:
            return threshold
        given = prior.of_the_pack(self.manifest)
        return prior.shifted(threshold, given, self.prevalence) if 0.0 < given < 1.0 else threshold

    def at_home(self, shown: float) -> float:
        """The threshold that the case's page shows as *shown*, at the pack's own prevalence."""
        if self.manifest is None or self.prevalence is None:
            return shown
        given = prior.of_the_pack(self.manifest)
        return prior.shifted(shown, self.prevalence, given) if 0.0 < given < 1.0 else shown

    def label(self, language: str) -> str:
        """The finding's name; its code where the pack is gone."""
        specs = self.manifest.findings if self.manifest is not None else ()
        return next((one.label.text(language) for one in specs if one.code == self.finding), self.finding)


class Overview:
    """The packs of one box at its clinic."""

    def __init__(self, clinical: Clinical, config: Config) -> None:
        database = clinical.database
        self._database, self._config = database, config
        self._confirmations, self._standings = Confirmations(database), Standings(database)
        self._points = Points(database, database.path.parent)

    # --- what is known -------------------------------------------------------------------------------------------

    def all(self) -> tuple[Here, ...]:
        """Every finding of every pack on every machine that it has read films of, the latest used first."""
        manifests = self._manifests()
        return tuple(self._here(place, finding, manifests) for place, finding in self._confirmations.places())

    def here(self, pack: str, machine: str, finding: str | None = None, version: str | None = None) -> Here:
        """One of `all`: the latest version, and the first finding, where these are not named.

        Raises `PlaceUnknown`.
        """
        manifests = self._manifests()
        for place, code in self._confirmations.places():
            fits = (place.pack, place.machine) == (pack, machine)
            if fits and finding in (None, code) and version in (None, place.version):
                return self._here(place, code, manifests)
        raise PlaceUnknown(pack=pack)

    def figures(self, here: Here, *, cautious: bool = False) -> Figures:
        """The figures at the threshold in force; *cautious*: own readings may be wrong, up to `MOST_WRONG` of them."""
        films = self._confirmations.films(here.place, here.finding).films
        return figures(films, here.threshold, MOST_WRONG if cautious else 0.0)

    def needed(self, found: Figures) -> tuple[Needed, ...]:
        """How many films more make the interval of the sensitivity as narrow as each of `WIDTHS`."""
        return tuple(needed(found, width) for width in WIDTHS)

    def curve(self, here: Here, prevalence: float | None = None) -> tuple[CurvePoint, ...]:
        """Missed cases and referrals per 1000 films at every threshold; empty while a class is absent."""
        return operating_point.curve(self._confirmations.films(here.place, here.finding).films, prevalence)

    def at(self, here: Here, thresholds: Sequence[float], prevalence: float | None = None) -> tuple[CurvePoint, ...]:
        """The points of `curve` at these *thresholds*; empty while a class is absent."""
        films = self._confirmations.films(here.place, here.finding).films
        points = (operating_point.at_threshold(films, one, prevalence) for one in thresholds)
        return tuple(one for one in points if one is not None)

    def suggestion(self, here: Here, miss_costs: float, prevalence: float | None = None) -> Suggestion:
        """The threshold that costs least where a miss is as bad as *miss_costs* needless referrals.

        *prevalence*: ``None`` for that of the clinic's confirmed films.  Raises `PointUnfounded` with too few of them,
        and `ValueError` for a cost that is not positive or a prevalence outside (0, 1).
        """
        films = self._confirmations.films(here.place, here.finding).films
        found = operating_point.suggested(films, miss_costs, prevalence, here.threshold)
        if found is None:
            raise PointUnfounded(least=operating_point.LEAST_CONFIRMED)
        return found

    # --- what people decide ---------------------------------------------------------------------------------------

    def propose(
        self,
        here: Here,
        threshold: float,
        actor: str,
        role: Role,
        miss_costs: float | None = None,
        prevalence: float | None = None,
    ) -> Proposal:
        """Propose *threshold* with the figures it has here; the first of the two agreements.

        Raises `PlaceUnknown` for a version that the box has no more, `PointRoleMissing`, and `ValueError` for a
        threshold outside (0, 1).
        """
        if here.manifest is None:
            raise PlaceUnknown(pack=here.place.pack)
        films = self._confirmations.films(here.place, here.finding).films
        rests_on = figures_of(figures(films, threshold)) | {"miss_costs": miss_costs, "assumed_prevalence": prevalence}
        return self._points.propose(here.place, here.manifest.files, here.finding, threshold, rests_on, actor, role)

    def agree(self, here: Here, digest: str, actor: str, role: Role) -> OperatingPoint | None:
        """Agree to the proposal that was seen as *digest*; the second agreement puts it in force, and returns it.

        Raises `PointOutdated`, `PointSamePerson` and `PointRoleMissing`.
        """
        return self._points.agree(here.place, here.finding, digest, actor, role)

    def undo(self, here: Here, actor: str) -> None:
        """Back to the pack's own threshold, or, where the pack is suspended, let it go on.

        A threshold that rests on confirmed films does not give way to one that rests on unlabelled ones.  Raises
        `NoPoint` where neither is the case.
        """
        if here.suspension is not None:
            self._standings.resume(here.place, actor)
            return
        if here.unlabelled is None or here.altered:
            self._points.undo(here.place, here.finding, actor)
        spec = _spec(here.manifest, here.finding)
        if spec is not None and spec.usual_scores is not None:
            machine_scores.undo(self._database, here.place, here.finding, actor)

    # --- details --------------------------------------------------------------------------------------------------

    def _manifests(self) -> dict[tuple[str, str], Manifest]:
        packs = PackStore.of(self._config).survey().packs
        return {(pack.name, pack.manifest.version): pack.manifest for pack in packs}

    def _here(self, place: Place, finding: str, manifests: Mapping[tuple[str, str], Manifest]) -> Here:
        manifest = manifests.get((place.pack, place.version))
        spec = _spec(manifest, finding)
        own = spec.threshold if spec is not None else None
        point = self._points.in_force(place, finding, manifest.files if manifest is not None else None)
        suspension = self._standings.suspension(place)
        known = self._confirmations.films(place, finding)
        threshold, unlabelled = own if own is not None else 0.5, None
        if point is not None:
            threshold = point.threshold
        elif spec is not None and spec.usual_scores is not None:
            unlabelled = machine_scores.in_force(self._database.connection, place, finding)
            if unlabelled is not None:
                threshold = standardised_probability(threshold, spec.usual_scores.log_odds, unlabelled.log_odds)
        state = LocalState.CALIBRATED if point is not None else LocalState.PROVISIONAL
        return Here(
            place,
            finding,
            machines.name_of(self._database.connection, place.machine),
            manifest,
            LocalState.SUSPENDED if suspension is not None else state,
            threshold,
            own,
            point,
            self._points.is_altered(place, finding),
            self._points.proposal(place, finding),
            suspension,
            unlabelled,
            len(known.films),
            known.aside,
            known.sources,
            self._config.reader.prevalence.get(finding),
        )


def _spec(manifest: Manifest | None, finding: str) -> FindingPart | None:
    return next((one for one in manifest.findings if one.code == finding), None) if manifest is not None else None

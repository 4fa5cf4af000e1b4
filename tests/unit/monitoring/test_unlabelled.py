"""A threshold set from a machine's unlabelled films: from the 50th on, until people choose another."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from firmware_app.cases.accounts import Role
from firmware_app.cases.imaging_devices import ImagingDevice
from firmware_app.cases.model_scores import ModelSite
from firmware_app.core.operating_point import LogOdds, standardise_probability
from firmware_app.core.records import Finding, LocalState, Reading, ReadingStatus, Reason, Scope, Timing
from firmware_app.core.settings import Config
from firmware_app.monitoring.errors import NoOperatingPoint
from firmware_app.monitoring.local_performance import PerformanceOverview, PerformanceReport
from firmware_app.packs.manifest import Manifest
from firmware_app.reading.local_calibration import LocalCalibration, LocalModel
from tests import toy_pack
from tests.local_films import FINDING, MACHINE, PLACE, create_database, read_image

HOME = LogOdds(0.0, 1.0)
ABSTAIN = {"error": 0.1, "low": 0.4, "high": 0.6, "films": 100, "given": 0.7, "given_ci": [0.6, 0.8]}
UNSURE = Reading(
    Scope.INSTANCE,
    ("i-1",),
    ReadingStatus.CANNOT_JUDGE,
    Reason("pack.unsure", {"pack": "toy-child"}),
    None,
    Timing(1, 2, 3),
)


class Box:
    """A box whose pack's threshold follows a machine's scores."""

    def __init__(self, folder: Path, **reader: object) -> None:
        self.pack = toy_pack.write(folder / "packs", "toy-child", "children", 1, 5)
        toy_pack.set_usual_scores(self.pack, HOME.mean, HOME.spread, abstain=ABSTAIN)
        settings = {"packs": {"dir": folder / "packs"}, "state": {"dir": folder}, "reader": reader}
        config = Config.model_validate(settings)
        self.clinical = create_database(folder)
        self.overview, self.told = PerformanceOverview(self.clinical, config), PerformanceReport(self.clinical, config)
        self.local, self.manifest = LocalCalibration(self.clinical, config), Manifest.load(self.pack)
        self.films: list[float] = []

    def reads(self, films: int, mean: float, place: ModelSite = PLACE) -> None:
        """Films of the machine come, whose log odds lie about *mean*."""
        for _ in range(films):
            number = len(self.films)
            self.films.append(1.0 / (1.0 + math.exp(-mean - (number % 11 - 5) / 5.0)))
            read_image(self.clinical, number, self.films[-1], place=place, following=True)

    def threshold(self, machine: ImagingDevice = MACHINE) -> float:
        """By which the next film is judged."""
        found, state = self.local.apply_thresholds(LocalModel(self.manifest, machine), (finding(0.5),))
        assert state is LocalState.PROVISIONAL
        return found[0].threshold

    def by(self, films: int) -> float:
        return standardise_probability(0.5, HOME, LogOdds.from_probabilities(self.films[:films]))

    def undo(self) -> None:
        self.overview.undo(self.overview.find_site("toy-child", PLACE.machine), "wang")


def finding(probability: float) -> Finding:
    return Finding(FINDING, {"en": "Bright"}, probability, 0.5)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_from_the_50th_film_on_a_film_is_judged_by_the_scores_of_its_machine(box: Box) -> None:
    box.reads(49, 0.7)
    assert box.threshold() == 0.5
    box.reads(1, 0.7)
    assert box.threshold() == pytest.approx(box.by(50))
    assert box.threshold() > 0.6
    found, _ = box.local.apply_thresholds(LocalModel(box.manifest, MACHINE), (finding(0.58),))
    assert (finding(0.58).positive, found[0].positive, found[0].probability) == (True, False, 0.58)
    assert box.threshold(ImagingDevice("m-" + "2" * 20, "another one")) == 0.5


def test_it_is_set_anew_with_100_and_200_films_and_then_stays(box: Box) -> None:
    box.reads(99, 0.3)
    assert box.threshold() == pytest.approx(box.by(50))
    box.reads(1, 0.3)
    assert box.threshold() == pytest.approx(box.by(100))
    box.reads(100, -0.4)
    assert box.threshold() == pytest.approx(box.by(200))
    box.reads(60, 3.0)
    assert box.threshold() == pytest.approx(box.by(200))


def test_whoever_goes_back_to_the_packs_own_is_not_overruled_by_later_films(box: Box) -> None:
    box.reads(50, 0.7)
    here = box.overview.find_site("toy-child", PLACE.machine)
    assert here.unlabelled is not None
    assert here.threshold == pytest.approx(box.by(50))
    assert (here.own, here.unlabelled.films) == (0.5, 50)
    assert (box.told.list_figures()[0].threshold, here.state) == (round(1e4 * box.by(50)), LocalState.PROVISIONAL)
    box.undo()
    assert box.told.list_figures()[0].threshold == 5000
    box.reads(160, 0.7)
    assert box.threshold() == 0.5
    with pytest.raises(NoOperatingPoint):
        box.undo()
    other = ModelSite(PLACE.pack, PLACE.version, "m-" + "2" * 20)
    box.reads(50, 0.7, other)
    assert box.threshold(ImagingDevice(other.machine, "another one")) > 0.6


def test_a_threshold_that_two_people_agreed_to_wins_and_gives_way_to_the_packs_own(box: Box) -> None:
    box.reads(50, 0.7)
    here = box.overview.find_site("toy-child", PLACE.machine)
    proposal = box.overview.propose(here, 0.3, "wang", Role.TECHNICIAN)
    box.overview.agree(here, proposal.digest, "li", Role.DOCTOR)
    box.reads(60, 0.7)
    chosen = LocalModel(box.manifest, MACHINE)
    (found,), state = box.local.apply_thresholds(chosen, (finding(0.5),))
    assert (found.threshold, state) == (0.3, LocalState.CALIBRATED)
    assert box.local.find_unsure_range(chosen) == (0.4, 0.6)
    here = box.overview.find_site("toy-child", PLACE.machine)
    assert (here.threshold, here.unlabelled, here.state) == (0.3, None, LocalState.CALIBRATED)
    box.undo()
    assert box.threshold() == 0.5


def test_the_limits_between_which_no_number_is_given_move_with_the_threshold(box: Box) -> None:
    chosen = LocalModel(box.manifest, MACHINE)
    assert box.local.find_unsure_range(chosen) == (0.4, 0.6)
    box.reads(50, 0.7)
    low, high = box.local.find_unsure_range(chosen) or (0.0, 0.0)
    assert 0.4 < low < box.threshold() < high
    moved = [standardise_probability(one, HOME, LogOdds.from_probabilities(box.films)) for one in (0.4, 0.6)]
    assert [low, high] == pytest.approx(moved)


def test_a_film_of_which_the_model_is_not_sure_counts_among_the_first_ones(box: Box) -> None:
    examined = box.local.build_sampling(LocalModel(box.manifest, MACHINE), UNSURE, None, {}, 0.55).examined
    assert (examined.refused, examined.strongest, examined.following) == (True, 0.55, FINDING)
    box.reads(48, 0.7)
    read_image(box.clinical, 1000, 0.5, refused=True, following=True)  # unlike the training films: it has no score
    box.reads(1, 0.7)
    assert box.threshold() == 0.5
    read_image(box.clinical, 1001, 0.5, refused=True, following=True, withheld=0.55)
    assert box.threshold() == pytest.approx(
        standardise_probability(0.5, HOME, LogOdds.from_probabilities([*box.films, 0.55]))
    )


def test_the_threshold_is_shown_at_the_clinics_own_prevalence(tmp_path: Path) -> None:
    plain, rare = Box(tmp_path / "plain"), Box(tmp_path / "rare", prevalence={FINDING: 0.01})
    for one in (plain, rare):
        one.reads(50, 0.7)
    assert rare.threshold() < plain.threshold()
    here = rare.overview.find_site("toy-child", PLACE.machine)
    assert here.threshold == pytest.approx(plain.threshold())
    assert here.to_displayed(here.threshold) == pytest.approx(rare.threshold())

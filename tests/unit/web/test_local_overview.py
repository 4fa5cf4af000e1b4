"""A pack on a machine as a page shows it: from provisional to calibrated to suspended, and back in one call."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.core.records import LocalState
from firmware_app.core.settings import Config
from firmware_app.monitoring.errors import TooFewConfirmed
from firmware_app.monitoring.local_performance import PerformanceOverview, PerformanceReport
from tests import toy_pack
from tests.local_films import FINDING, MACHINE, binormal, create_database, read_image


@pytest.fixture
def clinical(tmp_path: Path) -> ClinicalDatabase:
    return create_database(tmp_path)


@pytest.fixture
def overview(clinical: ClinicalDatabase, tmp_path: Path) -> PerformanceOverview:
    packs = tmp_path / "packs"
    toy_pack.write(packs, "toy-child", "children", 1, 5)
    settings = {"packs": {"dir": packs}, "state": {"dir": tmp_path}, "reader": {"prevalence": {FINDING: 0.1}}}
    return PerformanceOverview(clinical, Config.model_validate(settings))


def confirm(clinical: ClinicalDatabase, auc: float, films: int, first: int = 0) -> None:
    says = Confirmations(clinical.database)
    for number, (score, truth) in enumerate(binormal(films, auc), start=first):
        case = read_image(clinical, number, score)
        if says.find_requests(case):
            says.confirm(case, FINDING, Truth.POSITIVE if truth else Truth.NEGATIVE, Source.LABORATORY, "li")


def test_a_new_pack_is_provisional_and_says_what_it_lacks(
    clinical: ClinicalDatabase, overview: PerformanceOverview
) -> None:
    read_image(clinical, 1, 0.9)
    (here,) = overview.all()
    assert (here.state, here.machine, here.threshold, here.read) == (LocalState.PROVISIONAL, MACHINE.name, 0.5, 1)
    found = overview.compute_figures(here)
    assert found.sensitivity is None
    assert [one.positives for one in overview.list_images_needed(found)] == [26, 99]
    assert overview.compute_curve(here) == ()
    with pytest.raises(TooFewConfirmed):
        overview.suggest(here, 5.0)


def test_cautious_figures_are_wider_where_only_eyes_have_judged(
    clinical: ClinicalDatabase, overview: PerformanceOverview
) -> None:
    says = Confirmations(clinical.database)
    for number, (score, truth) in enumerate(binormal(120, 0.9)):
        case = read_image(clinical, number, score)
        if says.find_requests(case):
            says.confirm(case, FINDING, Truth.POSITIVE if truth else Truth.NEGATIVE, Source.AFTER, "li")
    (here,) = overview.all()
    plain, cautious = overview.compute_figures(here), overview.compute_figures(here, cautious=True)
    assert plain.auc is not None
    assert cautious.auc is not None
    assert cautious.auc.high - cautious.auc.low > plain.auc.high - plain.auc.low
    assert here.sources[Source.AFTER] == plain.confirmed > 0


def test_the_hospital_is_told_numbers_and_no_name(clinical: ClinicalDatabase, overview: PerformanceOverview) -> None:
    told = PerformanceReport(clinical, overview._config)
    assert told.list_figures() == ()
    confirm(clinical, 0.9, 60)
    (place,) = told.list_figures()
    assert (place.machine, place.state, place.threshold) == (MACHINE.digest, LocalState.PROVISIONAL, 5000)
    assert place.confirmed > place.positives > 0
    assert len(place.auc) == 3
    assert MACHINE.name not in str(place)
    assert told.list_figures() is told.list_figures(), "nothing is counted again while nothing changes"

"""Drift without truths: the newest films of a machine against its own first ones."""

from __future__ import annotations

import random
from pathlib import Path

from firmware_app.cases import model_scores
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.model_scores import CalibrationSample, Score
from firmware_app.core import drift_tests
from firmware_app.monitoring import drift
from tests.local_films import FINDING, MACHINE, PLACE, SECRET, SHARES, create_database


def watch(clinical: ClinicalDatabase, films: int, called: float, refused: float, centre: float, seed: int) -> None:
    rng = random.Random(seed)
    with clinical.database.transaction() as connection:
        for number in range(films):
            no_number = rng.random() < refused
            scores = () if no_number else (Score(FINDING, 0.9 if rng.random() < called else 0.1, 0.5),)
            distance = None if no_number else rng.gauss(centre, 0.2)
            examined = CalibrationSample(PLACE.pack, PLACE.version, MACHINE, scores, no_number, distance)
            model_scores.record_scores(connection, f"c-{seed}-{number}", examined, SECRET, SHARES)


def list_alarms(clinical: ClinicalDatabase) -> list[str]:
    (one,) = drift.measure_drift(clinical.database.connection)
    return [measure.measure for measure in one.alarms]


def test_the_same_films_go_on_without_an_alarm_and_each_change_has_its_own(tmp_path: Path) -> None:
    for name, called, refused, centre, expected in (
        ("same", 0.2, 0.05, 1.0, []),
        ("called", 0.5, 0.05, 1.0, ["called", "score"]),
        ("refused", 0.2, 0.3, 1.0, ["refused"]),
        ("distance", 0.2, 0.05, 1.2, ["distance"]),
    ):
        clinical = create_database(tmp_path / name)
        watch(clinical, 200, 0.2, 0.05, 1.0, seed=1)
        assert list_alarms(clinical) == []
        watch(clinical, 250, called, refused, centre, seed=2)
        assert list_alarms(clinical) == expected, name


def test_the_stated_rate_of_false_alarms_holds() -> None:
    rng = random.Random(3)
    alarms = 0
    for _ in range(1000):
        one, other = ([rng.random() for _ in range(drift_tests.FIRST_IMAGES)] for _ in range(2))
        alarms += drift_tests.compare_values("distance", one, other).alarms
        alarms += drift_tests.compare_shares("called", [v < 0.2 for v in one], [v < 0.2 for v in other]).alarms
    assert alarms <= 8, "2000 looks at 0.001 each"


def test_a_busy_machine_keeps_its_first_films_and_its_newest(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    watch(clinical, model_scores.WATCHED_KEPT + 300, 0.2, 0.0, 1.0, seed=1)
    kept = [row[0] for row in clinical.database.connection.execute("SELECT sequence FROM watched ORDER BY sequence")]
    half = model_scores.WATCHED_KEPT // 2
    assert len(kept) == model_scores.WATCHED_KEPT
    assert kept[:half] == list(range(1, half + 1))
    assert kept[-half:] == list(range(model_scores.WATCHED_KEPT + 301 - half, model_scores.WATCHED_KEPT + 301))


def test_a_clinic_whose_films_never_were_like_the_packs_own_is_told(tmp_path: Path) -> None:
    clinical = create_database(tmp_path)
    watch(clinical, 450, 0.2, 0.2, 1.0, seed=1)
    (one,) = drift.measure_drift(clinical.database.connection, lambda _place: (4, 784))
    assert [measure.measure for measure in one.alarms] == ["refused_at_home"]


def test_the_stability_index_tells_how_far() -> None:
    rng = random.Random(4)
    first = [rng.gauss(0.0, 1.0) for _ in range(500)]
    same, moved = ([rng.gauss(by, 1.0) for _ in range(200)] for by in (0.0, 1.0))
    assert drift_tests.compare_values("distance", first, same).psi < 0.15
    assert drift_tests.compare_values("distance", first, moved).psi > 0.5

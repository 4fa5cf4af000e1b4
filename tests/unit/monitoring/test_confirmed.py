"""Figures of confirmed films: they agree with plain counting, hold with unequal sampling, and tell unfit from fit."""

from __future__ import annotations

import random
from statistics import NormalDist

import numpy as np
import pytest

from converters.statistics import intervals
from firmware_app.core import fitness, operating_point
from firmware_app.core.accuracy import WeightedImage, compute_weighted_auc
from firmware_app.core.clinic_accuracy import ScoredImage, count_images_needed, count_positives_needed, estimate_figures

NORMAL = NormalDist()


def clinic(
    films: int, auc: float, seed: int = 1, prevalence: float = 0.3, low: float = 0.2, wrong: float = 0.0
) -> list[ScoredImage]:
    """Binormal films with scores in 0..1; those of 0.5 or more are all confirmed, of the others the share *low*."""
    rng, apart = random.Random(seed), 2**0.5 * NORMAL.inv_cdf(auc)
    found = []
    for _ in range(films):
        positive = rng.random() < prevalence
        score = NORMAL.cdf(rng.gauss(apart / 2 if positive else -apart / 2, 1.0))
        asked = 1.0 if score >= 0.5 else low
        said = positive if rng.random() >= wrong else not positive
        found.append(ScoredImage(score, asked, said if rng.random() < asked else None, by_eye=wrong > 0.0))
    return found


def test_where_every_film_is_confirmed_the_figures_are_plain_counts() -> None:
    films = [ScoredImage(score, 1.0, truth) for score, truth in ((0.9, True), (0.8, False), (0.2, True), (0.1, False))]
    found = estimate_figures([*films, films[0], films[3]], 0.5)
    assert (found.read, found.called, found.confirmed, found.positives) == (6, 3, 6, 3)
    for one, expected in ((found.sensitivity, 2 / 3), (found.specificity, 2 / 3), (found.ppv, 2 / 3)):
        assert one is not None
        assert one.value == pytest.approx(expected)
        assert 0.0 <= one.low < expected < one.high <= 1.0


def test_the_area_is_the_converters_own() -> None:
    rng = np.random.default_rng(3)
    labels, scores = (rng.random(60) < 0.4).astype(np.int64), rng.integers(0, 12, 60) / 12
    found = compute_weighted_auc(
        [WeightedImage(float(score), bool(label), 1.0) for score, label in zip(scores, labels, strict=True)]
    )
    assert found is not None
    assert found.value == pytest.approx(intervals.auc(labels, scores))


def test_a_film_confirmed_with_probability_one_in_five_counts_five_times() -> None:
    found = estimate_figures(clinic(4000, 0.85), 0.5)
    plain = estimate_figures(
        [ScoredImage(film.score, 1.0, film.truth) for film in clinic(4000, 0.85) if film.truth is not None], 0.5
    )
    true = NORMAL.cdf(2**0.5 * NORMAL.inv_cdf(0.85) / 2)
    assert found.sensitivity is not None
    assert plain.sensitivity is not None
    assert found.sensitivity.low < true < found.sensitivity.high
    assert plain.sensitivity.low > true, "without weights the missed films would be counted too rarely"


def test_forty_low_films_without_a_finding_do_not_prove_that_none_is_missed() -> None:
    films = (
        [ScoredImage(0.9, 1.0, True)] * 20 + [ScoredImage(0.1, 0.1, None)] * 360 + [ScoredImage(0.1, 0.1, False)] * 40
    )
    found = estimate_figures(films, 0.5).sensitivity
    assert found is not None
    assert found.value == 1.0
    assert found.low < 0.7


@pytest.mark.parametrize("seed", range(3))
def test_intervals_that_allow_for_wrong_readings_hold_the_truth_behind_them(seed: int) -> None:
    films, true = clinic(1500, 0.9, seed, wrong=0.12), NORMAL.cdf(2**0.5 * NORMAL.inv_cdf(0.9) / 2)
    plain, allowing = estimate_figures(films, 0.5), estimate_figures(films, 0.5, wrong=0.15)
    assert plain.sensitivity is not None
    assert allowing.sensitivity is not None
    assert allowing.auc is not None
    assert plain.sensitivity.high < true
    assert allowing.sensitivity.low < true < allowing.sensitivity.high
    assert allowing.auc.low < 0.9 < allowing.auc.high


def test_nothing_confirmed_gives_no_figure() -> None:
    found = estimate_figures([ScoredImage(0.7, 1.0), ScoredImage(0.2, 0.2)], 0.5)
    assert (found.read, found.called, found.confirmed) == (2, 1, 0)
    assert {found.auc, found.sensitivity, found.specificity, found.ppv, found.npv, found.prevalence} == {None}


def test_about_30_positives_make_a_sensitivity_12_points_wide_and_100_make_it_6() -> None:
    assert abs(count_positives_needed(0.12) - 30) <= 5
    assert abs(count_positives_needed(0.06) - 100) <= 5


def test_what_is_missing_for_a_width_falls_as_films_come() -> None:
    few, many = (count_images_needed(estimate_figures(clinic(count, 0.9, low=1.0), 0.5), 0.06) for count in (150, 500))
    assert few.positives > many.positives > 0
    assert few.images is not None
    assert 2.0 < few.images / few.positives < 5.0, "three films in ten show the finding"
    assert count_images_needed(estimate_figures(clinic(3000, 0.9, low=1.0), 0.5), 0.06).positives == 0


def test_an_area_of_one_is_not_certain() -> None:
    found = compute_weighted_auc([WeightedImage(0.9, True, 1.0)] * 5 + [WeightedImage(0.1, False, 1.0)] * 20)
    assert found is not None
    assert found.interval[0] < 0.9
    assert found.interval[1] == pytest.approx(1.0)


def first_100(auc: float, seed: int) -> list[ScoredImage]:
    films = clinic(800, auc, seed)
    last = [place for place, film in enumerate(films) if film.truth is not None][99]
    return films[: last + 1]


def test_a_model_at_chance_is_unfit_within_100_confirmed_films_and_a_good_one_is_not() -> None:
    for seed in range(8):
        unfit = fitness.check_fitness(first_100(0.5, seed), 99)
        assert unfit is not None
        assert unfit.rule is fitness.FitnessRule.EARLY
        assert unfit.auc.low < unfit.auc.auc < unfit.auc.high < fitness.FIT
        assert fitness.check_fitness(first_100(0.9, seed), 99) is None


def test_between_its_looks_the_early_rule_says_nothing() -> None:
    films = first_100(0.5, 1)
    assert fitness.check_fitness([*films, ScoredImage(0.9, 1.0, True)], 100) is None
    assert fitness.check_fitness([*films, ScoredImage(0.9, 1.0, True)], 50) is not None, (
        "an import may pass several looks"
    )


def test_the_cheapest_threshold_falls_as_a_miss_costs_more() -> None:
    films = clinic(1000, 0.9)
    cheap, dear = (operating_point.suggest_threshold(films, cost, 0.3, 0.5) for cost in (1.0, 20.0))
    assert cheap is not None
    assert dear is not None
    assert dear.threshold < cheap.threshold
    assert dear.low <= dear.threshold <= dear.high
    assert dear.cost < dear.cost_now
    assert dear.saving_high > dear.saving_low


def test_the_curve_says_at_a_threshold_what_counting_says() -> None:
    films = clinic(500, 0.8, low=1.0)
    point = operating_point.evaluate_threshold(films, 0.5)
    missed = sum(film.truth is True and film.score < 0.5 for film in films)
    referred = sum(film.score >= 0.5 for film in films)
    assert point is not None
    assert [point.missed, point.referred] == pytest.approx([2 * missed, 2 * referred])
    thresholds = [one.threshold for one in operating_point.threshold_curve(films)]
    assert thresholds == sorted(thresholds)


def test_ten_films_of_a_kind_suggest_nothing_less_do() -> None:
    few = [ScoredImage(0.9, 1.0, True)] * 9 + [ScoredImage(0.1, 1.0, False)] * 50
    assert operating_point.suggest_threshold(few, 5.0, None, 0.5) is None
    assert operating_point.suggest_threshold([*few, ScoredImage(0.8, 1.0, True)], 5.0, None, 0.5) is not None

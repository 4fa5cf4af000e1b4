"""The numbers on a card are the textbook's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.statistics import intervals
from converters.statistics.intervals import Rate


def draw_scores(count: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    return labels, np.asarray(rng.standard_normal(count) + labels, dtype=np.float64)


def test_the_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    scores = np.array([0.1, 0.4, 0.4, 0.3, 0.9])
    pairs = [(0.5 if p == n else float(p > n)) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert intervals.auc(labels, scores) == pytest.approx(sum(pairs) / len(pairs))


def test_without_both_classes_there_is_no_auc_and_no_interval() -> None:
    ones = np.ones(4, np.int64)
    assert intervals.auc(ones, np.arange(4.0)) is None
    assert intervals.auc_interval(ones, np.arange(4.0), list("abcd")) is None


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe (1998), Stat Med 17:857, table I, method 3: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611
    assert Rate(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Rate(0, 20).interval == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert Rate(0, 0).value is None
    assert Rate(0, 0).interval is None


@pytest.mark.parametrize("at_least", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_for_a_sensitivity_is_the_highest_that_reaches_it(at_least: float) -> None:
    labels, scores = draw_scores(200, seed=3)
    threshold = intervals.threshold_for_sensitivity(labels, scores, at_least)
    reached = intervals.at_threshold(labels, scores, threshold)[0].value
    assert reached is not None
    assert reached >= at_least
    above = float(scores[(scores > threshold) & (labels == 1)].min())
    less = intervals.at_threshold(labels, scores, np.nextafter(above, 9.0))[0].value
    assert less is not None
    assert less < at_least


def test_a_rates_interval_covers_the_truth_where_films_share_patients() -> None:
    truth, covered, naive = 0.8, 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        hits = np.repeat(rng.random(60) < truth, 4)  # four films a patient, read alike
        interval = intervals.rate_interval(hits, [str(index // 4) for index in range(240)])
        plain = Rate(int(hits.sum()), 240).interval
        assert interval is not None
        assert plain is not None
        covered, naive = covered + (interval[0] <= truth <= interval[1]), naive + (plain[0] <= truth <= plain[1])
    assert covered >= 54
    assert naive <= 48


def test_a_platt_calibration_finds_the_curve_that_made_the_labels() -> None:
    rng = np.random.default_rng(1)
    logits = rng.uniform(-6.0, 6.0, 20_000)
    labels = (rng.random(20_000) < 1.0 / (1.0 + np.exp(-(0.7 * logits - 0.4)))).astype(np.int64)
    slope, intercept = intervals.platt(labels, np.asarray(logits, dtype=np.float64))
    assert slope == pytest.approx(0.7, abs=0.05)
    assert intercept == pytest.approx(-0.4, abs=0.08)

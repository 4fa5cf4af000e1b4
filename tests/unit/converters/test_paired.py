"""Two models on the same films: the difference is the textbook's, and its interval covers the truth."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.statistics import intervals, paired

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def two_models(count: int, seed: int, first: float = 1.0, second: float = 1.0) -> tuple[Labels, Scores, Scores]:
    """Two correlated scores; each parts the classes by its own distance."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int64)
    shared = rng.standard_normal(count)
    scores = [0.8 * shared + 0.6 * rng.standard_normal(count) + gap * labels for gap in (first, second)]
    return labels, np.asarray(scores[0]), np.asarray(scores[1])


def brute_force(labels: Labels, original: Scores, other: Scores) -> tuple[float, float]:
    """DeLong et al. (1988) as printed: every pair by its kernel, then the structural components' covariance."""
    areas, rows, columns = [], [], []
    for scores in (original, other):
        above, below = scores[labels == 1], scores[labels == 0]
        kernel = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in below] for x in above])
        areas.append(kernel.mean())
        rows.append(kernel.mean(axis=1))
        columns.append(kernel.mean(axis=0))
    positives, negatives = len(rows[0]), len(columns[0])
    covariance = np.cov(np.array(rows)) / positives + np.cov(np.array(columns)) / negatives
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return float(areas[1] - areas[0]), math.sqrt(variance)


@pytest.mark.parametrize("seed", range(4))
def test_delong_is_the_brute_force_of_its_paper(seed: int) -> None:
    labels, one, other = two_models(60, seed, 1.0, 0.6)
    one, other = np.round(one, 1), np.round(other, 1)  # so that there are ties
    interval = paired.delong(labels, one, other)
    value, error = brute_force(labels, one, other)
    assert interval.value == pytest.approx(value, abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx(
        (value - intervals.Z95 * error, value + intervals.Z95 * error)
    )


def test_delongs_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    truth = 0.5 * (math.erf(0.7 / 2.0) - math.erf(1.1 / 2.0))  # AUC = Phi(gap / sqrt 2), both of unit variance
    covered = 0
    for seed in range(200):
        interval = paired.delong(*two_models(160, seed, 1.1, 0.7))
        covered += interval.low <= truth <= interval.high
    assert 180 <= covered <= 198


def test_pairing_makes_the_interval_narrower_than_two_that_know_nothing_of_each_other() -> None:
    labels, one, other = two_models(300, 1)
    together = paired.delong(labels, one, other)
    stranger = paired.delong(labels, one, two_models(300, 99)[1])
    assert together.high - together.low < 0.8 * (stranger.high - stranger.low)


def test_the_sensitivity_interval_widens_when_films_share_patients() -> None:
    rng = np.random.default_rng(5)
    labels = np.ones(400, dtype=np.int64)
    before = np.ones(400, dtype=bool)
    after = np.repeat(rng.random(100) < 0.8, 4)
    shared = paired.sensitivity(labels, before, after, [str(index // 4) for index in range(400)])
    naive = paired.sensitivity(labels, before, after, [str(index) for index in range(400)])
    assert shared.value == naive.value == pytest.approx(after.mean() - 1.0)
    assert shared.high - shared.low > 1.5 * (naive.high - naive.low)

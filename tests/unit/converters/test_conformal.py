"""Limits between which no number is given keep the error that they were set for, and say so where they cannot."""

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.statistics import conformal

pytestmark = pytest.mark.usefixtures("few_resamples")

Scores = NDArray[np.float64]


def draw_scores(
    rng: np.random.Generator, count: int, share: float, apart: float = 1.5
) -> tuple[NDArray[np.int64], Scores]:
    """Labels and scores of a network that tells the classes apart neither well nor by calibrated probabilities."""
    labels = (rng.random(count) < share).astype(np.int64)
    return labels, 1.0 / (1.0 + np.exp(-(rng.standard_t(4, count) + apart * labels)))


@pytest.mark.parametrize(("error", "share", "threshold"), [(0.1, 0.5, 0.5), (0.05, 0.2, 0.9), (0.2, 0.8, 0.3)])
def test_no_class_is_called_the_other_more_often_than_the_stated_error(
    error: float, share: float, threshold: float
) -> None:
    rng = np.random.default_rng(1)
    missed, alarmed = [], []
    for _ in range(200):
        low, high = conformal.limits(*draw_scores(rng, 120, share), error, threshold)
        labels, scores = draw_scores(rng, 2000, share)
        missed.append((scores[labels == 1] < low).mean())
        alarmed.append((scores[labels == 0] > high).mean())
    for rates in (missed, alarmed):
        assert np.mean(rates) <= error + 2.0 * np.std(rates) / np.sqrt(len(rates))


def test_a_number_never_contradicts_the_threshold() -> None:
    labels, scores = draw_scores(np.random.default_rng(3), 500, 0.5)
    for threshold in (0.01, 0.5, 0.99):
        low, high = conformal.limits(labels, scores, 0.1, threshold)
        assert low <= threshold <= high


def test_of_too_few_films_of_a_class_it_is_never_excluded() -> None:
    labels, scores = np.array([1, 1, 1] + [0] * 50), np.linspace(0.9, 0.1, 53)
    low, high = conformal.limits(labels, scores, 0.1, 0.5)
    assert low == 0.0
    assert not conformal.is_given(np.array([0.0, 0.2]), low, high).any()
    assert high < 1.0


def test_films_at_home_are_judged_by_limits_that_have_not_seen_them() -> None:
    labels = np.array([0, 1] * 20, np.int64)
    scores = np.where(labels == 1, 0.8, 0.2)
    scores[0] = 0.05  # one patient's film lies beyond all others
    patients = [str(index) for index in range(40)]
    assert conformal.measure_given_at_home(labels, scores, patients, 0.1, 0.5)[0]
    assert not conformal.measure_given_at_home(labels, scores, ["one"] * 40, 0.1, 0.5).any()

"""A probability can be taken at its word, or the card says by how much it cannot; and whether acting on it pays."""

import numpy as np
import pytest
from numpy.typing import NDArray

from converters.statistics import calibration, decision, intervals

pytestmark = pytest.mark.usefixtures("few_resamples")

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def honest(count: int = 4000, seed: int = 0) -> tuple[Labels, Scores, list[str]]:
    """Films that are positive exactly as often as is said of them."""
    rng = np.random.default_rng(seed)
    said = rng.uniform(0.02, 0.98, count)
    return (rng.random(count) < said).astype(np.int64), said, [str(index) for index in range(count)]


def test_honest_probabilities_have_no_calibration_error_to_speak_of() -> None:
    labels, said, patients = honest()
    measured = calibration.reliability(labels, said, patients)
    assert measured.ece is not None
    assert measured.ece < 0.03
    assert sum(one.seen.n for one in measured.bins) == len(labels)
    inside = [
        one.seen.interval is not None and one.seen.interval[0] <= one.said <= one.seen.interval[1]
        for one in measured.bins
    ]
    assert sum(inside) >= len(inside) - 1


def test_without_films_nothing_is_said_and_with_one_class_all_is() -> None:
    empty = calibration.reliability(np.array([], np.int64), np.array([]), [])
    assert (empty.ece, empty.brier, empty.bins) == (None, None, ())
    ones = calibration.reliability(np.ones(3, np.int64), np.array([0.5, 0.6, 0.7]), list("abc"))
    assert ones.ece == pytest.approx(0.4)
    assert ones.ece_ci is not None


def test_the_net_benefit_is_the_published_formula() -> None:
    labels, said, patients = honest(500)
    curve = decision.curve(labels, said, patients, thresholds=(0.2,))
    called = said >= 0.2
    hits, alarms = int((called & (labels == 1)).sum()), int((called & (labels == 0)).sum())
    assert curve.model[0] == pytest.approx(hits / 500 - alarms / 500 * 0.2 / 0.8)
    share = labels.mean()
    assert curve.treat_all[0] == pytest.approx(share - (1 - share) * 0.2 / 0.8)
    assert curve.low[0] < curve.model[0] < curve.high[0]


def test_the_decision_curve_is_that_of_films_as_rare_as_at_the_clinic() -> None:
    rng = np.random.default_rng(6)
    labels = (rng.random(30_000) < 0.5).astype(np.int64)
    score = rng.standard_normal(30_000) + 1.5 * labels
    rare = (labels == 0) | (rng.random(30_000) < 1.0 / 9.0)  # of the positives one in nine: a prevalence of a tenth

    def chance(share: float) -> Scores:  # of unit normals 1.5 apart
        return np.asarray(1.0 / (1.0 + (1.0 - share) / share * np.exp(1.125 - 1.5 * score)), dtype=np.float64)

    each = [str(index) for index in range(30_000)]
    cuts = (0.05, 0.1, 0.2)
    weighed = decision.curve(labels, chance(0.1), each, thresholds=cuts, prevalence=0.1)
    left = [name for name, kept in zip(each, rare, strict=True) if kept]
    real = decision.curve(labels[rare], chance(0.1)[rare], left, thresholds=cuts)
    assert weighed.prevalence == 0.1
    assert real.prevalence == pytest.approx(0.1, abs=0.01)
    assert weighed.model == pytest.approx(real.model, abs=0.01)
    assert weighed.treat_all == pytest.approx(real.treat_all, abs=0.01)
    assert weighed.treat_all[0] < decision.curve(labels, chance(0.5), each, thresholds=cuts).treat_all[0] - 0.3


def test_sensitivity_at_a_fixed_specificity_is_the_best_of_all_thresholds() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 300)
    scores: Scores = np.round(rng.standard_normal(300) + 1.2 * labels, 1).astype(np.float64)
    best = 0.0
    for threshold in [*scores, 99.0]:
        sensitivity, specificity = intervals.at_threshold(labels, scores, float(threshold))
        assert sensitivity.value is not None
        assert specificity.value is not None
        if specificity.value >= 0.9:
            best = max(best, sensitivity.value)
    assert intervals.sensitivity_at_specificity(labels, scores, 0.9) == pytest.approx(best)
    assert intervals.sensitivity_at_specificity(np.ones(3, np.int64), np.arange(3.0), 0.9) is None


def test_the_roc_curve_encloses_the_auc() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 200)
    scores: Scores = np.round(rng.standard_normal(200) + labels, 1).astype(np.float64)
    across, up = intervals.roc(labels, scores)
    assert (across[0], up[0], across[-1], up[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert float(np.trapezoid(up, across)) == pytest.approx(intervals.auc(labels, scores))

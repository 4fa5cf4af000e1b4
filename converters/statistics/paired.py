"""Paired differences of two models on the same films: is the small one still as accurate as the original?

AUC and sensitivity at the frozen threshold: the same resamples of whole patients for both models.  DeLong, DeLong &
Clarke-Pearson (1988), in the fast form of Sun & Xu (2014), is reported beside it: it assumes independent films,
which films of one patient are not.  Differences are *small model minus original*.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.statistics.intervals import Z95, Ranked, limits, mean_interval, midranks, resamples


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_list(self) -> list[float]:
        """``[value, low, high]``, four places."""
        return [round(number, 4) for number in (self.value, self.low, self.high)]


def auc(
    labels: NDArray[np.int64],
    original: NDArray[np.float64],
    other: NDArray[np.float64],
    patients: Sequence[str],
    seed: int = 0,
) -> Difference:
    """AUC(other) - AUC(original), whole patients resampled; no number where a logit is none.

    Raises :class:`ValueError` without both classes.
    """
    if not (np.isfinite(original).all() and np.isfinite(other).all()):
        return Difference(math.nan, math.nan, math.nan)
    before, after = Ranked.rank(labels, original), Ranked.rank(labels, other)

    def change(weights: NDArray[np.int64]) -> float | None:
        first, second = before.auc(weights), after.auc(weights)
        return None if first is None or second is None else second - first

    value = change(np.ones(len(labels), dtype=np.int64))
    interval = limits(change(weights) for weights in resamples(labels, patients, seed))
    if value is None or interval is None:
        raise ValueError("a paired AUC needs films of both classes")
    return Difference(value, *interval)


def delong(labels: NDArray[np.int64], original: NDArray[np.float64], other: NDArray[np.float64]) -> Difference:
    """AUC(other) - AUC(original) on the same films. Raises :class:`ValueError` without two films of each class."""
    positive, negative = labels == 1, labels == 0
    m, n = int(positive.sum()), int(negative.sum())
    if m < 2 or n < 2:
        raise ValueError("a paired AUC needs at least two films of each class")
    areas, by_positive, by_negative = [], [], []
    for scores in (original, other):
        among_all = midranks(scores)
        above = (among_all[positive] - midranks(scores[positive])) / n
        below = 1.0 - (among_all[negative] - midranks(scores[negative])) / m
        areas.append(float(above.mean()))
        by_positive.append(above)
        by_negative.append(below)
    spread = np.cov(np.stack(by_positive)) / m + np.cov(np.stack(by_negative)) / n
    contrast = np.array([-1.0, 1.0])
    error = float(np.sqrt(max(float(contrast @ spread @ contrast), 0.0)))
    value = areas[1] - areas[0]
    return Difference(value, value - Z95 * error, value + Z95 * error)


def count_lost_and_won(
    labels: NDArray[np.int64], original: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[int, int]:
    """(positives only the original calls, positives only the other calls)."""
    positive = labels == 1
    return int((positive & original & ~other).sum()), int((positive & ~original & other).sum())


def sensitivity(
    labels: NDArray[np.int64],
    original: NDArray[np.bool_],
    other: NDArray[np.bool_],
    patients: Sequence[str],
    seed: int = 0,
) -> Difference:
    """Sensitivity(other) - sensitivity(original), whole patients resampled. Raises :class:`ValueError` without one."""
    positive = labels == 1
    if not positive.any():
        raise ValueError("a sensitivity needs a positive film")
    change = (other.astype(np.float64) - original)[positive]
    of_positives = [patient for patient, inside in zip(patients, positive, strict=True) if inside]
    return Difference(float(change.mean()), *mean_interval(change, of_positives, seed))

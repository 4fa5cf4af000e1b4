"""Is the small model still as right as the original?  Both have judged the same films, so the films are paired.

AUC: DeLong, DeLong & Clarke-Pearson (1988), in the fast form of Sun & Xu (2014).  Sensitivity at the frozen threshold:
the discordant positives, with a bootstrap over patients.  Differences are *small model minus original*.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.statistics import Z95, midranks

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_list(self) -> list[float]:
        """``[value, low, high]``, four places."""
        return [round(number, 4) for number in (self.value, self.low, self.high)]


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


def lost_and_won(labels: NDArray[np.int64], original: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """(positives only the original calls, positives only the other calls)."""
    positive = labels == 1
    return int((positive & original & ~other).sum()), int((positive & ~original & other).sum())


def sensitivity(
    labels: NDArray[np.int64], original: NDArray[np.bool_], other: NDArray[np.bool_], patients: Sequence[str],
    seed: int = 0,
) -> Difference:  # fmt: skip
    """Sensitivity(other) - sensitivity(original), whole patients resampled. Raises :class:`ValueError` without one."""
    positive = labels == 1
    if not positive.any():
        raise ValueError("a sensitivity needs a positive film")
    change = (other.astype(np.float64) - original)[positive]
    _, person = np.unique(np.asarray(patients)[positive], return_inverse=True)
    people = int(person.max()) + 1
    total, count = np.bincount(person, change, people), np.bincount(person, minlength=people)
    drawn = np.random.default_rng(seed).integers(0, people, (RESAMPLES, people))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Difference(float(change.mean()), float(low), float(high))

"""Numbers for targets that are more than yes or no: macro AUC, agreement of grades, error of a measurement.

Each with its 95 % interval, whole patients resampled (:mod:`converters.statistics.intervals`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.statistics import intervals

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number beside those of the first finding: ``name`` (``auc``, ``kappa`` …), and what it is ``of``, a finding's
    code, or the empty word where it is of all; ``None`` where it does not exist."""

    name: str
    of: str
    value: float | None
    interval: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, as in a manifest."""
        return {"name": self.name, "of": self.of, "value": self.value, "interval": self.interval}


def macro_auc(
    labels: NDArray[np.int64], scores: NDArray[np.float64], patients: Sequence[str]
) -> tuple[float | None, Interval | None]:
    """The mean over the columns of (N, K) labels of their AUC, each against the rest; ``None`` without both classes of
    one of them."""
    areas = [intervals.auc(labels[:, k], scores[:, k]) for k in range(labels.shape[1])]
    known = [area for area in areas if area is not None]
    if not known or len(known) < len(areas):
        return None, None
    ranked = [intervals.Ranked.rank(labels[:, k], scores[:, k]) for k in range(labels.shape[1])]

    def mean_auc(weights: NDArray[np.int64]) -> float | None:
        each = [area for area in (one.auc(weights) for one in ranked) if area is not None]
        return float(np.mean(each)) if len(each) == len(ranked) else None

    kinds = (labels.sum(axis=1) > 0).astype(np.int64)
    return float(np.mean(known)), intervals.limits(
        mean_auc(weights) for weights in intervals.resamples(kinds, patients)
    )


def quadratic_kappa(
    truth: NDArray[np.int64], given: NDArray[np.int64], grades: int, weights: NDArray[np.int64] | None = None
) -> float | None:
    """Cohen's kappa with quadratic weights (Cohen 1968) of grades 0 … ``grades - 1``; ``None`` where chance alone would
    agree wholly, as with a single grade. ``weights``: how often each film counts."""
    counted = np.ones(len(truth)) if weights is None else weights.astype(np.float64)
    seen = np.zeros((grades, grades))
    np.add.at(seen, (truth, given), counted)
    apart = (np.arange(grades)[:, None] - np.arange(grades)[None]) ** 2
    by_chance = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / max(float(seen.sum()), 1.0)
    expected = float((apart * by_chance).sum())
    return 1.0 - float((apart * seen).sum()) / expected if expected > 0.0 else None


def kappa(
    truth: NDArray[np.int64], given: NDArray[np.int64], grades: int, patients: Sequence[str]
) -> tuple[float | None, Interval | None]:
    """:func:`quadratic_kappa` with its interval."""
    value = quadratic_kappa(truth, given, grades)
    if value is None:
        return None, None
    drawn = (
        quadratic_kappa(truth, given, grades, weights)
        for weights in intervals.resamples(np.zeros(len(truth), dtype=np.int64), patients)
    )
    return value, intervals.limits(drawn)


def mean_absolute_error(
    truth: NDArray[np.float64], given: NDArray[np.float64], patients: Sequence[str]
) -> tuple[float, Interval]:
    """The mean of |given - truth|, in the unit of both, and its interval; needs a film."""
    off = np.abs(given - truth)
    return float(off.mean()), intervals.mean_interval(off, patients)

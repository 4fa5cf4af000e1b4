"""Calibration of probabilities: Brier score, expected calibration error, and the reliability of each bin.

Brier (1950): the mean squared distance of probability and label.  ECE (Naeini et al. 2015): the mean distance of
predicted and observed frequency over ten bins, each weighted by its films.  Bins hold equally many films, since a small
data set leaves most bins of equal width empty (Nixon et al. 2019).  Intervals are 95 %: a bin's frequency by Wilson,
the two scores by a bootstrap over patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.statistics.intervals import Rate, limits, resamples

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Films of similar probability: the mean prediction ``said``, and the share ``seen`` that is positive."""

    said: float
    seen: Rate

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        interval = self.seen.interval or (0.0, 1.0)
        return {
            "said": round(self.said, 4),
            "seen": round(self.seen.value or 0.0, 4),
            "n": self.seen.n,
            "ci": [round(one, 4) for one in interval],
        }


@dataclass(frozen=True, slots=True)
class Reliability:
    """The calibration of one set of probabilities; ``None`` where there is no film."""

    bins: tuple[Bin, ...]
    ece: float | None
    ece_ci: tuple[float, float] | None
    brier: float | None
    brier_ci: tuple[float, float] | None


def reliability(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], patients: Sequence[str], seed: int = 0
) -> Reliability:
    """Reliability bins, ECE and Brier score of ``probabilities`` (N,) on films with these ``labels``."""
    if not len(labels):
        return Reliability((), None, None, None, None)
    place = places(probabilities)
    squares = (probabilities - labels) ** 2
    errors, briers = [], []
    for weights in resamples(labels, patients, seed):
        errors.append(expected_calibration_error(labels, probabilities, place, weights))
        briers.append(float(weights @ squares / weights.sum()))
    plain = np.ones(len(labels), dtype=np.int64)
    bins = tuple(
        Bin(float(probabilities[place == one].mean()), Rate(int(labels[place == one].sum()), int((place == one).sum())))
        for one in np.unique(place)
    )
    return Reliability(
        bins,
        expected_calibration_error(labels, probabilities, place, plain),
        limits(errors),
        float(squares.mean()),
        limits(briers),
    )


def places(probabilities: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each film, (N,): equally many films in each, films of one probability always together."""
    edges = np.quantile(probabilities, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    return np.searchsorted(np.unique(edges), probabilities, side="left").astype(np.int64)


def expected_calibration_error(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], place: NDArray[np.int64], weights: NDArray[np.int64]
) -> float:
    """The expected calibration error when each film counts ``weights`` times."""
    gap = np.bincount(place, weights * (labels - probabilities))
    return float(np.abs(gap).sum() / weights.sum())

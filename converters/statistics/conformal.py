"""Limits of probability between which a film gets no number: class-conditional split-conformal prediction.

A class belongs to a film's prediction set where its probability is not among the ``error`` most unlikely ones of the
class's own films (Vovk, Gammerman & Shafer 2005, "Mondrian" conformal prediction). A set of both classes, or of none,
is no answer. For films that are exchangeable with those of the fit a class is missed in at most a share ``error`` of
its films, whatever the network and the prevalence; for films of another place nothing is promised.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PARTS = 5
DIGITS = 6


def limits(
    labels: NDArray[np.int64], scores: NDArray[np.float64], error: float, threshold: float
) -> tuple[float, float]:
    """(low, high): a film has one class alone in its set, that which ``threshold`` says, below low or above high.

    ``scores`` (N,) are probabilities of films that no network learnt from. Of a class with fewer than ``1 / error - 1``
    films nothing can be said; then the limit is 0 or 1. Both are rounded away from each other.
    """
    least_positive = _quantile(np.sort(scores[labels == 1]), error)
    most_negative = 1.0 - _quantile(np.sort(1.0 - scores[labels == 0]), error)
    low, high = min(least_positive, most_negative, threshold), max(least_positive, most_negative, threshold)
    unit = 10.0**DIGITS
    return math.floor(low * unit) / unit, math.ceil(high * unit) / unit


def _quantile(ordered: NDArray[np.float64], error: float) -> float:
    """The value below which at most a share ``error`` of films like these lies, a new one counted among them."""
    place = math.floor(error * (len(ordered) + 1) + 1e-9)
    return float(ordered[place - 1]) if place else 0.0


def is_given(scores: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    """(N,): which films get a number."""
    return (scores < low) | (scores > high)


def measure_given_at_home(
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    patients: Sequence[str],
    error: float,
    threshold: float,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """(N,): which films would get a number by limits from the other parts' films; a patient lies in one part."""
    named = sorted(set(patients))
    order = np.random.default_rng(seed).permutation(len(named))
    part_of = {named[int(index)]: place % PARTS for place, index in enumerate(order)}
    parts = np.array([part_of[patient] for patient in patients])
    out = np.zeros(len(labels), dtype=bool)
    for part in sorted(set(parts.tolist())):
        own = parts == part
        low, high = limits(labels[~own], scores[~own], error, threshold)
        out[own] = is_given(scores[own], low, high)
    return out

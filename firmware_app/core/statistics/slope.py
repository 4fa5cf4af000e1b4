"""How steeply the truth follows the score: a logistic regression, and the AUC that its slope means.

Films are confirmed with a probability that depends on their score alone, so P(truth | score) is that of all films, and
a regression on the confirmed ones needs no weights.  That makes much more of a hundred films than weighted ranks do, at
the price of a form: the logit of the truth is a straight line in the normal quantile of the score's rank among the
films read.  Only `core.statistics.floor` uses it, where a decision must be made early.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import Final

from firmware_app.core.statistics.confirmed import FilmRead

_STEPS: Final = 50
_RIDGE: Final = 0.05
"""Of a normal prior around a slope of 0, as a precision: films that are separated wholly would have an infinite one."""
_POINTS: Final = tuple(NormalDist().inv_cdf((place + 0.5) / 200) for place in range(200))


@dataclass(frozen=True, slots=True)
class Slope:
    """The regression's intercept and slope, and the standard error of the slope."""

    intercept: float
    slope: float
    error: float

    @property
    def auc(self) -> float:
        """The AUC that they mean for films of every score, a normal quantile each."""
        positive = [1.0 / (1.0 + math.exp(-self.intercept - self.slope * point)) for point in _POINTS]
        below = wins = 0.0
        for share in positive:  # from the lowest score to the highest
            wins += share * (below + (1.0 - share) / 2.0)
            below += 1.0 - share
        whole = sum(positive) * below
        return wins / whole if whole > 0.0 else 0.5


def fitted(films: Sequence[FilmRead], wrong: float = 0.0, slope: float | None = None) -> Slope | None:
    """The regression of the confirmed of *films*; with *slope* only its intercept is free.

    Of the truths by a doctor's eye the share *wrong* is not right.  ``None`` while a class is absent.
    """
    quantiles = _quantiles([film.score for film in films])
    known = [
        (quantiles[film.score], film.truth, wrong if film.by_eye else 0.0) for film in films if film.truth is not None
    ]
    if len({truth for _, truth, _ in known}) < 2:
        return None
    a, b = 0.0, slope or 0.0
    for _ in range(_STEPS):
        ga, gb, haa, hab, hbb = 0.0, -_RIDGE * b, 1e-9, 0.0, _RIDGE
        for z, truth, error in known:
            p = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, a + b * z))))
            q = error + (1.0 - 2.0 * error) * p
            steep = (1.0 - 2.0 * error) * p * (1.0 - p)
            score = (truth - q) / (q * (1.0 - q)) * steep
            weight = steep * steep / (q * (1.0 - q))  # Fisher's information
            ga, gb = ga + score, gb + score * z
            haa, hab, hbb = haa + weight, hab + weight * z, hbb + weight * z * z
        if slope is not None:
            step_a, step_b = ga / haa, 0.0
        else:
            determinant = haa * hbb - hab * hab
            step_a, step_b = (hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant
        largest = max(abs(step_a), abs(step_b))
        scale = 1.0 if largest <= 1.0 else 1.0 / largest
        a, b = a + scale * step_a, b + scale * step_b
        if largest < 1e-6:
            break
    return Slope(a, b, math.sqrt(haa / (haa * hbb - hab * hab)) if slope is None else 0.0)


def _quantiles(scores: Sequence[float]) -> dict[float, float]:
    """The normal quantile of the middle rank of each score; ties share theirs."""
    found, below = {}, 0
    for score, tied in groupby(sorted(scores)):
        count = len(list(tied))
        found[score] = NormalDist().inv_cdf((below + count / 2.0) / len(scores))
        below += count
    return found


@dataclass(frozen=True, slots=True)
class Bounds:
    """An AUC, and what it is with the slope some standard errors lower and higher."""

    auc: float
    low: float
    high: float


def bounds(films: Sequence[FilmRead], z: float, wrong: float = 0.0) -> Bounds | None:
    """The AUC of *films* with its bounds, the slope *z* standard errors away; ``None`` while a class is absent."""
    best = fitted(films, wrong)
    if best is None:
        return None
    ends = [fitted(films, wrong, best.slope + side * z * best.error) for side in (-1.0, 1.0)]
    low, high = (one.auc if one is not None else best.auc for one in ends)
    return Bounds(best.auc, low, high)

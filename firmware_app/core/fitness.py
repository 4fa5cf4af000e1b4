"""Two rules that decide, after each confirmation, when a model does too badly at a clinic to go on giving numbers.

- **Early**: a sequential test of "the AUC is `FIT` or more".  At each of the numbers of confirmed images in `LOOKS`,
  and every `LATER` after that, the model is unfit if the upper bound of its AUC, `EARLY_Z` standard errors up, is
  below.
- **Floor**: with `FLOOR_POSITIVES` effective confirmed positives, a lower 95 % bound of the AUC below `FLOOR`.

Both take the AUC from a logistic regression and allow for a share of wrong readings among those by a doctor's eye.
docs/decisions/local-calibration.md says how the numbers were chosen and what they cost.

The regression says how steeply the truth follows the score, and its slope means an AUC.  Images are confirmed with a
probability that depends on their score alone, so P(truth | score) is that of all images, and a regression on the
confirmed ones needs no weights.  That makes much more of a hundred images than weighted ranks do, at the price of a
form: the logit of the truth is a straight line in the normal quantile of the score's rank among the images read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from statistics import NormalDist
from typing import Final

from firmware_app.core.accuracy import Z95
from firmware_app.core.clinic_accuracy import ScoredImage, compute_clinic_auc

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


def fit_slope(images: Sequence[ScoredImage], wrong: float = 0.0, slope: float | None = None) -> Slope | None:
    """The regression of the confirmed of *images*; with *slope* only its intercept is free.

    Of the truths by a doctor's eye the share *wrong* is not right.  ``None`` while a class is absent.
    """
    quantiles = _quantiles([image.score for image in images])
    known = [
        (quantiles[image.score], image.truth, wrong if image.by_eye else 0.0)
        for image in images
        if image.truth is not None
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
class AucBounds:
    """An AUC, and what it is with the slope some standard errors lower and higher."""

    auc: float
    low: float
    high: float


def estimate_auc_bounds(images: Sequence[ScoredImage], z: float, wrong: float = 0.0) -> AucBounds | None:
    """The AUC of *images* with its bounds, the slope *z* standard errors away; ``None`` while a class is absent."""
    best = fit_slope(images, wrong)
    if best is None:
        return None
    ends = [fit_slope(images, wrong, best.slope + side * z * best.error) for side in (-1.0, 1.0)]
    low, high = (end.auc if end is not None else best.auc for end in ends)
    return AucBounds(best.auc, low, high)


FIT: Final = 0.75
LOOKS: Final = (60, 80, 100)
LATER: Final = 100
EARLY_Z: Final = 1.0
LATE_Z: Final = 2.5
"""The same for the looks after those: there is no end of them, so each may only rarely be wrong."""
FLOOR: Final = 0.65
FLOOR_POSITIVES: Final = 50.0
WRONG: Final = 0.06
"""The share of wrong readings that the early rule allows for.  More would let an unfit model go on, less would suspend
fit ones where the finding is rare."""
FLOOR_WRONG: Final = 0.08
"""The same for the floor, where more films are known and there is less hurry."""


class FitnessRule(StrEnum):
    """The rule by which a model is unfit."""

    EARLY = "early"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class UnfitModel:
    """Why a model is unfit: the rule, and the AUC with the bounds that the rule has looked at."""

    rule: FitnessRule
    auc: AucBounds


def count_looks(confirmed: int) -> int:
    """How often the early rule has looked by this number of confirmed films."""
    return sum(look <= confirmed for look in LOOKS) + max(0, confirmed - LOOKS[-1]) // LATER


def check_fitness(images: Sequence[ScoredImage], before: int) -> UnfitModel | None:
    """Why the model is unfit after the confirmed of *images*; ``None`` while it may go on.

    *before*: how many were confirmed when this was asked last.  The early rule looks at certain numbers of confirmed
    films only, each once; where several were passed together it looks once.
    """
    confirmed = sum(image.truth is not None for image in images)
    if count_looks(confirmed) > count_looks(before):
        found = estimate_auc_bounds(images, EARLY_Z if before < LOOKS[-1] else LATE_Z, WRONG)
        if found is not None and found.high < FIT:
            return UnfitModel(FitnessRule.EARLY, found)
    area = compute_clinic_auc(images)
    if area is not None and area.positives >= FLOOR_POSITIVES:
        found = estimate_auc_bounds(images, Z95, FLOOR_WRONG)
        if found is not None and found.low < FLOOR:
            return UnfitModel(FitnessRule.FLOOR, found)
    return None

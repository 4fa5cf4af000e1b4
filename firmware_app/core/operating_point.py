"""Operating points: what each threshold costs a clinic, and how a threshold moves to a new imaging device.

The cost of a threshold is, for 1000 images, the missed cases times what a miss costs in needless referrals, plus the
needless referrals.  How sure the best threshold is comes from a Bayesian bootstrap (Rubin 1981): each confirmed image
gets a random weight beside its own, and the best threshold is sought again.

A new device moves a network's log odds and stretches them, for images with and without the finding alike.  So a limit
can be standardised from the scores of unlabelled images alone.  At home it lies so many spreads from the mean of the
scores; on the device it is put as many spreads from the mean of its own.  The scores at home are mixed at the
prevalence that the pack assumes at a clinic, so that a home where the finding is common does not pass for a shift.  How
far a limit may move is bounded, since few images, and a prevalence other than the assumed one, move the mean too
(docs/decisions/local-calibration.md).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from firmware_app.core.accuracy import WeightedImage
from firmware_app.core.clinic_accuracy import ScoredImage, weight_confirmed

_DRAWS: Final = 300
_MOST_WEIGHTS: Final = 300_000
"""Drawn together at most, so that a page does not wait: 1,000 films get all draws, 5,000 get 60."""
_SEED: Final = 18
LEAST_CONFIRMED: Final = 10
"""Confirmed films with the finding, and as many without: below that no threshold is suggested."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What one threshold means, per 1000 films of the clinic.

    `missed` cases lie below it, `referred` films lie above, of which `needless` do not show the finding.
    """

    threshold: float
    sensitivity: float
    specificity: float
    missed: float
    referred: float
    needless: float


@dataclass(frozen=True, slots=True)
class ThresholdSuggestion:
    """The threshold that costs least, and the range that holds the best one with 95 % probability.

    `cost` and `cost_now` are in needless referrals per 1000 films, at the suggested threshold and at the one in use.
    `saving_low` and `saving_high` bound their difference: while 0 lies between them, the films do not yet say that the
    suggestion is better.
    """

    threshold: float
    low: float
    high: float
    sensitivity: float
    specificity: float
    cost: float
    cost_now: float
    saving_low: float
    saving_high: float


def threshold_curve(images: Sequence[ScoredImage], prevalence: float | None = None) -> tuple[CurvePoint, ...]:
    """Every threshold that tells confirmed films apart, the lowest first; empty while a class is absent.

    *prevalence* replaces that of the confirmed films.
    """
    known = weight_confirmed(images)
    return tuple(_curve_points(known, prevalence))


def evaluate_threshold(
    images: Sequence[ScoredImage], threshold: float, prevalence: float | None = None
) -> CurvePoint | None:
    """What *threshold* means, as a point of `threshold_curve`; ``None`` while a class is absent."""
    return _point_at(weight_confirmed(images), threshold, prevalence)


def suggest_threshold(
    images: Sequence[ScoredImage], miss_costs: float, prevalence: float | None, threshold: float
) -> ThresholdSuggestion | None:
    """The threshold that costs least where a missed case is as bad as *miss_costs* needless referrals.

    *threshold* is the one in use.  ``None`` with fewer than `LEAST_CONFIRMED` films of either kind.  Raises
    `ValueError` for a cost that is not positive or a prevalence outside (0, 1).
    """
    if miss_costs <= 0.0 or not (prevalence is None or 0.0 < prevalence < 1.0):
        raise ValueError("a cost is above 0, a prevalence between 0 and 1")
    known = weight_confirmed(images)
    if min(sum(image.positive is kind for image in known) for kind in (True, False)) < LEAST_CONFIRMED:
        return None
    best, now = _find_cheapest(known, miss_costs, prevalence), _point_at(known, threshold, prevalence)
    rng = random.Random(_SEED)
    thresholds, savings = [], []
    for _ in range(min(_DRAWS, _MOST_WEIGHTS // len(known))):
        drawn = [WeightedImage(image.score, image.positive, image.weight * rng.expovariate(1.0)) for image in known]
        thresholds.append(_find_cheapest(drawn, miss_costs, prevalence).threshold)
        before, after = _point_at(drawn, threshold, prevalence), _point_at(drawn, best.threshold, prevalence)
        savings.append(_cost(before, miss_costs) - _cost(after, miss_costs) if before and after else 0.0)
    low, high = _middle_range(thresholds)
    saving_low, saving_high = _middle_range(savings)
    return ThresholdSuggestion(
        threshold=best.threshold,
        low=min(low, best.threshold),
        high=max(high, best.threshold),
        sensitivity=best.sensitivity,
        specificity=best.specificity,
        cost=_cost(best, miss_costs),
        cost_now=_cost(now, miss_costs) if now else 0.0,
        saving_low=saving_low,
        saving_high=saving_high,
    )


def _find_cheapest(images: Sequence[WeightedImage], miss_costs: float, prevalence: float | None) -> CurvePoint:
    return min(_curve_points(images, prevalence), key=lambda point: _cost(point, miss_costs))


def _cost(point: CurvePoint, miss_costs: float) -> float:
    return miss_costs * point.missed + point.needless


def _curve_points(images: Sequence[WeightedImage], prevalence: float | None) -> Iterator[CurvePoint]:
    """A point for each gap between two scores, and those below the lowest and above the highest."""
    with_it, without = _sum_class_weights(images)
    if not with_it or not without:
        return
    missed = spared = before = 0.0  # weight of the films below the threshold, and their highest score
    for score, tied in groupby(sorted(images, key=lambda image: image.score), key=lambda image: image.score):
        yield _point((before + score) / 2.0, missed, spared, (with_it, without), prevalence)
        for image in tied:
            missed, spared = missed + image.weight * image.positive, spared + image.weight * (not image.positive)
        before = score
    yield _point((before + 1.0) / 2.0, missed, spared, (with_it, without), prevalence)


def _point_at(images: Sequence[WeightedImage], threshold: float, prevalence: float | None) -> CurvePoint | None:
    classes = _sum_class_weights(images)
    if not classes[0] or not classes[1]:
        return None
    below = [image for image in images if image.score < threshold]
    return _point(threshold, *_sum_class_weights(below), classes, prevalence)


def _sum_class_weights(images: Sequence[WeightedImage]) -> tuple[float, float]:
    """The weight of the films with the finding, and of those without."""
    positive = sum(image.weight for image in images if image.positive)
    return positive, sum(image.weight for image in images if not image.positive)


def _point(
    threshold: float, missed: float, spared: float, classes: tuple[float, float], prevalence: float | None
) -> CurvePoint:
    with_it, without = classes
    share = with_it / (with_it + without) if prevalence is None else prevalence
    sensitivity, specificity = 1.0 - missed / with_it, spared / without
    needless = 1000.0 * (1.0 - share) * (1.0 - specificity)
    return CurvePoint(
        threshold=threshold,
        sensitivity=sensitivity,
        specificity=specificity,
        missed=1000.0 * share * (1.0 - sensitivity),
        referred=needless + 1000.0 * share * sensitivity,
        needless=needless,
    )


def _middle_range(values: Sequence[float]) -> tuple[float, float]:
    """The middle 95 %."""
    ordered = sorted(values)
    return ordered[round(0.025 * (len(ordered) - 1))], ordered[round(0.975 * (len(ordered) - 1))]


COUNTS: Final = (50, 100, 200)
"""After so many films of a machine its limits are set; after the last of them they stay."""
MOST_MOVED: Final = 1.0
"""How far a limit may move, in log odds."""
MOST_STRETCHED: Final = 2.0
"""The largest ratio of the two spreads that counts; the smallest is its inverse."""
_NEAREST_TO_CERTAIN: Final = 1e-12


@dataclass(frozen=True, slots=True)
class LogOdds:
    """The mean and the standard deviation of the log odds of films."""

    mean: float
    spread: float

    @classmethod
    def from_probabilities(cls, probabilities: Sequence[float]) -> LogOdds:
        """Those of films with these *probabilities*, at least one."""
        values = [log_odds(probability) for probability in probabilities]
        mean = math.fsum(values) / len(values)
        return cls(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)))


def standardise_limit(limit: float, home: LogOdds, here: LogOdds) -> float:
    """*limit*, in log odds, as far from the mean *here*, in spreads, as from that at *home*; within the bounds.

    Limits keep their order.
    """
    stretched = min(max(here.spread / home.spread, 1.0 / MOST_STRETCHED), MOST_STRETCHED)
    moved = here.mean + (limit - home.mean) * stretched
    return min(max(moved, limit - MOST_MOVED), limit + MOST_MOVED)


def standardise_probability(limit: float, home: LogOdds, here: LogOdds) -> float:
    """`standardise_limit` of a limit that is a probability; 0 and 1 stay."""
    if not 0.0 < limit < 1.0:
        return limit
    return 1.0 / (1.0 + math.exp(-standardise_limit(log_odds(limit), home, here)))


def usable_count(images: int) -> int:
    """How many of the first *images* of a machine its limits rest on: one of `COUNTS`, or 0."""
    return max((count for count in COUNTS if count <= images), default=0)


def log_odds(probability: float) -> float:
    """ln(p / (1 - p)), kept away from certainty."""
    kept = min(max(probability, _NEAREST_TO_CERTAIN), 1.0 - _NEAREST_TO_CERTAIN)
    return math.log(kept / (1.0 - kept))

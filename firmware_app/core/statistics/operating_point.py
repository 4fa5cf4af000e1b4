"""What each threshold would cost a clinic, and which one costs it least, by its own confirmed films.

The cost of a threshold is, for 1000 films, the missed cases times what a miss costs in needless referrals, plus the
needless referrals.  How sure the best threshold is comes from a Bayesian bootstrap (Rubin 1981): each confirmed film
gets a random weight beside its own, and the best threshold is sought again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from firmware_app.core.statistics.area import Weighted
from firmware_app.core.statistics.confirmed import FilmRead, weighted

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
class Suggestion:
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


def curve(films: Sequence[FilmRead], prevalence: float | None = None) -> tuple[CurvePoint, ...]:
    """Every threshold that tells confirmed films apart, the lowest first; empty while a class is absent.

    *prevalence* replaces that of the confirmed films.
    """
    known = weighted(films)
    return tuple(_points(known, prevalence))


def at_threshold(films: Sequence[FilmRead], threshold: float, prevalence: float | None = None) -> CurvePoint | None:
    """What *threshold* means, as a point of `curve`; ``None`` while a class is absent."""
    return _at(weighted(films), threshold, prevalence)


def suggested(
    films: Sequence[FilmRead], miss_costs: float, prevalence: float | None, threshold: float
) -> Suggestion | None:
    """The threshold that costs least where a missed case is as bad as *miss_costs* needless referrals.

    *threshold* is the one in use.  ``None`` with fewer than `LEAST_CONFIRMED` films of either kind.  Raises
    `ValueError` for a cost that is not positive or a prevalence outside (0, 1).
    """
    if miss_costs <= 0.0 or not (prevalence is None or 0.0 < prevalence < 1.0):
        raise ValueError("a cost is above 0, a prevalence between 0 and 1")
    known = weighted(films)
    if min(sum(film.positive is kind for film in known) for kind in (True, False)) < LEAST_CONFIRMED:
        return None
    best, now = _cheapest(known, miss_costs, prevalence), _at(known, threshold, prevalence)
    rng = random.Random(_SEED)
    thresholds, savings = [], []
    for _ in range(min(_DRAWS, _MOST_WEIGHTS // len(known))):
        drawn = [Weighted(film.score, film.positive, film.weight * rng.expovariate(1.0)) for film in known]
        thresholds.append(_cheapest(drawn, miss_costs, prevalence).threshold)
        before, after = _at(drawn, threshold, prevalence), _at(drawn, best.threshold, prevalence)
        savings.append(_cost(before, miss_costs) - _cost(after, miss_costs) if before and after else 0.0)
    low, high = _middle(thresholds)
    saving_low, saving_high = _middle(savings)
    return Suggestion(
        best.threshold,
        min(low, best.threshold),
        max(high, best.threshold),
        best.sensitivity,
        best.specificity,
        _cost(best, miss_costs),
        _cost(now, miss_costs) if now else 0.0,
        saving_low,
        saving_high,
    )


def _cheapest(films: Sequence[Weighted], miss_costs: float, prevalence: float | None) -> CurvePoint:
    return min(_points(films, prevalence), key=lambda point: _cost(point, miss_costs))


def _cost(point: CurvePoint, miss_costs: float) -> float:
    return miss_costs * point.missed + point.needless


def _points(films: Sequence[Weighted], prevalence: float | None) -> Iterator[CurvePoint]:
    """A point for each gap between two scores, and those below the lowest and above the highest."""
    with_it, without = _classes(films)
    if not with_it or not without:
        return
    missed = spared = before = 0.0  # weight of the films below the threshold, and their highest score
    for score, tied in groupby(sorted(films, key=lambda film: film.score), key=lambda film: film.score):
        yield _point((before + score) / 2.0, missed, spared, (with_it, without), prevalence)
        for film in tied:
            missed, spared = missed + film.weight * film.positive, spared + film.weight * (not film.positive)
        before = score
    yield _point((before + 1.0) / 2.0, missed, spared, (with_it, without), prevalence)


def _at(films: Sequence[Weighted], threshold: float, prevalence: float | None) -> CurvePoint | None:
    classes = _classes(films)
    if not classes[0] or not classes[1]:
        return None
    below = [film for film in films if film.score < threshold]
    return _point(threshold, *_classes(below), classes, prevalence)


def _classes(films: Sequence[Weighted]) -> tuple[float, float]:
    """The weight of the films with the finding, and of those without."""
    positive = sum(film.weight for film in films if film.positive)
    return positive, sum(film.weight for film in films if not film.positive)


def _point(
    threshold: float, missed: float, spared: float, classes: tuple[float, float], prevalence: float | None
) -> CurvePoint:
    with_it, without = classes
    share = with_it / (with_it + without) if prevalence is None else prevalence
    sensitivity, specificity = 1.0 - missed / with_it, spared / without
    needless = 1000.0 * (1.0 - share) * (1.0 - specificity)
    return CurvePoint(
        threshold,
        sensitivity,
        specificity,
        1000.0 * share * (1.0 - sensitivity),
        needless + 1000.0 * share * sensitivity,
        needless,
    )


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """The middle 95 %."""
    ordered = sorted(values)
    return ordered[round(0.025 * (len(ordered) - 1))], ordered[round(0.975 * (len(ordered) - 1))]

"""Shares of images and the AUC, with their 95 % intervals.

An image that stands for several (it was confirmed with a probability below 1) counts as often as its weight says.  The
interval of a share is Wilson's (1927).  That of the AUC is Newcombe's (2006, Statist. Med. 25:559, method 5): a score
interval with the variance of Hanley & McNeil (1982), which holds for small numbers and an area of 1 too.  Weights make
images count less than they are: the effective number of a class is Kish's (1965), (sum of weights)² / (sum of squared
weights).

Pure functions of numbers, in plain Python: reader and viewer use them, and these load no numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

Z95: Final = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""

Interval = tuple[float, float]


def compute_wilson_interval(share: float, n: float, z: float = Z95) -> Interval:
    """Wilson (1927) score interval of *share* of *n* films; *n* > 0 may be an effective number, and no whole one."""
    z2 = z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``n``, as a fraction; ``None`` where ``n`` is 0.

    ``interval`` takes the films for independent: where several are of one patient it is too narrow.
    """

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        """The fraction."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Wilson (1927) score interval, 95 %."""
        return compute_wilson_interval(self.hits / self.n, self.n) if self.n else None


@dataclass(frozen=True, slots=True)
class WeightedImage:
    """One film: its score, whether it shows the finding, and for how many films it stands."""

    score: float
    positive: bool
    weight: float


@dataclass(frozen=True, slots=True)
class Auc:
    """An AUC, and the effective numbers of films with and without the finding behind it.

    `spread`: by what factor DeLong's variance is larger than that of so many unweighted films; at least 1.
    """

    value: float
    positives: float
    negatives: float
    spread: float = 1.0

    @property
    def interval(self) -> Interval:
        """95 %."""
        return _auc_bound(self, -1.0, Z95), _auc_bound(self, 1.0, Z95)

    def deviation(self, area: float) -> float:
        """The standard deviation of an estimate from as many films where the true area is *area*."""
        m, n = self.positives, self.negatives
        either = (1.0 - area) / (2.0 - area) + area / (1.0 + area)
        inflation = 1.0 + max(0.0, (m + n) / 2.0 - 1.0) * either
        return math.sqrt(max(area * (1.0 - area) * inflation * self.spread / (m * n), 0.0))


def compute_weighted_auc(images: Sequence[WeightedImage]) -> Auc | None:
    """The AUC (Mann-Whitney, ties count half) of *images*; ``None`` when a class is absent."""
    with_it, without = (sum(image.weight for image in images if image.positive is kind) for kind in (True, False))
    if not with_it or not without:
        return None
    placed = _rank_images(images, with_it, without)
    value = sum(weight * place for positive, weight, place in placed if positive) / with_it
    plain = Auc(value, _count_effective(images, True), _count_effective(images, False))
    delong = sum(
        (weight * (place - value) / (with_it if positive else without)) ** 2 for positive, weight, place in placed
    )
    expected = plain.deviation(value) ** 2
    return replace(plain, spread=max(1.0, delong / expected)) if expected > 0.0 else plain


def _rank_images(images: Sequence[WeightedImage], with_it: float, without: float) -> list[tuple[bool, float, float]]:
    """(positive, weight, share of the other class that the film is on the right side of) for each film, ties half."""
    ordered = sorted(images, key=lambda image: image.score)
    placed: list[tuple[bool, float, float]] = []
    positives = negatives = 0.0  # weight met so far
    for _, tied in groupby(ordered, key=lambda image: image.score):
        group = list(tied)
        more, fewer = (sum(image.weight for image in group if image.positive is kind) for kind in (True, False))
        above, below = 1.0 - (positives + more / 2.0) / with_it, (negatives + fewer / 2.0) / without
        placed += [(image.positive, image.weight, below if image.positive else above) for image in group]
        positives, negatives = positives + more, negatives + fewer
    return placed


def _count_effective(images: Sequence[WeightedImage], positive: bool) -> float:
    weights = [image.weight for image in images if image.positive is positive]
    return sum(weights) ** 2 / sum(weight * weight for weight in weights)


def _auc_bound(one: Auc, side: float, z: float) -> float:
    """Where the estimate lies *z* standard deviations of that place away, on one *side*; by bisection."""
    inner, outer = one.value, 0.0 if side < 0.0 else 1.0
    for _ in range(50):
        middle = (inner + outer) / 2.0
        if abs(middle - one.value) <= z * one.deviation(middle):
            inner = middle
        else:
            outer = middle
    return inner

"""The numbers of a card: AUC, sensitivity, specificity, each with a 95 % interval, and the calibration fit.

Films of one patient resemble each other, so every bootstrap resamples whole patients: an interval that takes films for
independent is too narrow.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.accuracy import Z95 as Z95
from firmware_app.core.accuracy import Rate as Rate

RESAMPLES = 2000


def midranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties share their mean."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    _, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    ranks = np.empty(len(scores), dtype=np.float64)
    ranks[order] = np.repeat(first + (counts + 1) / 2.0, counts)
    return ranks


def auc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float | None:
    """Area under the ROC curve (Mann-Whitney, ties count half); ``None`` when a class is absent."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    above = midranks(scores)[labels == 1].sum() - positives * (positives + 1) / 2.0
    return float(above / (positives * negatives))


def auc_interval(
    labels: NDArray[np.int64], scores: NDArray[np.float64], groups: Sequence[str], seed: int = 0
) -> tuple[float, float] | None:
    """95 % bootstrap interval of the AUC, resampling whole ``groups`` (patients), not films.

    Groups are resampled within their kind (holding a positive film or not), so that no resample lacks a class.
    ``None`` when the AUC itself does not exist.
    """
    if auc(labels, scores) is None:
        return None
    ranked = Ranked.rank(labels, scores)
    return limits(ranked.auc(weights) for weights in resamples(labels, groups, seed))


def resamples(
    labels: NDArray[np.int64], groups: Sequence[str], seed: int = 0, count: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """How often each film counts, (N,), in each bootstrap resample of whole ``groups`` (patients); there are ``count``,
    by default :data:`RESAMPLES`.

    Groups are drawn within their kind, holding a positive film or not, so that no resample lacks a class.
    """
    if not len(labels):
        return
    number = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    of_film = np.array([number[group] for group in groups])
    positive = np.zeros(len(number), dtype=np.int64)
    np.maximum.at(positive, of_film, labels)
    kinds = [members for members in (np.flatnonzero(positive == 0), np.flatnonzero(positive == 1)) if len(members)]
    rng = np.random.default_rng(seed)
    for _ in range(count or RESAMPLES):
        times = np.zeros(len(number), dtype=np.int64)
        for members in kinds:
            times[members] = np.bincount(rng.integers(0, len(members), len(members)), minlength=len(members))
        yield times[of_film]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Films in the order of their scores, sorted once for many resamples."""

    labels: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def rank(cls, labels: NDArray[np.int64], scores: NDArray[np.float64]) -> "Ranked":
        """Rank ``scores``; films of one score share their place."""
        return cls(labels, np.unique(scores, return_inverse=True)[1])

    def auc(self, weights: NDArray[np.int64]) -> float | None:
        """:func:`auc` of films that count ``weights`` times; ``None`` when a class has no weight."""
        positive = np.bincount(self.place, weights * self.labels)
        negative = np.bincount(self.place, weights * (1 - self.labels))
        pairs = float(positive.sum() * negative.sum())
        if not pairs:
            return None
        return float(positive @ (np.cumsum(negative) - negative / 2.0)) / pairs


def rate_interval(hits: NDArray[np.bool_], patients: Sequence[str], seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the share of ``hits``, (N,), whole patients resampled; ``None`` without any film.

    It is no narrower than Wilson's of as many independent films, which a bootstrap of few patients would be.  Where all
    films, or none, are hits the resamples say nothing, and Wilson's is that of as many films as there are patients.
    """
    count, hit = len(hits), int(hits.sum())
    people = len(set(patients))
    if hit in (0, count):
        return Rate(people if hit else 0, people).interval
    low, high = mean_interval(hits.astype(np.float64), patients, seed)
    least = Rate(hit, count).interval or (0.0, 1.0)
    return min(low, least[0]), max(high, least[1])


def mean_interval(values: NDArray[np.float64], patients: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of one value a film, (N,), whole patients resampled; needs a film."""
    _, person = np.unique(np.asarray(patients), return_inverse=True)
    people = int(person.max()) + 1
    total, count = np.bincount(person, values, people), np.bincount(person, minlength=people)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        drawn = rng.integers(0, people, people)
        means[index] = total[drawn].sum() / count[drawn].sum()
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def limits(values: Iterable[float | None]) -> tuple[float, float] | None:
    """The middle 95 % of bootstrap ``values``, of those that exist; ``None`` when none does."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)


def roc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(false positive rate, sensitivity) from (0, 0) to (1, 1), one point a distinct score; needs both classes."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits, alarms = np.cumsum(labels[order])[last], np.cumsum(1 - labels[order])[last]
    return np.append(0.0, alarms / max(1, alarms[-1])), np.append(0.0, hits / max(1, hits[-1]))


def sensitivity_at_specificity(
    labels: NDArray[np.int64], scores: NDArray[np.float64], at_least: float, weights: NDArray[np.int64] | None = None
) -> float | None:
    """The largest sensitivity of any threshold whose specificity is ``at_least``; ``None`` without both classes."""
    counted = np.ones(len(labels), dtype=np.int64) if weights is None else weights
    values, place = np.unique(-scores, return_inverse=True)
    hits = np.cumsum(np.bincount(place, counted * labels, len(values)))
    alarms = np.cumsum(np.bincount(place, counted * (1 - labels), len(values)))
    if not len(values) or not hits[-1] or not alarms[-1]:
        return None
    allowed = alarms <= (1.0 - at_least) * alarms[-1] + 1e-9
    return float(hits[allowed].max(initial=0.0) / hits[-1])


def at_threshold(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> tuple[Rate, Rate]:
    """(sensitivity, specificity) when a score of ``threshold`` or more is called positive."""
    called = scores >= threshold
    positive = labels == 1
    return (
        Rate(int((called & positive).sum()), int(positive.sum())),
        Rate(int((~called & ~positive).sum()), int((~positive).sum())),
    )


def threshold_for_sensitivity(labels: NDArray[np.int64], scores: NDArray[np.float64], at_least: float) -> float:
    """The highest threshold that still calls at least this share of the positives, halfway to the next score below."""
    positives = np.sort(scores[labels == 1])
    lowest_called = positives[math.floor((1.0 - at_least) * len(positives) + 1e-9)]
    below = scores[scores < lowest_called]
    return float((lowest_called + below.max()) / 2.0 if len(below) else lowest_called)


def platt(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of ``P(positive) = sigmoid(slope * logit + intercept)`` by maximum likelihood.

    Platt (1999) with his softened targets, solved by Newton's method. Raises :class:`ValueError` without both classes.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise ValueError("a calibration needs films of both classes")
    target = np.where(labels == 1, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    centre = design[:, 0].mean()
    spread = max(float(design[:, 0].std()), 1e-6)
    design[:, 0] = (design[:, 0] - centre) / spread
    weights = np.array([0.0, math.log((positives + 1.0) / (negatives + 1.0))])
    for _ in range(100):
        expected = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -60.0, 60.0)))
        curvature = (design * (expected * (1.0 - expected))[:, np.newaxis]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (target - expected))
        size = float(np.abs(step).max())
        weights = weights + (step if size <= 2.0 else step * (2.0 / size))
        if size < 1e-9:
            break
    slope = float(weights[0] / spread)
    return slope, float(weights[1] - slope * centre)

"""The numbers of a card: AUC, sensitivity, specificity, each with a 95 % interval, and the calibration fit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``n``, as a fraction, with Wilson's 95 % interval; ``None`` where ``n`` is 0."""

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        """The fraction."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson (1927) score interval, 95 %."""
        if not self.n:
            return None
        share, z2 = self.hits / self.n, Z95 * Z95
        centre = (share + z2 / (2 * self.n)) / (1 + z2 / self.n)
        half = Z95 * math.sqrt(share * (1 - share) / self.n + z2 / (4 * self.n**2)) / (1 + z2 / self.n)
        return max(0.0, centre - half), min(1.0, centre + half)


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
    films_of: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        films_of.setdefault(group, []).append(index)
    kinds: tuple[list[list[int]], list[list[int]]] = ([], [])
    for films in films_of.values():
        kinds[int(labels[films].max())].append(films)
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(RESAMPLES):
        drawn = [kind[i] for kind in kinds if kind for i in rng.integers(0, len(kind), len(kind))]
        chosen = np.concatenate([np.asarray(films) for films in drawn])
        value = auc(labels[chosen], scores[chosen])
        if value is not None:
            values.append(value)
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


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


def threshold_for_cost(labels: NDArray[np.int64], scores: NDArray[np.float64], miss_cost: float) -> float:
    """The threshold of least cost on these films when a miss costs ``miss_cost`` false alarms."""
    ordered = np.unique(scores)
    candidates = np.concatenate([ordered[:1], (ordered[1:] + ordered[:-1]) / 2.0])
    negative = np.sort(scores[labels == 0])
    positive = np.sort(scores[labels == 1])
    misses = np.searchsorted(positive, candidates, side="left")
    alarms = len(negative) - np.searchsorted(negative, candidates, side="left")
    return float(candidates[int(np.argmin(misses * miss_cost + alarms))])


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

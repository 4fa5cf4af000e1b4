"""Calibration and the decision threshold, by the recipe's rule, and the arithmetic of log odds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.failures import GateFailed
from converters.statistics import intervals
from firmware_app.packs.tasks.interface import UsualScores

if TYPE_CHECKING:
    from converters.recipe import Recipe

NEAREST_TO_CERTAIN = 1e-12


def by_rule(recipe: Recipe, labels: NDArray[np.int64], scores: NDArray[np.float64], share: float) -> tuple[float, str]:
    """The threshold, a calibrated probability at these films' prevalence ``share``, and the rule in words."""
    point, cost = recipe.operating_point, recipe.cost
    if point.rule == "sensitivity":
        rule = f"the highest threshold with sensitivity of at least {point.at_least:g} on {len(labels)} held-back films"
        return intervals.threshold_for_sensitivity(labels, scores, point.at_least), rule
    at_clinic = 1.0 / (1.0 + cost.miss)
    if cost.prevalence is None:
        return at_clinic, f"1 / (1 + {cost.miss:g}): a miss costs {cost.miss:g} false alarms, prevalence as in training"
    shift = odds(share) - odds(cost.prevalence)
    rule = f"a miss costs {cost.miss:g} false alarms at a prevalence of {cost.prevalence:g}"
    return float(sigmoid(np.array(odds(at_clinic) + shift))), rule


def calibrate(recipe: Recipe, labels: NDArray[np.int64], logits: NDArray[np.float64]) -> dict[str, Any]:
    """Platt's calibration of one finding and its threshold by the recipe's rule.

    Raises :class:`~converters.failures.GateFailed` without films of both labels, or where a logit means nothing.
    """
    if labels.all() or not labels.any():
        raise GateFailed("calibrate", "of one of the findings all held-back films, or none, show it")
    slope, intercept = intervals.platt(labels, logits)
    if slope <= 0.0:
        area = intervals.auc(labels, logits) or 0.0
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f}: a higher logit does not mean the finding")
    scores = sigmoid(slope * logits + intercept)
    cut, rule = by_rule(recipe, labels, scores, float(labels.mean()))
    return {"slope": round(slope, 6), "intercept": round(intercept, 6), "threshold": round(cut, 4), "rule": rule}


def usual_scores(labels: NDArray[np.int64], log_odds: NDArray[np.float64], prevalence: float | None) -> dict[str, Any]:
    """The finding's ``usual_scores``: of calibrated ``log_odds`` (N,), mixed at ``prevalence``, else at the films' own.

    Both labels are among ``labels``.
    """
    shows = labels == 1
    share = float(shows.mean()) if prevalence is None else prevalence
    weights = np.where(shows, share / shows.sum(), (1.0 - share) / (~shows).sum())
    mean = float(weights @ log_odds)
    spread = math.sqrt(float(weights @ (log_odds - mean) ** 2))
    return UsualScores(
        mean=round(mean, 4), spread=round(spread, 4), prevalence=round(share, 4), films=len(labels)
    ).model_dump(mode="json")


def fit(given: NDArray[np.float64], truth: NDArray[np.float64]) -> list[float]:
    """(offset, scale) by least squares: ``truth`` is nearest to ``offset + scale · given``.

    Raises :class:`~converters.failures.GateFailed` where a larger output does not mean a larger number.
    """
    scale, offset = np.polyfit(given, truth, 1)
    if not scale > 0.0:
        raise GateFailed("calibrate", "on the held-back films a larger output does not mean a larger number")
    return [round(float(offset), 6), round(float(scale), 6)]


def odds(share: float) -> float:
    """Log odds of a probability, kept away from 0 and 1."""
    kept = min(max(share, NEAREST_TO_CERTAIN), 1.0 - NEAREST_TO_CERTAIN)
    return math.log(kept / (1.0 - kept))


def sigmoid(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log odds → probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))), dtype=np.float64)

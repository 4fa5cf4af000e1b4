"""The decision threshold, by the recipe's rule, and the arithmetic of log odds."""

import math

import numpy as np
from numpy.typing import NDArray

from converters.recipe import Recipe
from converters.statistics import intervals

NEAREST_TO_CERTAIN = 1e-12


def by_rule(
    recipe: Recipe, labels: NDArray[np.int64], scores: NDArray[np.float64], share: float
) -> tuple[float, str]:  # fmt: skip
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


def odds(share: float) -> float:
    """Log odds of a probability, kept away from 0 and 1."""
    kept = min(max(share, NEAREST_TO_CERTAIN), 1.0 - NEAREST_TO_CERTAIN)
    return math.log(kept / (1.0 - kept))


def sigmoid(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log odds → probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))), dtype=np.float64)

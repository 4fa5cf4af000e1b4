"""The step ``calibrate``: from the trained networks' own answers to a calibration and a threshold, frozen from here on.

All judge films that the judged network has not seen: each fold's network its own held-back films, pooled.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import steps
from converters.data.material import labels_of
from converters.evaluation import judging, outlines
from converters.evaluation.answers import ORIGINAL, eager_maps, predictions_path, said, truth_of
from converters.evaluation.measures import odds
from converters.failures import GateFailed, RecipeInvalid
from converters.recipe import Recipe
from converters.statistics import intervals
from converters.steps import Workshop
from converters.words import PackWords, load_words
from firmware_app.tasks.classify import Calibration, FindingSpec

FULL_SCALE_PERCENTILE = 75.0
"""The map is drawn at full strength from this percentile of the strongest cells of positive held-back films."""


def words_of(shop: Workshop) -> PackWords:
    """What people say of the pack."""
    words = load_words(shop.near / shop.recipe.describe)
    if (words.drawn_as == "volume") != (shop.spec.depth is not None):
        raise RecipeInvalid(shop.recipe.describe, 'drawn_as: "volume" is for volumes, and for them alone')
    return words


def calibrate_step(shop: Workshop) -> dict[str, Any]:
    """The trained network's own answers, its calibration (Platt) and its threshold, frozen from here on."""
    recipe = shop.recipe
    mark = shop.ledger.fingerprint(steps.tables(recipe, "cost", "operating_point", "gate"), shop.learnt, shop.digest)
    if (known := shop.ledger.results("calibrate", mark)) is not None:
        return known
    pooled, peaks, told = [], [], []
    for fold in shop.material.division.folds:
        net, films = steps.final(shop, fold), shop.films(fold.held)
        found = eager_maps(net, shop.array(films))
        told.append(judging.answers(found, net.first_bias, net.outlines))
        pooled.append(said(shop, fold, judging.film_logits(told[-1])))
        peaks.append(found[labels_of(films) == 1, 0].reshape(-1, found[0, 0].size).max(axis=1))
    original = pooled[0].joined(pooled[1:])
    kept = original.save(predictions_path(shop, ORIGINAL))
    labels = original.labels
    area = intervals.auc(labels, original.logits) or 0.0
    if area < recipe.gate.auc_at_least:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f} is below the recipe's {recipe.gate.auc_at_least}")
    if recipe.task == "segment":
        slope, intercept = 1.0, 0.0
    else:
        slope, intercept = intervals.platt(labels, original.logits)
    if slope <= 0.0:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f}: a higher logit does not mean the finding")
    share = float(labels.mean())
    if recipe.task == "segment":
        cut = outlines.best_cut(np.concatenate(told), truth_of(shop, told[0].shape[1:]))
        threshold = float(sigmoid(np.array(cut)))
        rule = f"the best mean Dice on {int(labels.sum())} held-back volumes with a lesion"
    else:
        threshold, rule = operating_point(recipe, labels, sigmoid(slope * original.logits + intercept), share)
    whole = steps.final(shop, shop.material.division.shipped)
    results = {
        "slope": round(slope, 6), "intercept": round(intercept, 6), "threshold": round(threshold, 4), "rule": rule,
        "full_scale": round(max(float(np.percentile(np.concatenate(peaks), FULL_SCALE_PERCENTILE)), 1e-3), 3),
        "prevalence": round(share, 4), "bias": round(whole.first_bias, 6), "auc": round(area, 4),
    }  # fmt: skip
    if found[0, 0].size == 1:
        results["one_cell"] = True
    shop.ledger.done("calibrate", mark, results, [kept])
    return results


def operating_point(
    recipe: Recipe, labels: NDArray[np.int64], scores: NDArray[np.float64], share: float
) -> tuple[float, str]:
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


def finding_of(shop: Workshop) -> FindingSpec:
    """The manifest's finding, once calibration is done."""
    told, words = shop.ledger.read("calibrate"), words_of(shop).finding
    return FindingSpec(
        code=words.code, label=words.label, channel=0, bias=told["bias"],
        calibration=Calibration(kind="platt", slope=told["slope"], intercept=told["intercept"]),
        threshold=told["threshold"], threshold_rule=told["rule"], priority=words.priority,
    )  # fmt: skip


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds → probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))), dtype=np.float64)

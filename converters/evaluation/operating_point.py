"""The step ``calibrate``: from the trained networks' predictions to the pack's frozen calibration and threshold.

Only out-of-fold predictions are used: each fold's network on its held-back films, pooled.
"""

from typing import Any

import numpy as np

from converters.evaluation import reference
from converters.evaluation.out_of_fold import ORIGINAL, as_predictions, held_back, original_outputs, predictions_path
from converters.failures import GateFailed, RecipeInvalid
from converters.nets import foreign
from converters.packing.words import PackWords, load_words
from converters.statistics import intervals
from converters.training import steps
from converters.training.steps import Workshop
from firmware_app.tasks.interface import FindingPart


def words_of(shop: Workshop) -> PackWords:
    """The texts that people wrote for the pack."""
    words = load_words(shop.near / shop.recipe.describe)
    if (words.drawn_as == "volume") != (shop.spec.depth is not None):
        raise RecipeInvalid(shop.recipe.describe, 'drawn_as: "volume" is for volumes, and for them alone')
    return words


def calibrate_step(shop: Workshop) -> dict[str, Any]:
    """Keep the trained networks' predictions, and what the task freezes from them."""
    recipe, task = shop.recipe, shop.task
    made_of = {**steps.tables(recipe, "cost", "operating_point", "gate"), **reference.made_of(shop)}
    mark = shop.ledger.fingerprint(made_of, shop.learnt, shop.digest)
    if (known := shop.ledger.results("calibrate", mark)) is not None:
        return known
    pooled, answered = [], []
    for fold in shop.material.division.folds:
        pooled.append(original_outputs(shop, fold))
        answered.append(task.answers(pooled[-1], steps.final(shop, fold).biases))
    outputs = {name: np.concatenate([one[name] for one in pooled]) for name in task.outputs}
    answers, films = np.concatenate(answered), held_back(shop)
    original = as_predictions(films, task.scores(answers))
    if not task.reads_labels:  # a number may well lie between 0 and 1
        foreign.refuse_probabilities(recipe, original.logits)
    kept = original.save(predictions_path(shop, ORIGINAL))
    area = intervals.auc(original.labels, original.logits) or 0.0
    if area < recipe.gate.auc_at_least:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f} is below the recipe's {recipe.gate.auc_at_least}")
    beside = reference.gated(shop, original)
    point = task.operating_point(recipe, original, answers, task.truth(films, answers), outputs)
    whole = steps.final(shop, shop.material.division.shipped)
    results = {
        **point, "prevalence": round(float(original.labels.mean()), 4), "bias": round(float(whole.biases[0]), 6),
        "biases": [round(float(one), 6) for one in whole.biases], "auc": round(area, 4), **beside,
    }  # fmt: skip
    shop.ledger.done("calibrate", mark, results, [kept])
    return results


def findings_of(shop: Workshop) -> tuple[FindingPart, ...]:
    """The manifest's findings, once calibration is done; raises :class:`RecipeInvalid` for words of others."""
    try:
        return shop.task.findings(shop.ledger.read("calibrate"), words_of(shop).named)
    except ValueError as error:
        raise RecipeInvalid(shop.recipe.describe, str(error)) from error


def finding_of(shop: Workshop) -> FindingPart:
    """The first of them, by which films are called positive."""
    return findings_of(shop)[0]

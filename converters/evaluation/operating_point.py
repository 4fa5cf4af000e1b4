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
from converters.training.steps import RecipeRun
from firmware_app.tasks.interface import FindingPart


def words_of(run: RecipeRun) -> PackWords:
    """The texts that people wrote for the pack."""
    words = load_words(run.near / run.recipe.describe)
    if (words.drawn_as == "volume") != (run.spec.depth is not None):
        raise RecipeInvalid(run.recipe.describe, 'drawn_as: "volume" is for volumes, and for them alone')
    return words


def calibrate_step(run: RecipeRun) -> dict[str, Any]:
    """Keep the trained networks' predictions, and what the task freezes from them."""
    recipe, task = run.recipe, run.task
    made_of = {**steps.tables(recipe, "cost", "operating_point", "gate"), **reference.made_of(run)}
    mark = run.ledger.fingerprint(made_of, run.learnt, run.digest)
    if (known := run.ledger.results("calibrate", mark)) is not None:
        return known
    pooled, answered = [], []
    for fold in run.dataset.division.folds:
        pooled.append(original_outputs(run, fold))
        answered.append(task.answers(pooled[-1], steps.final(run, fold).biases))
    outputs = {name: np.concatenate([one[name] for one in pooled]) for name in task.outputs}
    answers, films = np.concatenate(answered), held_back(run)
    original = as_predictions(films, task.scores(answers))
    if not task.reads_labels:  # a number may well lie between 0 and 1
        foreign.refuse_probabilities(recipe, original.logits)
    kept = original.save(predictions_path(run, ORIGINAL))
    area = intervals.auc(original.labels, original.logits) or 0.0
    if area < recipe.gate.auc_at_least:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f} is below the recipe's {recipe.gate.auc_at_least}")
    beside = reference.gated(run, original)
    point = task.operating_point(recipe, original, answers, task.truth(films, answers), outputs)
    whole = steps.final(run, run.dataset.division.shipped)
    results = {
        **point, "prevalence": round(float(original.labels.mean()), 4), "bias": round(float(whole.biases[0]), 6),
        "biases": [round(float(one), 6) for one in whole.biases], "auc": round(area, 4), **beside,
    }  # fmt: skip
    run.ledger.done("calibrate", mark, results, [kept])
    return results


def findings_of(run: RecipeRun) -> tuple[FindingPart, ...]:
    """The manifest's findings, once calibration is done; raises :class:`RecipeInvalid` for words of others."""
    try:
        return run.task.findings(run.ledger.read("calibrate"), words_of(run).named)
    except ValueError as error:
        raise RecipeInvalid(run.recipe.describe, str(error)) from error


def finding_of(run: RecipeRun) -> FindingPart:
    """The first of them, by which films are called positive."""
    return findings_of(run)[0]

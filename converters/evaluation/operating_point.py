"""The step ``calibrate``: from the trained networks' predictions to the pack's frozen calibration and threshold.

Only out-of-fold predictions are used: each fold's network on its held-back films, pooled.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.predictions import Predictions
from converters.evaluation import metrics, reference, threshold
from converters.evaluation.out_of_fold import ORIGINAL, as_predictions, hold_back, original_outputs, predictions_path
from converters.failures import GateFailed, RecipeInvalid
from converters.nets import foreign
from converters.nets.pair import Pair
from converters.packing.words import PackWords, load_words
from converters.recipe import Recipe
from converters.statistics import conformal, intervals, selective
from converters.training import steps
from converters.training.steps import RecipeRun
from firmware_app.packs.manifest import AbstentionRange
from firmware_app.packs.tasks.interface import FindingPart


def load_pack_words(run: RecipeRun) -> PackWords:
    """The texts that people wrote for the pack."""
    words = load_words(run.near / run.recipe.describe)
    if (words.drawn_as == "volume") != (run.spec.depth is not None):
        raise RecipeInvalid(run.recipe.describe, 'drawn_as: "volume" is for volumes, and for them alone')
    return words


def calibrate_step(run: RecipeRun) -> dict[str, Any]:
    """Keep the trained networks' predictions, and what the task freezes from them."""
    recipe, task = run.recipe, run.task
    made_of = {
        **steps.tables(recipe, "cost", "operating_point", "gate", *abstains(recipe)),
        **reference.list_dependencies(run),
    }
    if recipe.operating_point.standardise:
        made_of["standardise"] = True
    mark = run.ledger.fingerprint(made_of, run.training_steps, run.digest)
    if (known := run.ledger.results("calibrate", mark)) is not None:
        return known
    pooled, answered = [], []
    for fold in run.dataset.division.folds:
        pooled.append(original_outputs(run, fold))
        answered.append(task.answers(pooled[-1], steps.load_final(run, fold).biases))
    outputs = {name: np.concatenate([mapping[name] for mapping in pooled]) for name in task.outputs}
    answers, films = np.concatenate(answered), hold_back(run)
    original = as_predictions(films, task.scores(answers))
    if not task.reads_labels:  # a number may well lie between 0 and 1
        foreign.refuse_probabilities(recipe, original.logits)
    kept = original.save(predictions_path(run, ORIGINAL))
    area = intervals.auc(original.labels, original.logits) or 0.0
    if area < recipe.gate.auc_at_least:
        raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f} is below the recipe's {recipe.gate.auc_at_least}")
    beside = reference.check_gates(run, original)
    point = task.operating_point(recipe, original, answers, task.truth(films, answers), outputs)
    if recipe.abstain.error is not None:
        beside["abstain"] = abstaining(original, point, recipe.abstain.error)
    if recipe.operating_point.standardise:
        odds = _log_odds(original, point)
        beside["usual_scores"] = threshold.usual_scores(original.labels, odds, recipe.cost.prevalence)
    whole = steps.load_final(run, run.dataset.division.shipped)
    if isinstance(whole, Pair):
        beside["weights"] = [round(float(weight), 4) for weight in whole.weights]
    results = {
        **point,
        "prevalence": round(float(original.labels.mean()), 4),
        "bias": round(float(whole.biases[0]), 6),
        "biases": [round(float(bias), 6) for bias in whole.biases],
        "auc": round(area, 4),
        **beside,
    }
    run.ledger.record_step("calibrate", mark, results, [kept])
    return results


def abstains(recipe: Recipe) -> tuple[str, ...]:
    """The recipe's table that says when no number is given, where it does: steps without it are not done again."""
    return () if recipe.abstain.error is None and not recipe.net.members else ("abstain",)


def abstaining(original: Predictions, point: Mapping[str, Any], error: float) -> dict[str, Any]:
    """The manifest's ``abstain``, from the predictions that froze ``point``."""
    scores, labels, patients, cut = _scores(original, point), original.labels, original.patients, point["threshold"]
    low, high = conformal.limits(labels, scores, error, cut)
    given = conformal.measure_given_at_home(labels, scores, patients, error, cut)
    share = intervals.rate_interval(given, patients)
    rest = selective.point(labels, scores >= cut, patients, given)
    return AbstentionRange.model_validate(
        {
            "error": error,
            "low": low,
            "high": high,
            "films": len(labels),
            "given": round(float(given.mean()), 4),
            "given_ci": metrics.plain(share),
            "wrong": metrics.plain(rest.wrong) if rest else None,
            "wrong_ci": metrics.plain(rest.wrong_ci) if rest else None,
        }
    ).model_dump(mode="json")


def measure_given_at_home(run: RecipeRun, original: Predictions) -> NDArray[np.bool_] | None:
    """(N,): which of the held-back films get a number; ``None`` where the recipe withholds none."""
    error, point = run.recipe.abstain.error, run.ledger.read("calibrate")
    if error is None:
        return None
    scores = _scores(original, point)
    return conformal.measure_given_at_home(original.labels, scores, original.patients, error, point["threshold"])


def _scores(original: Predictions, point: Mapping[str, Any]) -> NDArray[np.float64]:
    return threshold.sigmoid(_log_odds(original, point))


def _log_odds(original: Predictions, point: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.asarray(point.get("slope", 1.0) * original.logits + point.get("intercept", 0.0), dtype=np.float64)


def findings_of(run: RecipeRun) -> tuple[FindingPart, ...]:
    """The manifest's findings, once calibration is done; raises :class:`RecipeInvalid` for words of others."""
    try:
        return run.task.findings(run.ledger.read("calibrate"), load_pack_words(run).named)
    except ValueError as error:
        raise RecipeInvalid(run.recipe.describe, str(error)) from error


def finding_of(run: RecipeRun) -> FindingPart:
    """The first of them, by which films are called positive."""
    return findings_of(run)[0]

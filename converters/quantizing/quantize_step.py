"""The step ``quantize``: the INT8 file of each runtime, searched over all folds, then made as the one that ships."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.predictions import Predictions
from converters.evaluation.baseline import Baseline
from converters.evaluation.metrics import threshold_logit
from converters.evaluation.operating_point import finding_of
from converters.evaluation.out_of_fold import ORIGINAL, hold_back, original_outputs, predictions_path
from converters.failures import ToolFailed
from converters.formats import artefacts
from converters.formats.model_files import calibration_films, floats, fold_answers, not_made
from converters.quantizing import ptq_search, qat
from converters.tasks.interface import Answers, Outputs
from converters.training import steps
from converters.training.steps import RecipeRun
from firmware_app.packs.errors import InferenceFailed


def quantize_step(run: RecipeRun) -> dict[str, Any]:
    """Search the INT8 file of each runtime over all folds, and make the one that ships in the way that was found."""
    recipe, division = run.recipe, run.dataset.division
    tables = steps.tables(recipe, "quantize", "gate", "export")
    mark = run.ledger.fingerprint(tables, ("calibrate", "export"), run.digest)
    if (known := run.ledger.results("quantize", mark)) is not None:
        return known
    lost, baseline = not_made(run), baseline_of(run)
    plain = {fold.name: floats(run, fold) for fold in run.trained_folds}
    tuned: dict[str, Path] = {}
    searches: dict[str, Any] = {}
    made: list[Path] = []
    for key in (*artefacts.list_wanted(recipe), *artefacts.extras(recipe)):
        runtime = key[0]
        if key[1] != "int8" or key in lost:
            continue
        try:
            search, sources = run_search(run, runtime, baseline, plain), plain
            searches[runtime] = search.as_dict()
            if search.chosen is None and qat.possible(run):
                tuned = sources = tuned or qat.float_files(run)
                search = run_search(run, runtime, baseline, tuned)
                searches[runtime] = ptq_search.join(searches[runtime], search)
            if search.chosen is not None:
                made.append(baseline.predictions(search.chosen.logits).save(predictions_path(run, key)))
                made += make_shipped_int8(run, runtime, search.chosen, sources[division.shipped.name])
        except (ToolFailed, InferenceFailed) as error:
            searches[runtime] = {"chosen": None, "tried": [], "refused": str(error)}
    for used in ("tries", qat.STAGE):
        shutil.rmtree(run.work / used, ignore_errors=True)
    run.ledger.record_step("quantize", mark, searches, made)
    return searches


def run_search(run: RecipeRun, runtime: str, baseline: Baseline, sources: Mapping[str, Path]) -> ptq_search.Search:
    """Search the INT8 file of one runtime; ``sources`` are the folders of the float files of each fold."""
    folds, key = run.dataset.division.folds, (runtime, "int8")
    calibration = [calibration_films(run, fold) for fold in folds]
    found = [sources[fold.name] for fold in folds]
    rounded = artefacts.Int8Candidates(runtime, run.spec, found, calibration, remove_bias(run))
    tries = run.work / "tries" / runtime
    shutil.rmtree(tries, ignore_errors=True)

    def pool_answers(folder: Path) -> Answers:
        return np.concatenate([fold_answers(run, fold, folder / fold.name, key) for fold in folds])

    recipe = run.recipe
    return ptq_search.search(
        rounded,
        tries,
        baseline.answers,
        logits=pool_answers,
        judge=baseline.verdicts,
        gate=recipe.gate,
        control=recipe.quantize.accuracy_control,
    )


def make_shipped_int8(run: RecipeRun, runtime: str, chosen: ptq_search.Candidate, source: Path) -> list[Path]:
    """The INT8 files of the network that ships, made as the chosen one was, from the float files in ``source``."""
    shipped = run.dataset.division.shipped
    films = calibration_films(run, shipped)
    return artefacts.list_rounded(
        runtime, source, floats(run, shipped), films=films, method=chosen.method, answers=remove_bias(run)
    )


def remove_bias(run: RecipeRun) -> Callable[[Outputs], Answers]:
    """The task's answers without what the host adds: it moves none of them towards another."""
    channels = len(steps.load_final(run, run.dataset.division.shipped).biases)
    return partial(run.task.answers, biases=np.zeros(channels))


def baseline_of(run: RecipeRun) -> Baseline:
    """The original's answers on the held-back films, and how other files are judged beside them."""
    original, gate = Predictions.load(predictions_path(run, ORIGINAL)), run.recipe.gate
    folds = run.dataset.division.folds
    answers = np.concatenate(
        [run.task.answers(original_outputs(run, fold), steps.load_final(run, fold).biases) for fold in folds]
    )
    cut, truth = threshold_logit(finding_of(run)), run.task.truth(hold_back(run), answers)
    return Baseline(
        task=run.task,
        original=original,
        answers=answers,
        threshold=cut,
        gate=gate,
        truth=truth,
        point=run.ledger.read("calibrate"),
    )

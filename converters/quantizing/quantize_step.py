"""The step ``quantize``: the INT8 file of each runtime, searched over all folds, then made as the one that ships."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from converters.data.predictions import Predictions
from converters.evaluation.baseline import Judging
from converters.evaluation.metrics import threshold_logit
from converters.evaluation.operating_point import finding_of
from converters.evaluation.out_of_fold import ORIGINAL, held_back, original_outputs, predictions_path
from converters.failures import ToolFailed
from converters.formats import artefacts
from converters.formats.model_files import calibration_films, floats, fold_answers, not_made
from converters.quantizing import ptq_search, qat
from converters.tasks.interface import Answers, Outputs
from converters.training import steps
from converters.training.steps import Workshop
from firmware_app.errors import InferenceFailed


def quantize_step(shop: Workshop) -> dict[str, Any]:
    """Search the INT8 file of each runtime over all folds, and make the one that ships in the way that was found."""
    recipe, division = shop.recipe, shop.material.division
    tables = steps.tables(recipe, "quantize", "gate", "export")
    mark = shop.ledger.fingerprint(tables, ("calibrate", "export"), shop.digest)
    if (known := shop.ledger.results("quantize", mark)) is not None:
        return known
    lost, court = not_made(shop), court_of(shop)
    plain = {fold.name: floats(shop, fold) for fold in shop.trained_folds}
    tuned: dict[str, Path] = {}
    searches: dict[str, Any] = {}
    made: list[Path] = []
    for key in (*artefacts.wanted(recipe), *artefacts.extras(recipe)):
        runtime = key[0]
        if key[1] != "int8" or key in lost:
            continue
        try:
            search, sources = searched(shop, runtime, court, plain), plain
            searches[runtime] = search.as_dict()
            if search.chosen is None and qat.possible(shop):
                tuned = sources = tuned or qat.float_files(shop)
                search = searched(shop, runtime, court, tuned)
                searches[runtime] = ptq_search.joined(searches[runtime], search)
            if search.chosen is not None:
                made.append(court.predictions(search.chosen.logits).save(predictions_path(shop, key)))
                made += shipped_int8(shop, runtime, search.chosen, sources[division.shipped.name])
        except (ToolFailed, InferenceFailed) as error:
            searches[runtime] = {"chosen": None, "tried": [], "refused": str(error)}
    for used in ("tries", qat.STAGE):
        shutil.rmtree(shop.work / used, ignore_errors=True)
    shop.ledger.done("quantize", mark, searches, made)
    return searches


def searched(shop: Workshop, runtime: str, court: Judging, sources: Mapping[str, Path]) -> ptq_search.Search:
    """Search the INT8 file of one runtime; ``sources`` are the folders of the float files of each fold."""
    folds, key = shop.material.division.folds, (runtime, "int8")
    calibration = [calibration_films(shop, fold) for fold in folds]
    found = [sources[fold.name] for fold in folds]
    rounded = artefacts.Rounded(runtime, shop.spec, found, calibration, unbiased(shop))
    tries = shop.work / "tries" / runtime
    shutil.rmtree(tries, ignore_errors=True)

    def pooled(folder: Path) -> Answers:
        return np.concatenate([fold_answers(shop, fold, folder / fold.name, key) for fold in folds])

    recipe = shop.recipe
    return ptq_search.search(
        rounded, tries, court.answers, pooled, court.verdicts, recipe.gate.speed_at_least,
        control=recipe.quantize.accuracy_control,
    )  # fmt: skip


def shipped_int8(shop: Workshop, runtime: str, chosen: ptq_search.Candidate, source: Path) -> list[Path]:
    """The INT8 files of the network that ships, made as the chosen one was, from the float files in ``source``."""
    shipped = shop.material.division.shipped
    films = calibration_films(shop, shipped)
    return artefacts.rounded(runtime, source, floats(shop, shipped), films, chosen.method, unbiased(shop))


def unbiased(shop: Workshop) -> Callable[[Outputs], Answers]:
    """The task's answers without what the host adds: it moves none of them towards another."""
    channels = len(steps.final(shop, shop.material.division.shipped).biases)
    return partial(shop.task.answers, biases=np.zeros(channels))


def court_of(shop: Workshop) -> Judging:
    """The original's answers on the held-back films, and how other files are judged beside them."""
    original, gate = Predictions.load(predictions_path(shop, ORIGINAL)), shop.recipe.gate
    folds = shop.material.division.folds
    answers = np.concatenate(
        [shop.task.answers(original_outputs(shop, fold), steps.final(shop, fold).biases) for fold in folds]
    )
    cut, truth = threshold_logit(finding_of(shop)), shop.task.truth(held_back(shop), answers)
    return Judging(shop.task, original, answers, cut, gate, truth, shop.ledger.read("calibrate"))

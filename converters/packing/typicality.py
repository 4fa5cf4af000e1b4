"""The step ``typicality``: what the films look like to the network that learnt from them (:mod:`.typicality_model`)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.splits import Fold
from converters.formats import model_files
from converters.formats.artefacts import NAMES, SOURCE, Key
from converters.packing import typicality_model
from converters.packing.typicality_model import PASSES, Features
from converters.tasks.interface import FEATURES
from converters.training import steps
from converters.training.steps import RecipeRun
from firmware_app.packs.runtimes import registry
from firmware_app.packs.typicality import TYPICALITY_FILE


def typicality_step(run: RecipeRun) -> dict[str, Any]:
    """Fit the model and set each file's limit; without a feature output there is nothing to do."""
    mark = run.ledger.fingerprint(steps.tables(run.recipe, "typicality"), ("export", "quantize"), run.digest)
    if (known := run.ledger.results("typicality", mark)) is not None:
        return known
    shipped = run.dataset.division.shipped
    if FEATURES not in steps.load_final(run, shipped).outputs:
        nothing: dict[str, Any] = {"passes": PASSES, "films": 0, "components": 0, "limits": []}
        run.ledger.record_step("typicality", mark, nothing, [])
        return nothing
    films = run.films(typicality_model.draw(shipped.train, run.recipe.seed))
    names, pixels = [film.name for film in films.films], run.array(films)
    groups, varied = [run.dataset.group_of[name] for name in names], run.recipe.typicality.other_clinics
    if varied:
        more = typicality_model.vary(pixels, names, run.spec, run.recipe.seed)
        pixels, groups = np.concatenate([pixels, more]), groups + groups
    features_by_file = {key: features(run, shipped, key, pixels) for key in model_files.present(run)}
    wider = unseen(run)
    model, limits = typicality_model.judge(features_by_file, groups, run.recipe.seed, wider)
    path = model.save(run.work / TYPICALITY_FILE)
    results = {
        "passes": PASSES,
        "films": len(names),
        "components": len(model.variances),
        "unseen": round(wider, 4),
        "varied": varied,
        "limits": [limit.model_dump(mode="json") for limit in limits],
    }
    run.ledger.record_step("typicality", mark, results, [path])
    return results


def unseen(run: RecipeRun) -> float:
    """How much farther from the model films lie that the network has not learnt from, as a factor of the limit.

    Measured on the float file of each fold's network, on films as they are: the limit on the films held back from the
    fold, by the one on those that it learnt from; the mean over the folds, and never below 1.
    """
    factors = []
    for fold in run.dataset.division.folds:
        films = run.films(typicality_model.draw(fold.train, run.recipe.seed))
        held = run.films(typicality_model.draw(fold.held, run.recipe.seed))
        learnt = [features(run, fold, SOURCE, run.array(films))]
        model, groups = typicality_model.fit(learnt), [run.dataset.group_of[film.name] for film in films.films]
        inside = typicality_model.hold_out(learnt, learnt, groups, run.recipe.seed)[0]
        away = [model.distance(feature) for feature in features(run, fold, SOURCE, run.array(held))]
        factors.append(float(np.quantile(away, PASSES) / np.quantile(inside, PASSES)))
    return max(1.0, float(np.mean(factors)))


def features(run: RecipeRun, fold: Fold, key: Key, films: NDArray[np.uint8]) -> Features:
    """The features (N, F) of films (N, H, W) uint8 by a file of a fold's network."""
    session = registry.get_runtime(key[0]).load(model_files.floats(run, fold) / NAMES[key])
    return typicality_model.features(session, run.spec, FEATURES, films)

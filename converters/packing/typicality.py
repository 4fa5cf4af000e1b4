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
from converters.training.steps import Workshop
from firmware_app.runtimes import choice
from firmware_app.tasks.typicality import FILE_NAME


def typicality_step(shop: Workshop) -> dict[str, Any]:
    """Fit the model and set each file's limit; without a feature output there is nothing to do."""
    mark = shop.ledger.fingerprint(steps.tables(shop.recipe, "typicality"), ("export", "quantize"), shop.digest)
    if (known := shop.ledger.results("typicality", mark)) is not None:
        return known
    shipped = shop.material.division.shipped
    if FEATURES not in steps.final(shop, shipped).outputs:
        nothing: dict[str, Any] = {"passes": PASSES, "films": 0, "components": 0, "limits": []}
        shop.ledger.done("typicality", mark, nothing, [])
        return nothing
    films = shop.films(typicality_model.drawn(shipped.train, shop.recipe.seed))
    names, pixels = [film.name for film in films.films], shop.array(films)
    groups, varied = [shop.material.group_of[name] for name in names], shop.recipe.typicality.other_clinics
    if varied:
        more = typicality_model.varied(pixels, names, shop.spec, shop.recipe.seed)
        pixels, groups = np.concatenate([pixels, more]), groups + groups
    features_by_file = {key: features(shop, shipped, key, pixels) for key in model_files.present(shop)}
    wider = unseen(shop)
    model, limits = typicality_model.judged(features_by_file, groups, shop.recipe.seed, wider)
    path = model.save(shop.work / FILE_NAME)
    results = {
        "passes": PASSES, "films": len(names), "components": len(model.variances), "unseen": round(wider, 4),
        "varied": varied, "limits": [one.model_dump(mode="json") for one in limits],
    }  # fmt: skip
    shop.ledger.done("typicality", mark, results, [path])
    return results


def unseen(shop: Workshop) -> float:
    """How much farther from the model films lie that the network has not learnt from, as a factor of the limit.

    Measured on the float file of each fold's network, on films as they are: the limit on the films held back from the
    fold, by the one on those that it learnt from; the mean over the folds, and never below 1.
    """
    factors = []
    for fold in shop.material.division.folds:
        films = shop.films(typicality_model.drawn(fold.train, shop.recipe.seed))
        held = shop.films(typicality_model.drawn(fold.held, shop.recipe.seed))
        learnt = [features(shop, fold, SOURCE, shop.array(films))]
        model, groups = typicality_model.fitted(learnt), [shop.material.group_of[film.name] for film in films.films]
        inside = typicality_model.held_out(learnt, learnt, groups, shop.recipe.seed)[0]
        away = [model.distance(one) for one in features(shop, fold, SOURCE, shop.array(held))]
        factors.append(float(np.quantile(away, PASSES) / np.quantile(inside, PASSES)))
    return max(1.0, float(np.mean(factors)))


def features(shop: Workshop, fold: Fold, key: Key, films: NDArray[np.uint8]) -> Features:
    """(N, H, W) uint8 → (N, F): what a file of a fold's network says of each film."""
    session = choice.get(key[0]).load(model_files.floats(shop, fold) / NAMES[key])
    return typicality_model.features(session, shop.spec, FEATURES, films)

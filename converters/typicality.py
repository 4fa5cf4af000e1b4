"""What the training films look like to the network that ships, so that the box can tell a film that is none of them.

The model (:mod:`firmware_app.tasks.typicality`) is fitted to the features that all files give for the films which the
network learnt from: what rounding moves is part of the spread then, and not taken for strangeness.  The limit is set
for each file that ships: the distance that a share :data:`PASSES` of the films stays below, each judged by a model
fitted without its part of the films, and wider by what films lie farther that the network has not learnt from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import model_files, steps
from converters.artefacts import NAMES, OUTPUTS, SOURCE, Key
from converters.steps import Workshop
from firmware_app.runtimes import choice
from firmware_app.tasks.typicality import FILE_NAME, Typicality

PASSES = 0.95
EXPLAINED = 0.999
"""The components kept explain this share of the variance, if that takes no more than :data:`MOST_COMPONENTS`.

What tells adults from children lies in directions that hardly move in training; fewer components leave these to the
noise, and the adults' films pass (docs/decisions/unfamiliar.md).
"""

MOST_COMPONENTS = 256
FILMS_A_COMPONENT = 5
SMALLEST_SCALE = 0.05
"""Of the median feature's spread: one that hardly moves in training must not decide alone."""

PARTS = 5
MOST_FILMS = 2000


def typicality_step(shop: Workshop) -> dict[str, Any]:
    """Fit the model and set each file's limit; without a feature output there is nothing to do."""
    mark = shop.ledger.fingerprint(steps.tables(shop.recipe), ("export", "quantize"), shop.digest)
    if (known := shop.ledger.results("typicality", mark)) is not None:
        return known
    if OUTPUTS[1] not in steps.final(shop, shop.material.division.shipped).outputs:
        nothing: dict[str, Any] = {"passes": PASSES, "films": 0, "components": 0, "limits": []}
        shop.ledger.done("typicality", mark, nothing, [])
        return nothing
    folder = model_files.floats(shop, shop.material.division.shipped)
    names = _drawn(shop.material.division.shipped.train, shop.recipe.seed)
    films = shop.films(names)
    groups = [shop.material.group_of[film.name] for film in films.films]
    told: list[dict[str, Any]] = []
    pixels = shop.array(films)
    found = {key: features(folder / NAMES[key], key, shop, pixels) for key in model_files.present(shop)}
    learnt = list(found.values())
    model = fitted(learnt)
    wider = unseen(shop)
    for key, away in zip(found, held_out(learnt, learnt, groups, shop.recipe.seed), strict=True):
        limit = wider * float(np.quantile(away, PASSES))
        told.append({"runtime": key[0], "precision": key[1], "limit": round(limit, 4)})
    path = model.save(shop.work / FILE_NAME)
    results = {
        "passes": PASSES, "films": len(films.films), "components": len(model.variances), "unseen": round(wider, 4),
        "limits": told,
    }  # fmt: skip
    shop.ledger.done("typicality", mark, results, [path])
    return results


def unseen(shop: Workshop) -> float:
    """How much farther from the model films lie that the network has not learnt from, as a factor of the limit.

    Measured on the float file of each fold's network: the limit on the films held back from the fold, by the one on
    those that it learnt from; the mean over the folds, and never below 1.
    """
    factors = []
    for fold in shop.material.division.folds:
        path, names = model_files.floats(shop, fold) / NAMES[SOURCE], _drawn(fold.train, shop.recipe.seed)
        films, held = shop.films(names), shop.films(_drawn(fold.held, shop.recipe.seed))
        learnt = [features(path, SOURCE, shop, shop.array(films))]
        model, groups = fitted(learnt), [shop.material.group_of[film.name] for film in films.films]
        inside = held_out(learnt, learnt, groups, shop.recipe.seed)[0]
        away = [model.distance(one) for one in features(path, SOURCE, shop, shop.array(held))]
        factors.append(float(np.quantile(away, PASSES) / np.quantile(inside, PASSES)))
    return max(1.0, float(np.mean(factors)))


def features(path: Path, key: Key, shop: Workshop, films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W) uint8 → (N, F): what a file says of each film, through the box's own runtime module."""
    session = choice.get(key[0]).load(path)
    given = (film[np.newaxis, np.newaxis].astype(np.float32) / np.float32(255.0) for film in films)
    return np.concatenate([session.infer({shop.spec.name: film})[OUTPUTS[1]].reshape(1, -1) for film in given])


def fitted(found: Sequence[NDArray[np.float32]]) -> Typicality:
    """The model of the features, (N, F) of each file, of the N films that a network learnt from."""
    values = np.concatenate(found).astype(np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.maximum(spread, SMALLEST_SCALE * max(float(np.median(spread)), 1e-6))
    _, singular, directions = np.linalg.svd((values - mean) / scale, full_matrices=False)
    variances = singular**2 / max(len(values) - 1, 1)
    most = max(1, min(MOST_COMPONENTS, len(found[0]) // FILMS_A_COMPONENT, len(variances) - 1))
    explained = np.cumsum(variances) / max(float(variances.sum()), 1e-12)
    kept = min(most, int(np.searchsorted(explained, EXPLAINED)) + 1)
    noise = max(float(variances[kept:].sum()) / max(len(mean) - kept, 1), 1e-4)
    return Typicality(
        mean.astype(np.float32), scale.astype(np.float32), directions[:kept].astype(np.float32),
        np.maximum(variances[:kept], noise).astype(np.float32), noise,
    )  # fmt: skip


def held_out(
    learnt: Sequence[NDArray[np.float32]], found: Sequence[NDArray[np.float32]], groups: Sequence[str], seed: int
) -> list[NDArray[np.float64]]:
    """(N,) distances for each of ``found``, by models fitted to ``learnt`` without the films of the same part.

    Parts hold whole ``groups``: a patient's second film would find the first one near.
    """
    named = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(named))
    part_of = {named[int(index)]: place % PARTS for place, index in enumerate(order)}
    parts = np.array([part_of[group] for group in groups])
    out = [np.empty(len(one)) for one in found]
    for part in sorted(set(parts.tolist())):
        model = fitted([one[parts != part] for one in learnt])
        for away, one in zip(out, found, strict=True):
            away[parts == part] = [model.distance(features) for features in one[parts == part]]
    return out


def _drawn(names: Sequence[str], seed: int) -> list[str]:
    """At most :data:`MOST_FILMS` of the names, always the same."""
    order = np.random.default_rng(seed).permutation(len(names))[:MOST_FILMS]
    return [names[int(index)] for index in sorted(order)]

"""The model files of a recipe: the float files of every fold's network, and where the files that ship stand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.preprocessing import inputs
from converters.data.splits import Fold
from converters.formats import artefacts, onnx_file
from converters.formats.artefacts import NAMES, Key
from converters.recipe import Recipe
from converters.tasks.interface import Answers
from converters.training import steps
from converters.training.steps import Workshop


def export_step(shop: Workshop) -> dict[str, Any]:
    """The float files of every fold's network and of the one that ships."""
    recipe = shop.recipe
    mark = shop.ledger.fingerprint(steps.tables(recipe, "export", "input"), shop.learnt, shop.digest)
    if (known := shop.ledger.results("export", mark)) is not None:
        return known
    made: list[Path] = []
    lost: dict[Key, str] = {}
    for fold in shop.trained_folds:
        net, ships = steps.final(shop, fold), fold == shop.material.division.shipped
        static, keys = recipe.export.static and ships, artefacts.wanted(recipe)
        made += artefacts.export(net, shop.spec, floats(shop, fold), keys, static=static, refused=lost)
    if not recipe.export.static:  # those of an earlier recipe
        for name in artefacts.EXTRAS.values():
            (floats(shop, shop.material.division.shipped) / name).unlink(missing_ok=True)
    results: dict[str, Any] = {
        "opset": onnx_file.opset(floats(shop, shop.material.division.shipped) / NAMES[artefacts.SOURCE]),
        "files": {path.name: path.stat().st_size for path in made},
    }
    if lost:
        results["refused"] = [{"runtime": key[0], "precision": key[1], "why": why} for key, why in lost.items()]
    shop.ledger.done("export", mark, results, made)
    return results


def not_made(shop: Workshop) -> dict[Key, str]:
    """The files that a library could not make, and why."""
    refused = shop.ledger.read("export").get("refused", ())
    return {(one["runtime"], one["precision"]): str(one["why"]) for one in refused}


def floats(shop: Workshop, fold: Fold) -> Path:
    """The folder of a fold's float files; the shipped network's INT8 files stand there too."""
    return shop.work / "artefacts" / fold.name


def present(shop: Workshop) -> list[Key]:
    """The files of the shipped network that could be made; an INT8 one of an earlier search is not."""
    folder, searched = floats(shop, shop.material.division.shipped), shop.ledger.read("quantize")
    lost = {("int8", runtime) for runtime, search in searched.items() if search["chosen"] is None}
    made = [key for key in artefacts.wanted(shop.recipe) if (folder / NAMES[key]).is_file()]
    return [(runtime, precision) for runtime, precision in made if (precision, runtime) not in lost]


def fold_answers(shop: Workshop, fold: Fold, folder: Path, key: Key, most: int | None = None) -> Answers:
    """A file's answers on the films held back from its fold, or on the first ``most`` of them."""
    films, net = shop.array(shop.films(fold.held))[:most], steps.final(shop, fold)
    path, runtime = folder / artefacts.name_of(key), artefacts.asked_in(key[0])
    outputs = artefacts.outputs(path, runtime, shop.spec, films, shop.task.outputs)
    return shop.task.answers(outputs, net.biases)


def calibration_films(shop: Workshop, fold: Fold) -> NDArray[np.float32]:
    """(N, C, H, W): films that the fold's network learnt from, for the ranges of INT8 files."""
    return inputs(shop.array(shop.films(calibration_names(shop, fold))))


def calibration_names(shop: Workshop, fold: Fold) -> list[str]:
    """The names of :func:`calibration_films`."""
    return drawn(fold.train, shop.recipe)


def drawn(names: Sequence[str], recipe: Recipe) -> list[str]:
    """As many of the names as the recipe has calibration films, always the same."""
    order = np.random.default_rng(recipe.seed).permutation(len(names))[: recipe.quantize.films]
    return [names[int(index)] for index in order]

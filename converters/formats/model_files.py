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
from converters.training.steps import RecipeRun


def export_step(run: RecipeRun) -> dict[str, Any]:
    """The float files of every fold's network and of the one that ships."""
    recipe = run.recipe
    mark = run.ledger.fingerprint(steps.tables(recipe, "export", "input"), run.training_steps, run.digest)
    if (known := run.ledger.results("export", mark)) is not None:
        return known
    made: list[Path] = []
    lost: dict[Key, str] = {}
    for fold in run.trained_folds:
        net, ships = steps.load_final(run, fold), fold == run.dataset.division.shipped
        static, keys = recipe.export.static and ships, artefacts.list_wanted(recipe)
        made += artefacts.export(net, run.spec, floats(run, fold), keys, static=static, refused=lost)
    if not recipe.export.static:  # those of an earlier recipe
        for name in artefacts.EXTRAS.values():
            for path in artefacts.files_of(floats(run, run.dataset.division.shipped) / name):
                path.unlink(missing_ok=True)
    results: dict[str, Any] = {
        "opset": onnx_file.opset(floats(run, run.dataset.division.shipped) / NAMES[artefacts.SOURCE]),
        "files": {path.name: path.stat().st_size for path in made},
    }
    if lost:
        results["refused"] = [{"runtime": key[0], "precision": key[1], "why": why} for key, why in lost.items()]
    run.ledger.record_step("export", mark, results, made)
    return results


def not_made(run: RecipeRun) -> dict[Key, str]:
    """The files that a library could not make, and why."""
    refused = run.ledger.read("export").get("refused", ())
    return {(one["runtime"], one["precision"]): str(one["why"]) for one in refused}


def floats(run: RecipeRun, fold: Fold) -> Path:
    """The folder of a fold's float files, and of the shipped network's INT8 files."""
    return run.work / "artefacts" / fold.name


def present(run: RecipeRun) -> list[Key]:
    """The files of the shipped network that could be made; an INT8 one of an earlier search is not."""
    folder, searched = floats(run, run.dataset.division.shipped), run.ledger.read("quantize")
    lost = {("int8", runtime) for runtime, search in searched.items() if search["chosen"] is None}
    made = [key for key in artefacts.list_wanted(run.recipe) if (folder / NAMES[key]).is_file()]
    return [(runtime, precision) for runtime, precision in made if (precision, runtime) not in lost]


def fold_answers(run: RecipeRun, fold: Fold, folder: Path, key: Key, most: int | None = None) -> Answers:
    """A file's answers on the films held back from its fold, or on the first ``most`` of them."""
    films, net = run.array(run.films(fold.held))[:most], steps.load_final(run, fold)
    path, runtime = folder / artefacts.name_of(key), artefacts.choose_runtime(key[0])
    outputs = artefacts.outputs(path, runtime, run.spec, films, run.task.outputs)
    return run.task.answers(outputs, net.biases)


def calibration_films(run: RecipeRun, fold: Fold) -> NDArray[np.float32]:
    """(N, C, H, W): films that the fold's network learnt from, for the ranges of INT8 files."""
    return inputs(run.array(run.films(calibration_names(run, fold))))


def calibration_names(run: RecipeRun, fold: Fold) -> list[str]:
    """The names of :func:`calibration_films`."""
    return draw(run.dataset.select_finding(fold.train), run.recipe)


def draw(names: Sequence[str], recipe: Recipe) -> list[str]:
    """Draw the recipe's number of calibration films from the names, always the same ones."""
    order = np.random.default_rng(recipe.seed).permutation(len(names))[: recipe.quantize.films]
    return [names[int(index)] for index in order]

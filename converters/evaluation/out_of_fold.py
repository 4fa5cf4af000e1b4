"""Out-of-fold predictions: each fold's network on its held-back films, pooled over the folds, and the files that keep
them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import FilmSet
from converters.data.predictions import Predictions
from converters.data.splits import Fold
from converters.formats.artefacts import Key
from converters.tasks.interface import Outputs
from converters.training import fitting, steps
from converters.training.steps import RecipeRun

ORIGINAL: Key = ("pytorch", "fp32")
FOREIGN_ONNX: Key = ("onnx", "fp32")
"""What :data:`ORIGINAL` is called where it was an ONNX file that the user brought."""


def predictions_path(run: RecipeRun, key: Key) -> Path:
    """The file with one artefact's predictions over all folds."""
    return run.work / "predictions" / f"{key[0]}.{key[1]}.npz"


def as_predictions(films: FilmSet, logits: NDArray[np.float64]) -> Predictions:
    """Logits of films, as predictions."""
    held = films.films
    return Predictions(
        tuple(film.name for film in held),
        np.array([film.label for film in held], dtype=np.int64),
        tuple(film.patient for film in held),
        logits,
        tuple(dict(film.traits) for film in held),
    )


def original_outputs(run: RecipeRun, fold: Fold) -> Outputs:
    """The outputs of a fold's PyTorch network on its held-back films."""
    return fitting.outputs(steps.load_final(run, fold), run.array(run.films(fold.held)), run.task.outputs)


def hold_back(run: RecipeRun) -> FilmSet:
    """The films of all folds, each held back from one, in the order of the predictions."""
    folds = [run.films(fold.held) for fold in run.dataset.division.folds]
    return replace(run.dataset.films, films=tuple(film for fold in folds for film in fold.films))

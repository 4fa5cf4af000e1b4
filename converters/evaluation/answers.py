"""What a recipe's networks said of the films that each had not seen, pooled over the folds, and where that is kept."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import FilmSet
from converters.data.predictions import Predictions
from converters.data.splits import Fold
from converters.evaluation import outlines
from converters.formats.artefacts import Key
from converters.nets import CamNet
from converters.steps import Workshop
from converters.training import fitting

ORIGINAL: Key = ("pytorch", "fp32")
BROUGHT: Key = ("onnx", "fp32")
"""What :data:`ORIGINAL` is called where it was an ONNX file that the user brought."""


def predictions_path(shop: Workshop, key: Key) -> Path:
    """Where a file's answers over all folds are kept."""
    return shop.work / "predictions" / f"{key[0]}.{key[1]}.npz"


def said(shop: Workshop, fold: Fold, logits: NDArray[np.float64]) -> Predictions:
    """Logits of a fold's held-back films, as predictions."""
    return said_of(shop.films(fold.held), logits)


def said_of(films: FilmSet, logits: NDArray[np.float64]) -> Predictions:
    """Logits of films, as predictions."""
    held = films.films
    return Predictions(
        tuple(film.name for film in held), np.array([film.label for film in held], dtype=np.int64),
        tuple(film.patient for film in held), logits, tuple(dict(film.traits) for film in held),
    )  # fmt: skip


def truth_of(shop: Workshop, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The held-back films' masks at a map's grid, in the order of their predictions."""
    held = (shop.films(fold.held) for fold in shop.material.division.folds)
    return np.concatenate([outlines.truths(films, shape) for films in held])


def eager_maps(net: CamNet, films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, H, W) uint8 → maps (N, C, h, w) in PyTorch."""
    found = fitting.over(net, films, lambda one, seen: one(seen)[0])
    return np.asarray(found, dtype=np.float32)

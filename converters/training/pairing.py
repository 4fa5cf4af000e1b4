"""Calibration and weights of two networks that are pooled, fitted to films that neither had seen.

They are those of all folds together; the arithmetic is that of :mod:`converters.tasks.two_networks`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from converters.data.recipe_data import labels_of
from converters.nets.pair import Pair
from converters.tasks.classify import MAP
from converters.tasks.two_networks import OWN, calibrate, weigh
from converters.training import checkpoint, fitting, train
from converters.training.checkpoint import Checkpoint
from converters.workflow.recipe_run import RecipeRun


def mix(run: RecipeRun, stage: str) -> None:
    """Give the pairs of all folds, freshly trained, their calibration and weights, and keep them so."""
    folds = run.dataset.division.folds
    odds = np.concatenate([_own(pair_of(run, stage, fold.name), run, fold.held) for fold in folds])
    labels = np.concatenate([labels_of(run.films(fold.held)) for fold in folds])
    slopes, intercepts = calibrate(labels, odds, run.recipe.net.members)
    weights = weigh(labels, odds * slopes + intercepts)
    for fold in run.trained_folds:
        pair = pair_of(run, stage, fold.name)
        pair.mix(slopes, intercepts, weights)
        keep(pair, run, stage, fold.name)


def keep(pair: Pair, run: RecipeRun, stage: str, fold: str) -> None:
    """Write a pair where :func:`pair_of` finds it."""
    path = run.work / f"{stage}.{fold}.pt"
    checkpoint.save(path, Checkpoint(pair.name, pair.plan, pair.state_dict(), {}))


def pair_of(run: RecipeRun, stage: str, fold: str) -> Pair:
    """The pair of a fold."""
    net = train.restore(run.work / f"{stage}.{fold}.pt")
    assert isinstance(net, Pair)
    return net


def _own(pair: Pair, run: RecipeRun, held: Sequence[str]) -> NDArray[np.float64]:
    """(N, 2): the members' own logits for held-back films, by the arithmetic of the box."""
    cells = fitting.outputs(pair, run.array(run.films(held)), (MAP,))[MAP][:, list(OWN)]
    return np.asarray(cells.mean(axis=(2, 3), dtype=np.float64))

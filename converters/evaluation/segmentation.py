"""The gate of segmentation: a map whose cells are voxels (or pixels), judged by the Dice of its mask.

A film's own logit is that of its strongest cell, so that it is positive exactly when something is marked on it; the
probability of a cell is the network's own, and the threshold the one with the best mean Dice on held-back films.  All
here is at the map's grid; :mod:`converters.evaluation.evaluate` measures at that of the film.
"""

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import FilmSet
from converters.evaluation.gates import GateResult, verdict_of
from converters.failures import DataUnreadable
from converters.statistics import lesions
from converters.statistics.intervals import resamples
from firmware_app.imaging.model_input import resize

CUTS = np.linspace(-4.0, 4.0, 33)
"""Logits that are tried as the threshold: probabilities of 0.02 to 0.98."""

Cells = NDArray[np.float32]
"""(N, …): the logits of every cell of N films."""


def truths(films: FilmSet, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(N, …) masks at a map's grid. Raises :class:`DataUnreadable` for a film without an outline."""
    masks = []
    for film in films.films:
        mask = film.outline()
        if mask is None:
            raise DataUnreadable(film.name, "it has no outline")
        masks.append(mask if mask.shape == shape else resize(mask.astype(np.float32), shape) > 0.5)
    return np.stack(masks)


def dices(cells: Cells, truth: NDArray[np.bool_], cut: float) -> NDArray[np.float64]:
    """(N,) Dice of what lies at or above ``cut`` (a logit)."""
    return np.array([lesions.dice(one >= cut, other) for one, other in zip(cells, truth, strict=True)])


def stretch(cells: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(h, w) cells at a film's own (H, W), likewise of a volume."""
    return resize(cells, shape)


def best_cut(cells: Cells, truth: NDArray[np.bool_]) -> float:
    """The logit with the best mean Dice over the films that hold a lesion."""
    held = truth.reshape(len(truth), -1).any(axis=1)
    return float(max(CUTS, key=lambda cut: float(dices(cells[held], truth[held], float(cut)).mean())))


def dice_gate(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: NDArray[np.int64],
    patients: tuple[str, ...],
    loss: float,
) -> GateResult:
    """The gate of the outline: how much the mean Dice over films with a lesion changes; patients are resampled."""
    held = labels == 1
    changed = (after - before) * held
    drawn = [float(weights @ changed / (weights @ held)) for weights in resamples(labels, patients) if weights @ held]
    low, high = (float(value) for value in np.percentile(drawn, (2.5, 97.5)))
    value = float(changed.sum() / held.sum())
    said = f"Dice {before[held].mean():.4f} changes by {value:+.4f} ({low:+.4f} to {high:+.4f}), allowed {-loss:+g}"
    return verdict_of("dice", value, low, -loss, said)

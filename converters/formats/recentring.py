"""A factor and a summand per channel, in float, behind each map of an INT8 file.

Rounding shifts the mean of a map (N, C, H, W) and pulls it towards the middle, so that the films near the threshold
change sides in one direction.  The two numbers give the films' means the centre and spread of the float file's again
(docs/decisions/int8-openvino.md).  Other outputs, as the features, stay as they are.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converters.formats.accuracy_control import Asked
from converters.formats.interface import Films

MOST_FACTOR = 1.25
"""Largest correction of a map's spread, either way."""

TINY = 1e-9
Correction = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Factor and summand, (C,) each."""


def corrections(wanted: Asked, given: Asked, films: Films) -> Mapping[str, Correction]:
    """Output → what makes the film means of ``given`` those of ``wanted``; ``films`` are (N, C, H, W)."""
    aims, means = _means(wanted, films), _means(given, films)
    made = {}
    for name, mean in means.items():
        factor = aims[name].std(axis=0) / np.maximum(mean.std(axis=0), TINY)
        factor = factor.clip(1.0 / MOST_FACTOR, MOST_FACTOR)
        shift = aims[name].mean(axis=0) - factor * mean.mean(axis=0)
        made[name] = factor.astype(np.float32), shift.astype(np.float32)
    return made


def broadcast(values: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """(C,) values shaped (1, C, 1, …) to go with a map of so many dimensions."""
    return values.reshape(1, -1, *[1] * (dimensions - 2))


def _means(asked: Asked, films: Films) -> dict[str, NDArray[np.float64]]:
    """Output → (N, C): the mean of each channel of each map for each film."""
    each = [{name: values for name, values in asked(film[np.newaxis]).items() if values.ndim > 2} for film in films]
    means = [{name: values.mean(axis=tuple(range(2, values.ndim))) for name, values in one.items()} for one in each]
    return {name: np.concatenate([mean[name] for mean in means]).astype(np.float64) for name in each[0]}

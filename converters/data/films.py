"""Films made ready: every film of a set through the box's own preprocessing, into one array."""

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import FilmSet
from firmware_app import progress
from firmware_app.imaging.model_input import InputSpec


def prepared(films: FilmSet, spec: InputSpec) -> NDArray[np.uint8]:
    """(N, H, W) uint8, of volumes (N, D, H, W): the model input of each film times 255, rounded.

    It is a training cache; evaluation reads float.
    """
    out = np.empty((len(films.films), *spec.shape), dtype=np.uint8)
    with progress.counter(f"{films.name}: read") as advance:
        for index, film in enumerate(films.films):
            out[index] = np.rint(film.tensor(spec)[0, 0] * 255.0).astype(np.uint8)
            advance(index + 1, len(films.films))
    return out

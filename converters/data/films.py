"""Films made ready: every film of a set through the box's own preprocessing, into one array."""

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import FilmSet
from converters.progress import Progress
from firmware_app.imaging.model_input import InputSpec


def prepared(films: FilmSet, spec: InputSpec) -> NDArray[np.uint8]:
    """(N, H, W) uint8, of volumes (N, D, H, W): the model input of each film times 255, rounded.

    It is a training cache; evaluation reads float.
    """
    progress = Progress(f"reading {films.name}", len(films.films))
    out = np.empty((len(films.films), *spec.shape), dtype=np.uint8)
    for index, film in enumerate(films.films):
        out[index] = np.rint(film.tensor(spec)[0, 0] * 255.0).astype(np.uint8)
        progress.at(index + 1)
    return out

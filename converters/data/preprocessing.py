"""Preprocessing: every film of a set as the box prepares it, in one array."""

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import FilmSet
from firmware_app.core import console
from firmware_app.imaging.model_input import InputSpec


def prepare(films: FilmSet, spec: InputSpec) -> NDArray[np.uint8]:
    """(N, H, W) uint8, of volumes (N, D, H, W), of colours (N, H, W, 3): the input of each film times 255, rounded.

    It is a training cache; evaluation reads float.
    """
    out = np.empty((len(films.films), *spec.shape, *((3,) if spec.channels == 3 else ())), dtype=np.uint8)
    with console.show_progress(f"{films.name}: read") as advance:
        for index, film in enumerate(films.films):
            out[index] = round_to_bytes(film.tensor(spec))
            advance(index + 1, len(films.films))
    return out


def round_to_bytes(tensor: NDArray[np.float32]) -> NDArray[np.uint8]:
    """One model input (1, C, …) → (…) uint8, of three channels (H, W, 3)."""
    planes = tensor[0, 0] if tensor.shape[1] == 1 else np.moveaxis(tensor[0], 0, -1)
    return np.rint(planes * 255.0).astype(np.uint8)


def inputs(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What :func:`prepared` gave, (N, …) → model inputs (N, C, …) float32 in [0, 1]."""
    planes = np.moveaxis(films, -1, 1) if films.shape[-1] == 3 else films[:, np.newaxis]
    return planes.astype(np.float32) / np.float32(255.0)

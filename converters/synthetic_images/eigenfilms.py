"""Films of no patient: random draws from the principal components of training films, proved far from each of them.

A draw is the mean film plus a random Gaussian amount of each of the first components: of rank 40 at most where one film
would need thousands, so no film can be rebuilt from it. Random steps then lead it to where a model is sure of its
answer (a smooth film looks hazy to one that learnt from sharp films). It is accepted only when its distance to *every*
training film is at least the median distance between a training film and the nearest film of another patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from firmware_app.imaging.model_input import InputSpec, to_model_input
from firmware_app.packs.evidence import TrainingDistance

COMPONENTS = 40
FILMS_EACH = 11
"""At least so many films stand behind each component, so that none of them follows a single film."""

BASIS_PX = 112
BASIS_FILMS = 1200
DISTANCE_PX = 64
FILM_PX = 512
FIRST_STEP = 0.35
"""In spreads of each component."""

WIDEST = 2.5
BLOCK = 512


@dataclass(frozen=True, slots=True)
class Basis:
    """Mean (P,), components (K, P), and per label the mean (K,) and spread (K,) of the films' coefficients."""

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    centre: dict[int, NDArray[np.float64]]
    spread: dict[int, NDArray[np.float64]]


def components_of(films: int) -> int:
    """How many components are drawn from of so many training films."""
    return max(1, min(COMPONENTS, films // FILMS_EACH))


def basis(films: NDArray[np.uint8], labels: NDArray[np.int64], seed: int) -> Basis:
    """Principal components of (N, 112, 112) films; of a random 1,200 of them when there are more."""
    order = np.random.default_rng(seed).permutation(len(films))[:BASIS_FILMS]
    flat = films[order].reshape(len(order), -1).astype(np.float64) / 255.0
    mean = flat.mean(axis=0)
    centred = flat - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    top = np.argsort(values)[::-1][: components_of(len(films))]
    components = (vectors[:, top] / np.sqrt(np.maximum(values[top], 1e-12))).T @ centred
    amounts = centred @ components.T
    kinds = labels[order]
    return Basis(
        mean,
        components,
        {kind: amounts[kinds == kind].mean(axis=0) for kind in (0, 1)},
        {kind: amounts[kinds == kind].std(axis=0) for kind in (0, 1)},
    )


def draw(basis: Basis, label: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random amounts (K,) of the components for a label."""
    return basis.centre[label] + basis.spread[label] * rng.standard_normal(len(basis.components))


def change(
    amounts: NDArray[np.float64], basis: Basis, label: int, length: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Amounts a random step away, ``length`` spreads in each component, still within :data:`WIDEST` of the mean."""
    step = amounts + length * basis.spread[label] * rng.standard_normal(len(basis.components))
    room = WIDEST * basis.spread[label]
    return np.clip(step, basis.centre[label] - room, basis.centre[label] + room)


def render(basis: Basis, amounts: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The film (512, 512) uint8 of these amounts, its edges raised as film processing does (unsharp mask)."""
    film = (basis.mean + amounts @ basis.components).reshape(BASIS_PX, BASIS_PX)
    grey = Image.fromarray(np.clip(film, 0.0, 1.0).astype(np.float32))
    large = np.asarray(grey.resize((FILM_PX, FILM_PX), Image.Resampling.BICUBIC))
    bytes_ = Image.fromarray(np.rint(np.clip(large, 0.0, 1.0) * 255.0).astype(np.uint8))
    return np.asarray(bytes_.filter(ImageFilter.UnsharpMask(radius=12, percent=150, threshold=0)))


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Training films (N, 4096) float32 and the median distance between nearest films of different patients."""

    films: NDArray[np.float32]
    usual: float

    def distance(self, film: NDArray[np.uint8]) -> float:
        """Smallest root-mean-square difference to any training film, in units of ``usual``."""
        spec = InputSpec("distance", DISTANCE_PX, DISTANCE_PX)
        flat = to_model_input(film.astype(np.float32), spec).reshape(-1)
        return float(np.sqrt(((self.films - flat) ** 2).mean(axis=1)).min() / self.usual)

    def evidence(self, film: NDArray[np.uint8]) -> TrainingDistance:
        """The manifest's record of that distance."""
        nearest = round(self.distance(film) - 5e-4, 3)
        count = len(self.films)
        return TrainingDistance(pixels=DISTANCE_PX, components=components_of(count), nearest=nearest, films=count)


def neighbourhood(films: NDArray[np.uint8], patients: Sequence[str]) -> Neighbourhood:
    """``films``: (N, 64, 64) stretched greys of training films, ``patients``: whose they are."""
    flat = films.reshape(len(films), -1).astype(np.float32) / 255.0
    squares = (flat.astype(np.float64) ** 2).sum(axis=1)
    _, person = np.unique(np.array(patients), return_inverse=True)
    nearest = np.empty(len(flat))
    for start in range(0, len(flat), BLOCK):
        block = slice(start, start + BLOCK)
        gap = squares[block, np.newaxis] + squares[np.newaxis] - 2.0 * (flat[block] @ flat.T)
        gap[person[block, np.newaxis] == person[np.newaxis]] = np.inf
        nearest[block] = np.sqrt(np.maximum(gap.min(axis=1), 0.0) / flat.shape[1])
    return Neighbourhood(flat, float(np.median(nearest)))

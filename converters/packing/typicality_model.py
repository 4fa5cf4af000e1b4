"""What the training films look like to a network: the model of their features, and the limit of each model file.

The model (:mod:`firmware_app.packs.typicality`) is fitted to the features that all files give for the films which
the network learnt from. So the effect of quantization is part of the spread and does not make a film look unfamiliar.
The limit is set for each file that ships: the distance below which a share :data:`PASSES` of the films lies, each
judged by a model fitted without its part; then widened, because films that the network has not learnt from lie farther
away. Where the recipe says so each film counts twice, as it is and as another clinic's machine might give it
(:mod:`converters.synthetic_images.acquisition_shift`).  Needs no PyTorch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from converters.data.preprocessing import inputs, round_to_bytes
from firmware_app.imaging.model_input import InputSpec, to_model_input
from firmware_app.packs.manifest import DistanceLimit
from firmware_app.packs.runtimes.interface import Session
from firmware_app.packs.typicality import TypicalityModel

Key = tuple[str, str]
"""(runtime, precision) of a model file."""

Features = NDArray[np.float32]

PASSES = 0.95
EXPLAINED = 0.999
"""The components kept explain this share of the variance, if that takes no more than :data:`MOST_COMPONENTS`.

What tells adults from children lies in directions that hardly move in training; fewer components leave these to the
noise, and the adults' films pass (docs/decisions/unfamiliar.md).
"""

MOST_COMPONENTS = 256
FILMS_A_COMPONENT = 5
SMALLEST_SCALE = 0.05
"""Of the median feature's spread: one that hardly moves in training must not decide alone."""

PARTS = 5
MOST_FILMS = 2000


def draw(names: Sequence[str], seed: int) -> list[str]:
    """At most :data:`MOST_FILMS` of the names, always the same."""
    order = np.random.default_rng(seed).permutation(len(names))[:MOST_FILMS]
    return [names[int(index)] for index in sorted(order)]


def vary(pixels: NDArray[np.uint8], names: Sequence[str], spec: InputSpec, seed: int) -> NDArray[np.uint8]:
    """(N, H, W) films ready for a model → the same, each as another clinic's machine might give it.

    They are varied at the model's size and stretched again, as the box would. Noise and JPEG blocks, which a large film
    loses when it is shrunk, stay in them; so they lie somewhat farther from the training films than real ones.
    """
    from converters.synthetic_images import acquisition_shift  # only where the recipe asks for it

    again = replace(spec, crop="frame" if spec.crop == "frame" else "whole", despeckle="none", resize="squash")
    out = np.empty_like(pixels)
    for index, (film, name) in enumerate(zip(pixels, names, strict=True)):
        grey = acquisition_shift.vary(film.astype(np.float32) / np.float32(255.0), seed, name)
        out[index] = round_to_bytes(to_model_input(grey, again, ends=(0.0, 1.0)))
    return out


def features(session: Session, spec: InputSpec, output: str, films: NDArray[np.uint8]) -> Features:
    """The features (N, F) of films (N, H, W) uint8 by a model file, in the box's own runtime module."""
    given = (session.infer({spec.name: inputs(film[np.newaxis])}) for film in films)
    return np.concatenate([one[output].reshape(1, -1) for one in given])


def judge(
    features_by_file: Mapping[Key, Features], groups: Sequence[str], seed: int, wider: float
) -> tuple[TypicalityModel, tuple[DistanceLimit, ...]]:
    """The model of what all files say of the films of ``groups``, and each file's limit, ``wider`` by this factor."""
    learnt = list(features_by_file.values())
    limits = []
    for key, away in zip(features_by_file, hold_out(learnt, learnt, groups, seed), strict=True):
        limit = wider * float(np.quantile(away, PASSES))
        limits.append(DistanceLimit.model_validate({"runtime": key[0], "precision": key[1], "limit": round(limit, 4)}))
    return fit(learnt), tuple(limits)


def fit(features_by_file: Sequence[Features]) -> TypicalityModel:
    """The model of the features, (N, F) of each file, of the N films that a network learnt from."""
    values = np.concatenate(features_by_file).astype(np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.maximum(spread, SMALLEST_SCALE * max(float(np.median(spread)), 1e-6))
    variances, directions = _spread((values - mean) / scale)
    most = max(1, min(MOST_COMPONENTS, len(features_by_file[0]) // FILMS_A_COMPONENT, len(variances) - 1))
    explained = np.cumsum(variances) / max(float(variances.sum()), 1e-12)
    kept = min(most, int(np.searchsorted(explained, EXPLAINED)) + 1)
    noise = max(float(variances[kept:].sum()) / max(len(mean) - kept, 1), 1e-4)
    return TypicalityModel(
        mean.astype(np.float32),
        scale.astype(np.float32),
        directions[:kept].astype(np.float32),
        np.maximum(variances[:kept], noise).astype(np.float32),
        noise,
    )


def _spread(away: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, F) → the variances along the principal directions, largest first, and these, one a row.

    From the covariance: the directions that are kept stand far above its rounding, and with tens of thousands of films
    this takes a tenth of the time of a singular value decomposition.
    """
    variances, directions = np.linalg.eigh(away.T @ away / max(len(away) - 1, 1))
    most = min(away.shape)
    return np.maximum(variances[::-1][:most], 0.0), directions.T[::-1][:most]


def hold_out(
    learnt: Sequence[Features], asked: Sequence[Features], groups: Sequence[str], seed: int
) -> list[NDArray[np.float64]]:
    """(N,) distances for each of ``found``, by models fitted to ``learnt`` without the films of the same part.

    Parts hold whole ``groups``: a patient's second film would find the first one near.
    """
    named = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(named))
    part_of = {named[int(index)]: place % PARTS for place, index in enumerate(order)}
    parts = np.array([part_of[group] for group in groups])
    out = [np.empty(len(array)) for array in asked]
    for part in sorted(set(parts.tolist())):
        model = fit([array[parts != part] for array in learnt])
        for away, one in zip(out, asked, strict=True):
            away[parts == part] = [model.distance(features) for features in one[parts == part]]
    return out

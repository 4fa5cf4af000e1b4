"""The changes of `bench.left_out`: what each does to the films, to their features, or to how a last layer learns.

Films are (N, H, W) uint8, or in a batch (B, 1, H, W) float32 in [0, 1]. A change that gains nothing stays here alone,
so that its row can be printed again; nothing of it is in the converters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from converters.data import splits
from converters.data.datasets import FilmSet
from converters.data.preprocessing import inputs
from converters.data.splits import Fold
from converters.recipe import Recipe
from converters.training import targets
from converters.training.augment import restretched, uniform
from converters.workflow.recipe_run import RecipeRun

Films = NDArray[np.uint8]
Scores = NDArray[np.float64]
Vary = Callable[[Tensor, torch.Generator], Tensor]

KNOTS: Final = 6
TILES, CLIP = 8, 0.02
LOW: Final = 0.08
"""Of the sampling rate: Fourier amplitudes below it are mixed."""
ATLAS_PX: Final = 32
ZOOMS, MOVES = (0.85, 1.0, 1.15), (-0.12, 0.0, 0.12)
MIDDLE: Final = 0.88
"""The share of the atlas's sides that holds both lungs."""
DECAY: Final = 0.1
"""Of the last layer: the loss is the weighted mean cross-entropy and half of this times the squared length."""
ROBUST_ROUNDS, ROBUST_STEP = 8, 1.0
VIEW_ROUNDS: Final = 8
SHRINK: Final = 0.5
"""A covariance of few films is taken for half its own and half its diagonal."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What one last layer learns from and reads: `seen` (K, N, F) are the features of the copies of `films`, the first
    of them unvaried; `headers` (N, H) what is known of each film beside its picture, width and height first."""

    films: FilmSet
    seen: NDArray[np.float32]
    headers: NDArray[np.float64]
    fold: Fold
    recipe: Recipe

    def rows(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Where these films stand in the set, in its order."""
        wanted = set(names)
        return np.array([row for row, film in enumerate(self.films.films) if film.name in wanted])

    def views(self, names: Sequence[str]) -> NDArray[np.str_]:
        return np.array([dict(self.films.films[row].traits)["view"] for row in self.rows(names)])


@dataclass(frozen=True, slots=True)
class Change:
    """See the module. `plan` and `input` are of the recipe's tables; `of` names the changes whose scores are averaged,
    over `members` seeds each, where there are any."""

    text: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Films, NDArray[np.float64]], Films] | None = None
    """Of all films, with their headers, before anything else."""
    vary: Vary | None = None
    """Of the copies that are learnt from."""
    learn: Callable[[Scene], Scores] = field(default_factory=lambda: last_layer)
    folds: Callable[[RecipeRun, Fold], Sequence[Fold]] = field(default_factory=lambda: left_out_alone)
    of: tuple[str, ...] = ()
    members: int = 1


# --- how the last layer learns -------------------------------------------------------------------------------------


def last_layer(scene: Scene) -> Scores:
    """Logistic regression of the recipe's targets on features of mean 0 and deviation 1: (N,) log odds."""
    learnt, held, aim = parts(scene)
    return held @ fitted(learnt, np.tile(aim.main, len(scene.seen)), np.tile(aim.weights, len(scene.seen)))


def parts(scene: Scene) -> tuple[NDArray[np.float64], NDArray[np.float64], targets.Targets]:
    """The features that are learnt from, copy after copy, those that are read, and the targets of the former."""
    learnt = scene.seen[:, scene.rows(scene.fold.train)].astype(np.float64).reshape(-1, scene.seen.shape[2])
    held = scene.seen[0, scene.rows(scene.fold.held)].astype(np.float64)
    mean, deviation = learnt.mean(axis=0), learnt.std(axis=0) + 1e-3
    aim = targets.costly(scene.films.only(scene.fold.train), scene.recipe)
    return (learnt - mean) / deviation, (held - mean) / deviation, aim


def fitted(x: NDArray[np.float64], wanted: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """(F,) the line; its constant, which ranks nothing, is thrown away."""
    line, place = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True), torch.from_numpy(x)
    aim, weight = torch.from_numpy(wanted).double(), torch.from_numpy(weights).double()
    optimiser = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        odds = place @ line[1:] + line[0]
        value = functional.binary_cross_entropy_with_logits(odds, aim, weight) + DECAY / 2.0 * line[1:].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return np.asarray(line.detach().numpy()[1:], dtype=np.float64)


def robust(scene: Scene) -> Scores:
    """The group that is learnt worst counts most (group DRO, Sagawa et al. 2020); a group is a view and a label."""
    learnt, held, aim = parts(scene)
    labels = [film.label for film in scene.films.only(scene.fold.train).films]
    words = [f"{view} {label}" for view, label in zip(scene.views(scene.fold.train), labels, strict=True)]
    group = np.tile(np.unique(words, return_inverse=True)[1], len(scene.seen))
    wanted, size = np.tile(aim.main, len(scene.seen)), np.bincount(group)
    share = np.full(len(size), 1.0 / len(size))
    line = np.zeros(learnt.shape[1])
    for _ in range(ROBUST_ROUNDS):
        weights = (share / size)[group] * len(group)
        line = fitted(learnt, wanted, weights.astype(np.float32))
        odds = torch.from_numpy(learnt @ line)
        each = functional.binary_cross_entropy_with_logits(odds, torch.from_numpy(wanted).double(), reduction="none")
        share = share * np.exp(ROBUST_STEP * np.bincount(group, each.numpy()) / size)
        share /= share.sum()
    return np.asarray(held @ line, dtype=np.float64)


def without_view(scene: Scene) -> Scores:
    """What tells the view by a line is projected out, again and again (Ravfogel et al. 2020): linear, adversarial."""
    learnt, held, aim = parts(scene)
    is_ap = np.tile((scene.views(scene.fold.train) == "AP").astype(np.float32), len(scene.seen))
    even = targets.balanced(is_ap.astype(np.int64), [""] * len(is_ap))
    for _ in range(VIEW_ROUNDS):
        line = fitted(learnt, is_ap, even)
        line /= np.linalg.norm(line)
        learnt, held = (x - np.outer(x @ line, line) for x in (learnt, held))
    return held @ fitted(learnt, np.tile(aim.main, len(scene.seen)), np.tile(aim.weights, len(scene.seen)))


def aligned_views(scene: Scene) -> Scores:
    """AP films' features get the mean and the covariance of PA films' (CORAL, Sun & Saenko 2016)."""
    learnt, held, aim = parts(scene)
    is_ap = np.tile(scene.views(scene.fold.train) == "AP", len(scene.seen))
    before, after = learnt[is_ap], learnt[~is_ap]
    move = _power(before, -0.5) @ _power(after, 0.5)
    for x, here in ((learnt, is_ap), (held, scene.views(scene.fold.held) == "AP")):
        x[here] = (x[here] - before.mean(axis=0)) @ move + after.mean(axis=0)
    return held @ fitted(learnt, np.tile(aim.main, len(scene.seen)), np.tile(aim.weights, len(scene.seen)))


def _power(x: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    covariance = np.cov(x.T)
    covariance = (1.0 - SHRINK) * covariance + SHRINK * np.diag(np.diag(covariance)) + 1e-3 * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * values**power) @ vectors.T, dtype=np.float64)


def of_headers(scene: Scene) -> Scores:
    """No picture at all: view, sex, age, number of the visit, size and spacing of the original, each in five bands."""
    columns = []
    for values in scene.headers.T:
        bands = np.searchsorted(np.quantile(values, (0.2, 0.4, 0.6, 0.8)), values)
        columns += [bands == band for band in np.unique(bands)]
    return last_layer(replace(scene, seen=np.stack(columns, axis=1).astype(np.float32)[np.newaxis]))


def by_own_statistics(scene: Scene) -> Scores:
    """Mean and deviation of each feature are taken from the films that are read, unlabelled."""
    learnt, held, aim = parts(scene)
    line = fitted(learnt, np.tile(aim.main, len(scene.seen)), np.tile(aim.weights, len(scene.seen)))
    return np.asarray(((held - held.mean(axis=0)) / (held.std(axis=0) + 1e-3)) @ line, dtype=np.float64)


# --- which films it learns from ------------------------------------------------------------------------------------


def left_out_alone(_run: RecipeRun, fold: Fold) -> Sequence[Fold]:
    """The fold as it is."""
    return [fold]


def halves_of_itself(run: RecipeRun, fold: Fold) -> Sequence[Fold]:
    """The source read by a layer that knows it: each half of its patients by one that has learnt from the other."""
    labels = {film.name: film.label for film in run.films(fold.held).films}
    two = splits.draw(labels, run.dataset.group_of, 0.5, run.recipe.seed)
    return [Fold("one", two[0], two[1]), Fold("other", two[1], two[0])]


def halves_and_other(run: RecipeRun, fold: Fold) -> Sequence[Fold]:
    """The same, and each has learnt from the other source's films too."""
    return [Fold(one.name, tuple(sorted(one.train + fold.train)), one.held) for one in halves_of_itself(run, fold)]


# --- what it sees --------------------------------------------------------------------------------------------------


def toned(films: Tensor, rng: torch.Generator) -> Tensor:
    """Each film through a rising curve of its own, of :data:`KNOTS` straight pieces."""
    steps = torch.exp(0.8 * torch.randn(len(films), KNOTS, generator=rng))
    heights = torch.cat([torch.zeros(len(films), 1), steps.cumsum(dim=1) / steps.sum(dim=1, keepdim=True)], dim=1)
    place = films.clamp(0.0, 1.0).flatten(1) * KNOTS
    piece = place.long().clamp(max=KNOTS - 1)
    low, high = heights.gather(1, piece), heights.gather(1, piece + 1)
    return (low + (high - low) * (place - piece)).view_as(films)


def convolved(films: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the films mixed with what a random filter makes of them (Xu et al. 2021); dense stays bright."""
    side = 1 + 2 * int(torch.randint(1, 4, (), generator=rng))
    kernel = torch.randn(1, 1, side, side, generator=rng) / side
    kernel = kernel * torch.sign(kernel.sum())
    other = restretched(functional.conv2d(functional.pad(films, [side // 2] * 4, "reflect"), kernel), rng)
    share = uniform(len(films), 0.0, 1.0, rng) * (uniform(len(films), 0.0, 1.0, rng) < 0.5)
    return films + (other - films) * share


def amplitudes_mixed(films: Tensor, rng: torch.Generator) -> Tensor:
    """Seven films of ten take low Fourier amplitudes of another one (Xu et al. 2021); phases stay."""
    spectrum = torch.fft.rfft2(films)
    amplitude = spectrum.abs()
    height, width = films.shape[-2:]
    down, across = torch.fft.fftfreq(height).abs(), torch.fft.rfftfreq(width)
    low = ((down[:, None] < LOW) & (across[None] < LOW)).float()
    share = uniform(len(films), 0.0, 1.0, rng) * (uniform(len(films), 0.0, 1.0, rng) < 0.7)
    other = amplitude[torch.randperm(len(films), generator=rng)]
    mixed = torch.polar(amplitude + (other - amplitude) * share * low, spectrum.angle())
    return torch.fft.irfft2(mixed, s=(height, width)).clamp(0.0, 1.0)


def equalised(films: Films, _headers: NDArray[np.float64]) -> Films:
    """Every grey of a film as frequent as any other."""
    return np.stack([_curve(film, 1.0)[film] for film in films])


def equalised_locally(films: Films, _headers: NDArray[np.float64]) -> Films:
    """CLAHE (Zuiderveld 1994): each tile's histogram, cut at :data:`CLIP`, made even, curves blended between tiles."""
    return np.stack([_clahe(film) for film in films])


def _clahe(film: Films) -> Films:
    height, width = film.shape
    rows, columns = np.array_split(np.arange(height), TILES), np.array_split(np.arange(width), TILES)
    curves = np.array([[_curve(film[np.ix_(down, across)], CLIP) for across in columns] for down in rows])
    down, top = _between(height)
    across, left = _between(width)
    grey = film.astype(np.intp)
    mixed = np.zeros(film.shape)
    for lower in (0, 1):
        for right in (0, 1):
            part = (down if lower else 1.0 - down)[:, None] * (across if right else 1.0 - across)[None]
            rows_here, columns_here = np.minimum(top + lower, TILES - 1), np.minimum(left + right, TILES - 1)
            mixed += part * curves[rows_here[:, None], columns_here[None], grey]
    return np.rint(mixed).astype(np.uint8)


def _between(side: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """For each pixel of a side: the tile whose middle lies before it, and how far it is to the next one's, 0 to 1."""
    place = np.clip((np.arange(side) + 0.5) * TILES / side - 0.5, 0.0, TILES - 1.0)
    before = np.floor(place).astype(np.intp)
    return place - before, before


def _curve(part: Films, clip: float) -> Films:
    """(256,) the grey that each grey becomes; a share of pixels above *clip* is spread over all greys."""
    share = np.bincount(part.ravel(), minlength=256) / part.size
    over = np.maximum(share - clip, 0.0).sum()
    share = np.minimum(share, clip) + over / 256.0
    return np.rint(255.0 * np.cumsum(share)).clip(0, 255).astype(np.uint8)


def or_plain(made: Callable[[Films, NDArray[np.float64]], Films]) -> Vary:
    """Half of the films of a batch as *made* has them, half as they are."""

    def vary(films: Tensor, rng: torch.Generator) -> Tensor:
        greys = (films[:, 0].clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()
        other = torch.from_numpy(inputs(made(greys, np.empty(0))))
        return torch.where(uniform(len(films), 0.0, 1.0, rng) < 0.5, other, films)

    return vary


def of_true_aspect(films: Films, headers: NDArray[np.float64]) -> Films:
    """ChestX-ray14 is published square: films get back the aspect of their originals, with black bars."""
    size = torch.from_numpy(headers[:, :2])
    stretch = (size.amax(dim=1, keepdim=True) / size).float()
    matrix = torch.zeros(len(films), 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = stretch[:, 0], stretch[:, 1]
    moved = _moved(torch.from_numpy(inputs(films)), matrix, films.shape[1], "zeros")
    return np.asarray((moved[:, 0] * 255.0).round().to(torch.uint8).numpy())


def of_lungs(films: Films, _headers: NDArray[np.float64]) -> Films:
    """Films moved and zoomed onto their mean, and cut to where both lungs lie in it."""
    return onto(films, inputs(films).mean(axis=0, keepdims=True))


def onto(films: Films, mean: NDArray[np.float32]) -> Films:
    """Films moved and zoomed onto the atlas *mean*, (1, 1, H, W), and cut to where both lungs lie in it."""
    seen, atlas = torch.from_numpy(inputs(films)), _alike(torch.from_numpy(mean))
    best, chosen = torch.full((len(films),), -2.0), torch.zeros(len(films), 2, 3)
    small = functional.interpolate(seen, 2 * ATLAS_PX, mode="bilinear", antialias=True, align_corners=False)
    for zoom in ZOOMS:
        for down in MOVES:
            for across in MOVES:
                matrix = torch.tensor([[zoom, 0.0, across], [0.0, zoom, down]]).expand(len(films), 2, 3)
                alike = (_alike(_moved(small, matrix, 2 * ATLAS_PX)) * atlas).mean(dim=(1, 2, 3))
                better = alike > best
                best, chosen[better] = torch.maximum(best, alike), matrix[better]
    size = films.shape[1] * 5 // 8  # 256 px become 160
    chosen[:, 0, 0] *= MIDDLE
    chosen[:, 1, 1] *= MIDDLE
    return np.asarray((_moved(seen, chosen, size)[:, 0] * 255.0).round().to(torch.uint8).numpy())


def _moved(films: Tensor, matrix: Tensor, size: int, beyond: str = "border") -> Tensor:
    grid = functional.affine_grid(matrix, [len(films), 1, size, size], align_corners=False)
    return functional.grid_sample(films, grid, padding_mode=beyond, align_corners=False)


def _alike(films: Tensor) -> Tensor:
    """(N, 1, H, W) at :data:`ATLAS_PX`, mean 0 and deviation 1: the mean product of two is their correlation."""
    small = functional.interpolate(films, ATLAS_PX, mode="bilinear", antialias=True, align_corners=False)
    small = small - small.mean(dim=(1, 2, 3), keepdim=True)
    return small / small.std(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)


CHANGES: Final[Mapping[str, Change]] = {
    "none": Change("none"),
    "published": Change("the published model's opinion in full", plan={"published_weight": 1.0}),
    "labels": Change("no opinion of the published model, labels alone", plan={"published_weight": 0.0}),
    "aspect": Change("true aspect, black bars", prepare=of_true_aspect),
    "lungs": Change("moved onto an atlas and cut to the lungs", input={"size": 256}, prepare=of_lungs),
    "224": Change("films of 224 px", input={"size": 224}),
    "288": Change("films of 288 px", input={"size": 288}),
    "tones": Change("random tone curves", vary=toned),
    "convolutions": Change("random convolutions", vary=convolved),
    "amplitudes": Change("low Fourier amplitudes mixed", vary=amplitudes_mixed),
    "equalised": Change("histograms equalised, in training and reading", prepare=equalised),
    "clahe": Change("CLAHE, in training and reading", prepare=equalised_locally),
    "clahe-half": Change("CLAHE for half of the films in training, none in reading", vary=or_plain(equalised_locally)),
    "adversarial": Change("features that do not tell the view (linear)", learn=without_view),
    "coral": Change("features of both views aligned (CORAL)", learn=aligned_views),
    "robust": Change("group DRO over view and label", learn=robust),
    "statistics": Change("the statistics of the features are those of the films read", learn=by_own_statistics),
    "ensemble": Change("three seeds averaged", of=("none",), members=3),
    "headers": Change("no picture: view, sex, age, visit, size and spacing alone", learn=of_headers),
    "headers-itself": Change(
        "not left out, no picture: the same, from half of its own patients", learn=of_headers, folds=halves_of_itself
    ),
    "itself": Change("not left out: learnt from half of its own patients alone", folds=halves_of_itself),
    "both": Change("not left out: half of its own patients, and the other source", folds=halves_and_other),
}

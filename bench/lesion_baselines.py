"""What simple means reach on the frozen test part of a recipe of lesions: the least that its network must beat.

    python -m bench.lesion_baselines RECIPE --data FOLDER

* *the average outline*: the mean mask of the training images with a lesion, cut where its mean Dice on them is best, is
  marked on every test image, whatever it shows; the organ's outline likewise;
* *numbers of the outline*: Fisher's linear discriminant of size, axis ratio, place, greys inside and around, for the
  positive class among images with a lesion. It is given the outline that a person drew, and so knows more than a
  network;
* *numbers of the image*: the same of the greys' mean, spread and aspect, for the positive class among all images. A
  high figure means that the data set gives its classes away.

No torch and no model file are needed. Intervals are 95 %, patients resampled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import harness
from converters.data.datasets import Film, FilmSet
from converters.data.recipe_data import labels_of, open_recipe_data
from converters.data.splits import lists_of
from converters.recipe import load_recipe
from converters.statistics import intervals, lesions
from converters.statistics.lesions import dice
from converters.tasks.lesions import Settings
from firmware_app.imaging import lesion_outlines
from firmware_app.imaging.lesion_outlines import measure_outline
from firmware_app.imaging.model_input import resize, stretch

GRID: Final = (64, 64)
CUTS: Final = np.linspace(0.05, 0.6, 12)
RIDGE: Final = 0.1
"""Added to the numbers' common covariance, whose variances are 1."""

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args(arguments)
    recipe = load_recipe(options.recipe)
    if not isinstance(recipe.settings, Settings):
        harness.give_up(f'{options.recipe} is no recipe of task = "lesions"')
    opened = open_recipe_data(recipe, options.data, lists=lists_of(options.recipe.parent))
    test = opened.part("test")
    held = {film.name for film in test.films}
    learnt = opened.films.only([film.name for film in opened.films.films if film.name not in held])
    print(f"{len(learnt.films)} images learnt from, {len(test.films)} of the test part")
    average_outline(learnt, test)
    if recipe.settings.organ is not None:
        average_organ(learnt, test, recipe.settings.organ)
    measure_discrimination(
        "numbers of the outline, images with a lesion", *(with_lesion(one) for one in (learnt, test))
    )
    measure_discrimination("numbers of the image, all images", *((one, describe_images(one)) for one in (learnt, test)))
    return 0


def average_outline(learnt: FilmSet, test: FilmSet) -> None:
    """Print what the average outline reaches as a mark."""
    mask = _average([one for film in learnt.films if (one := film.outline()) is not None and bool(one.any())])
    marks = []
    for film in test.films:
        truth = film.outline()
        assert truth is not None
        marks.append(lesions.mark(resize(mask.astype(np.float32), truth.shape), truth, 0.5))
    told = lesions.measure_lesions(marks, [film.patient for film in test.films])
    print(
        f"the average outline: Dice {_number(told.dice, told.dice_ci)} over {sum(bool(mark.hits) for mark in marks)} "
        f"images with a lesion, {told.lesions.hits} of {told.lesions.n} lesions marked at {told.false_per_film:.2f} "
        f"false marks an image, {told.clean.hits} of {told.clean.n} images without a lesion left without a mark"
    )


def average_organ(learnt: FilmSet, test: FilmSet, organ: str) -> None:
    """Print the Dice of the organ's average outline."""
    mask = _average([one for film in learnt.films if (one := film.outline(organ)) is not None and bool(one.any())])
    marks = []
    for film in test.films:
        truth = film.outline(organ)
        if truth is not None and truth.any():
            marks.append((dice(resize(mask.astype(np.float32), truth.shape) >= 0.5, truth), film.patient))
    values = np.array([value for value, _ in marks])
    told = _number(float(values.mean()), intervals.mean_interval(values, [patient for _, patient in marks]))
    print(f"the average outline of the organ: Dice {told} over {len(values)} images")


def measure_discrimination(what: str, learnt: tuple[FilmSet, Numbers], test: tuple[FilmSet, Numbers]) -> None:
    """Print the AUC of Fisher's discriminant of (N, K) numbers, learnt on one set and judged on the other."""
    labels = labels_of(test[0])
    scores = test[1] @ fisher(learnt[1], labels_of(learnt[0]))
    patients = [film.patient for film in test[0].films]
    area, interval = intervals.auc(labels, scores), intervals.auc_interval(labels, scores, patients)
    print(f"{what}: AUC {_number(area, interval)}, {int(labels.sum())} of {len(labels)} positive")


def fisher(numbers: Numbers, labels: NDArray[np.int64]) -> Numbers:
    """(K,) weights that part two classes of (N, K) numbers best by their means and common covariance (Fisher 1936)."""
    spread = numbers.std(axis=0) + 1e-9
    scaled = (numbers - numbers.mean(axis=0)) / spread
    means = [scaled[labels == label].mean(axis=0) for label in (0, 1)]
    common = sum(np.cov(scaled[labels == label], rowvar=False) for label in (0, 1)) / 2.0
    weights = np.linalg.solve(common + RIDGE * np.eye(numbers.shape[1]), means[1] - means[0])
    return np.asarray(weights / spread)


def with_lesion(films: FilmSet) -> tuple[FilmSet, Numbers]:
    """The films with an outlined lesion, and the (N, K) numbers of the largest one."""
    kept, rows = [], []
    for film in films.films:
        row = describe_outline(film)
        if row is not None:
            kept.append(film)
            rows.append(row)
    return FilmSet(films.name, films.positive, tuple(kept)), np.array(rows)


def describe_outline(film: Film) -> list[float] | None:
    """Share of the image, axis ratio, place, greys inside, around and their difference; ``None`` without a lesion."""
    mask = film.outline()
    axes = None if mask is None else measure_outline(lesion_outlines.trace_outline(mask.astype(np.float32), 0.5))
    if mask is None or axes is None:
        return None
    greys, (rows, columns) = _greys(film), np.nonzero(mask)
    reach = max(3, round(axes.short / 4.0))
    top, left = max(0, int(rows.min()) - reach), max(0, int(columns.min()) - reach)
    near = np.zeros_like(mask)
    near[top : rows.max() + reach + 1, left : columns.max() + reach + 1] = True
    around, inside = greys[near & ~mask], greys[mask]
    return [
        float(np.log(mask.mean())),
        axes.short / axes.long,
        rows.mean() / mask.shape[0],
        columns.mean() / mask.shape[1],
        float(inside.mean()),
        float(inside.std()),
        float(around.mean()),
        float(inside.mean() - around.mean()),
    ]


def describe_images(films: FilmSet) -> Numbers:
    """(N, K): mean and spread of the greys, share of black, the aspect."""
    rows = []
    for film in films.films:
        greys = _greys(film)
        rows.append([greys.mean(), greys.std(), (greys < 0.02).mean(), greys.shape[1] / greys.shape[0]])
    return np.array(rows, dtype=np.float64)


def _greys(film: Film) -> NDArray[np.float32]:
    grey = film.read()
    low, high = (float(value) for value in np.percentile(grey, (0.5, 99.5)))
    return stretch(grey, low, high)


def _average(masks: Sequence[Mask]) -> Mask:
    """(64, 64): the mean of masks, cut where its mean Dice on them is best."""
    small = np.stack([resize(mask.astype(np.float32), GRID) >= 0.5 for mask in masks])
    mean = small.mean(axis=0)
    best = max(CUTS, key=lambda cut: float(np.mean([dice(mean >= cut, one) for one in small])))
    return np.asarray(mean >= best)


def _number(value: float | None, interval: tuple[float, float] | None) -> str:
    return "none" if value is None or interval is None else f"{value:.3f} ({interval[0]:.3f}-{interval[1]:.3f})"


if __name__ == "__main__":
    sys.exit(main())

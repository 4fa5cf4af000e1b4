"""Films that only a teacher labels: of ``[data] unlabelled``, and none that is, or copies, a film that judges.

A group of the test part gives no film at all, one that is held back from a fold none to that fold's student.  Copies
are found by their pixels, films of one person by file names that say so (:func:`converters.data.datasets.patient_of`).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.data import datasets, film_digests, merged_sets, recipe_data
from converters.data.datasets import Film, FilmSet
from converters.data.preprocessing import prepare
from converters.data.recipe_data import RecipeData
from converters.data.splits import Fold
from converters.recipe import Recipe
from firmware_app.imaging.model_input import InputSpec


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """The films' model input (M, H, W) uint8, the group and the digest (:mod:`converters.data.film_digests`) of each,
    and the groups of the recipe's own films."""

    pixels: NDArray[np.uint8]
    groups: tuple[str, ...]
    words: dict[str, str]
    group_of: dict[str, str]

    def pixels_of(self, fold: Fold) -> NDArray[np.uint8]:
        """What the student of a fold may see: nothing of those who judge it."""
        learnt = set(fold.train)
        held = {self.group_of[name] for name in fold.held if name not in learnt}
        return self.pixels[[group not in held for group in self.groups]]


def open_unlabelled(recipe: Recipe, data: Path, own: RecipeData, spec: InputSpec) -> Unlabelled:
    """Open them, beside ``data``; none when the recipe names none or gives them no share."""
    plan = recipe.distill
    if plan is None or not plan.unlabelled_share or not recipe.data.unlabelled:
        return Unlabelled(np.empty((0, *spec.shape), dtype=np.uint8), (), {}, own.group_of)
    beside = data.resolve().parent
    every = [film for name in recipe.data.unlabelled for film in _name(beside / name)]
    _, group_of = recipe_data.group(own.films, every)
    test = {group_of[name] for name in own.division.test}
    kept = [film for film in every if group_of[film.name] not in test]
    if len(kept) < len(every):
        line = f"{recipe.pack}: {len(every) - len(kept)} unlabelled films left out: they belong to the test part"
        print(line, file=sys.stderr, flush=True)
    share = plan.unlabelled_share
    most = int(share / (1.0 - share) * len(own.division.shipped.train))
    order = np.random.default_rng(recipe.seed).permutation(len(kept))[:most]
    chosen = [kept[int(index)] for index in order]
    return Unlabelled(
        prepare(FilmSet("unlabelled films", "", tuple(chosen)), spec),
        tuple(group_of[film.name] for film in chosen),
        {film.name: film_digests.digest_film(film) for film in chosen},
        group_of,
    )


def _name(path: Path) -> Sequence[Film]:
    """The films of a set under names of their own; a patient number of one set is not that of another."""
    return [
        replace(film, name=f"unlabelled/{path.name}/{film.name}", patient=merged_sets.patient(film, path.name))
        for film in datasets.any_films(path).films
    ]

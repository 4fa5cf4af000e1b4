"""A recipe's films: opened, grouped by patient and near-duplicate, divided into folds and a frozen test part."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters import tasks
from converters.data import class_words, datasets, duplicates, merged_sets, readers, splits, volume_sets, volumes
from converters.data.datasets import Film, FilmSet
from converters.data.preprocessing import prepare
from converters.failures import DataUnreadable, RecipeInvalid
from converters.recipe import Recipe
from converters.recipe_tables import ClassWords, Reader
from firmware_app.imaging.model_input import InputSpec

HASH_PX = 64


@dataclass(frozen=True, slots=True)
class RecipeData:
    """All films of a recipe, their group (patient and duplicates) and how they are divided."""

    films: FilmSet
    group_of: dict[str, str]
    division: splits.Division
    feedback: tuple[str, ...] = ()
    """Names of the films that came back from clinics."""
    own_heads: frozenset[str] = frozenset()
    """Names of the films that are learnt through a head of their set's own: their label is not the finding's."""

    def part(self, name: str) -> FilmSet:
        """The films of ``train``, ``val`` or ``test``."""
        return self.films.only(self.division.part(name))

    def select_finding(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of these films whose label is the finding's."""
        return tuple(name for name in names if name not in self.own_heads)


def input_spec(recipe: Recipe) -> InputSpec:
    """The input of the recipe's model."""
    wanted = recipe.input
    return InputSpec(
        wanted.name,
        wanted.size,
        wanted.size,
        low_percentile=wanted.low_percentile,
        high_percentile=wanted.high_percentile,
        depth=wanted.depth,
        crop=wanted.crop,
        despeckle=wanted.despeckle,
        resize=wanted.resize,
        greys=wanted.greys,
        channels=1 if wanted.colour == "grey" else 3,
    )


def open_recipe_data(
    recipe: Recipe, data: Path, feedback: Sequence[FilmSet] = (), lists: Path | None = None
) -> RecipeData:
    """Open, group and divide. The test part is frozen in ``lists`` on first use and only checked afterwards.

    Films of ``feedback`` are learnt from and never judge; one of a test patient, or that copies a test film, is a leak.
    One that stands in two exports counts once, as the later says. Films of sets with a head of their own never judge
    either; those that belong to the test part are left out.
    """
    films = open_reader(recipe, data)
    if feedback and any(film.target for film in films.films):
        raise RecipeInvalid(recipe.pack, "--add-feedback: clinics say yes or no of one finding, this pack has others")
    more = tuple({film.name.partition("/")[2]: film for film_set in feedback for film in film_set.films}.values())
    group_of, with_more = group(films, more)
    own = own_head_films(recipe, films)
    folder = splits.LISTS if lists is None else lists
    known = splits.frozen_test(recipe.pack, folder)
    frozen = tuple(name for name in known if name not in own)  # it may have been drawn before a set got its own head
    if known and recipe.data.beside:
        test = {group_of[name] for name in known if name in group_of}
        films = merged_sets.leave_out(films, [beside.name for beside in recipe.data.beside], test, group_of, frozen)
    wanted, judging = recipe.data, [film for film in films.films if film.name not in own]
    task = tasks.get(recipe.task).configure(recipe)
    labels = {film.name: film.label for film in judging}
    strata = {film.name: task.stratum(film) for film in judging}
    division = splits.divide(
        labels, group_of, wanted.folds, val=wanted.val, test=wanted.test, seed=recipe.seed, frozen=frozen, strata=strata
    )
    if not known:
        drawn = f"{len(division.test)} films of {films.name}"
        note = f"test part of {recipe.pack}: {drawn}, drawn once with seed {recipe.seed}"
        splits.freeze_test(recipe.pack, division.test, note, folder)
    if own:
        test = {group_of[name] for name in division.test}
        films = merged_sets.leave_out(films, wanted.own_heads, test, group_of, ())
        own = own_head_films(recipe, films)
        division = splits.join(division, sorted(own), group_of)
    if not more:
        return RecipeData(films, group_of, division, own_heads=own)
    names = tuple(sorted(film.name for film in more))
    every = FilmSet(films.name, films.positive, (*films.films, *more))
    return RecipeData(every, with_more, splits.join(division, names, with_more), names, own)


def own_head_films(recipe: Recipe, films: FilmSet) -> frozenset[str]:
    """The names of the films that are learnt through a head of their set's own.

    Raises :class:`~converters.failures.RecipeInvalid` where such a set has films of one class only.
    """
    own = set[str]()
    for name in recipe.data.own_heads:
        of_set = [film for film in films.films if film.values(merged_sets.SOURCE) == name]
        if len({film.label for film in of_set}) < 2:
            raise RecipeInvalid(recipe.pack, f"[[data.beside]] own_head: the films of {name} are of one class")
        own |= {film.name for film in of_set}
    return frozenset(own)


def open_reader(recipe: Recipe, data: Path) -> FilmSet:
    """The recipe's reader on ``data``, and what its task makes of the films' labels."""
    wanted = recipe.data
    films = read_by(wanted.reader, data, wanted.positive, wanted.negative)
    if wanted.beside:
        near = data.resolve().parent
        more = {}
        for beside in wanted.beside:
            words = wanted if beside.positive is None else beside
            more[beside.name] = read_by(beside.reader, near / beside.path, words.positive, words.negative)
        films = merged_sets.merge(films, more)
    return tasks.get(recipe.task).configure(recipe).aim(films)


def read_by(reader: Reader, data: Path, positive: ClassWords | None, negative: ClassWords | None = None) -> FilmSet:
    """Read the films of ``data`` with the recipe's reader, and label them by the words of the two classes."""
    if negative is None and (positive is None or isinstance(positive, str)):
        return _read(reader, data, positive)
    return class_words.label(_read(reader, data, None), positive or (), negative)


def _read(reader: Reader, data: Path, positive: str | None) -> FilmSet:
    if reader == "nih-adults":
        return datasets.nih(data, adults=True, positive=positive or datasets.ABNORMAL)
    if reader == "medmnist":
        return datasets.medmnist(data, "train", positive)
    if not data.is_dir():
        raise DataUnreadable(str(data), "the folder does not exist")
    if reader == "volumes":
        return volume_sets.open_volumes(data, positive)
    if reader == "masks":
        return readers.read_labels(data, positive)
    if reader == "hannover":
        return readers.hannover(data)
    return datasets.image_folder(data, positive)


def group(films: FilmSet, more: Sequence[Film] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Film name → group (one patient, or near-duplicates of one picture): of ``films``, and of them and ``more``."""
    every = FilmSet(films.name, films.positive, (*films.films, *more))
    pairs, count = copies(every), len(films.films)
    known = [pair for pair in pairs if max(pair) < count]
    return _name(films.films, known), _name(every.films, pairs)


def copies(films: FilmSet) -> list[tuple[int, int]]:
    """Pairs of places in the set that hold one picture, or one volume."""
    if all(volumes.is_volume(film.path) and film.index is None for film in films.films):
        return volume_sets.copies(films.films)
    return duplicates.duplicate_pairs(prepare(films, InputSpec("hash", HASH_PX, HASH_PX)).astype(np.float32))


def _name(films: Sequence[Film], pairs: Sequence[tuple[int, int]]) -> dict[str, str]:
    named = duplicates.groups([film.patient for film in films], pairs)
    return {film.name: group for film, group in zip(films, named, strict=True)}


def labels_of(films: FilmSet) -> NDArray[np.int64]:
    """(N,) labels, 0 or 1."""
    return np.array([film.label for film in films.films], dtype=np.int64)

"""Draw films so that each batch holds as many of one source as of another, and of each source as many of both classes.

A cell is one combination of traits (a source) with one label. Every cell gets the same share of the draws, whatever its
size, times the weight of its source; the films of a small cell come more often. So neither the source nor its size
tells the label. Where the task tells subclasses of a label apart (benign, normal), they share its cell evenly.

A source of one class does tell it: there the label comes with the machine. Its only cell gets :data:`LONE` of the share
that it would get otherwise, and the other sources fill up its class, all in the same proportion. Where no source has
both classes, nothing but the source could be learnt, and the recipe is refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters import tasks
from converters.data.datasets import FilmSet
from converters.data.merged_sets import SOURCE
from converters.failures import RecipeInvalid
from converters.recipe import Recipe

LONE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Shares:
    """``cell`` (N,): which cell each film is of; ``share`` (C,): which part of the draws is of a cell, in all 1."""

    cell: NDArray[np.int64]
    share: NDArray[np.float64]

    @property
    def frequency(self) -> NDArray[np.float64]:
        """(N,) how often each film is drawn, on average once."""
        sizes = np.bincount(self.cell, minlength=len(self.share))
        return np.asarray(len(self.cell) * self.share[self.cell] / sizes[self.cell], dtype=np.float64)

    def order(self, seed: int) -> NDArray[np.int64]:
        """(N,) the films of one epoch in their order: any stretch of it holds every cell by its share, to within one
        film. A film is not drawn again before all others of its cell were."""
        waiting: list[list[int]] = [[] for _ in self.share]
        rng = np.random.default_rng(seed)
        due = rng.random(len(self.share))
        order = np.empty(len(self.cell), dtype=np.int64)
        for place in range(len(order)):
            due += self.share
            chosen = int(due.argmax())
            due[chosen] -= 1.0
            if not waiting[chosen]:
                waiting[chosen] = rng.permutation(np.flatnonzero(self.cell == chosen)).tolist()
            order[place] = waiting[chosen].pop()
        return order


def of_recipe(films: FilmSet, recipe: Recipe) -> Shares | None:
    """The shares of training films; ``None`` where the recipe does not ask for even draws."""
    if recipe.train is None or recipe.train.even is None:
        return None
    names = recipe.train.even
    weights = {one.name: one.weight for one in recipe.data.beside}
    labels = np.array([film.label for film in films.films], dtype=np.int64)
    sources = [dict(film.traits).get(SOURCE, "") for film in films.films]
    values, task = [film.values(names) for film in films.films], tasks.get(recipe.task).of(recipe)
    weight_of = {value: weights.get(source, 1.0) for value, source in zip(values, sources, strict=True)}
    return shares(recipe.pack, labels, values, weight_of, [task.subclass(film) for film in films.films])


def shares(
    pack: str, labels: NDArray[np.int64], values: Sequence[str], weight_of: Mapping[str, float],
    subclasses: Sequence[str] = (),
) -> Shares:  # fmt: skip
    """The shares of films with these labels, 0 or 1, these values of the traits and, within a label, these subclasses.

    Raises :class:`~converters.failures.RecipeInvalid` where no value has films of both labels.
    """
    cell_of = list(zip(values, (int(label) for label in labels), subclasses or [""] * len(labels), strict=True))
    cells = sorted(set(cell_of))
    of_pair = Counter((value, label) for value, label, _ in cells)
    both = {value for value, label in of_pair if (value, 1 - label) in of_pair}
    if not both:
        raise RecipeInvalid(pack, "[train] even: no source has films of both classes, so the label would be the source")
    raw = np.array([
        weight_of[value] * (1.0 if value in both else LONE) / of_pair[value, label] for value, label, _ in cells
    ])  # fmt: skip
    of_label = np.array([label for _, label, _ in cells])
    share = np.array([0.5 * one / raw[of_label == label].sum() for one, label in zip(raw, of_label, strict=True)])
    number = {cell: place for place, cell in enumerate(cells)}
    cell = np.array([number[one] for one in cell_of], dtype=np.int64)
    return Shares(cell, share)

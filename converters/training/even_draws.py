"""Draw films so that each batch holds as many of one source as of another, and of each source as many of both classes.

A cell is one combination of traits (a source) with one label. Every cell gets the same share of the draws, whatever its
size, times the weight of its source; the films of a small cell come more often. So neither the source nor its size
tells the label. Where the task tells subclasses of a label apart (benign, normal), they share its cell evenly.

A source of one class does tell it: there the label comes with the machine. Its only cell gets :data:`LONE` of the share
that it would get otherwise, and the other sources fill up its class, all in the same proportion. Where no source has
both classes, nothing but the source could be learnt, and the recipe is refused.

Films of a set with a head of its own are drawn by their weight too. They do not count among the films of the finding,
whose classes are even by themselves.
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


def plan_shares(films: FilmSet, recipe: Recipe) -> Shares | None:
    """The shares of training films; ``None`` where the recipe does not ask for even draws."""
    if recipe.train is None or recipe.train.even is None:
        return None
    names, task = recipe.train.even, tasks.get(recipe.task).configure(recipe)
    weights = {beside.name: beside.weight for beside in recipe.data.beside}
    labels = np.array([film.label for film in films.films], dtype=np.int64)
    sources = [film.values(SOURCE) for film in films.films]
    values = [film.values(names) for film in films.films]
    weight_of = {value: weights.get(source, 1.0) for value, source in zip(values, sources, strict=True)}
    own_head = {source: head for head, source in enumerate(recipe.data.own_heads, start=1)}
    return shares(
        recipe.pack,
        labels,
        values,
        weight_of,
        heads=[own_head.get(source, 0) for source in sources],
        subclasses=[task.subclass(film) for film in films.films],
    )


def shares(
    pack: str,
    labels: NDArray[np.int64],
    values: Sequence[str],
    weight_of: Mapping[str, float],
    *,
    heads: Sequence[int] = (),
    subclasses: Sequence[str] = (),
) -> Shares:
    """The shares of films with these labels, 0 or 1, these values of the traits and, within a label, these subclasses.

    ``heads`` says through which channel each is learnt, 0 is the finding's. A head's part of the draws is the weight of
    its values, and inside it both labels have half.

    Raises :class:`~converters.failures.RecipeInvalid` where no value of a head has films of both labels.
    """
    none = [""] * len(labels)
    every = list(zip(heads or [0] * len(labels), values, labels.tolist(), subclasses or none, strict=True))
    cells = sorted(set(every))
    kinds = Counter((head, value, label) for head, value, label, _ in cells)
    both = {(head, value) for head, value, label in kinds if (head, value, 1 - label) in kinds}
    if {head for head, _ in both} != {head for head, _, _ in kinds}:
        raise RecipeInvalid(pack, "[train] even: no source has films of both classes, so the label would be the source")
    raw = np.array(
        [
            weight_of[value] * (1.0 if (head, value) in both else LONE) / kinds[head, value, label]
            for head, value, label, _ in cells
        ]
    )
    of_head, of_label = np.array([head for head, *_ in cells]), np.array([label for _, _, label, _ in cells])
    share = np.empty(len(cells))
    for head in np.unique(of_head):
        part = raw[of_head == head].sum() / raw.sum()
        for label in (0, 1):
            here = (of_head == head) & (of_label == label)
            share[here] = part * (0.5 * raw[here] / raw[here].sum())
    number = {cell: place for place, cell in enumerate(cells)}
    return Shares(np.array([number[cell] for cell in every], dtype=np.int64), share)

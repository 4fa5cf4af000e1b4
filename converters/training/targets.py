"""Targets for training: each film's label, the output channel that learns it, and what it weighs in the loss."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import FilmSet
from converters.data.merged_sets import SOURCE
from converters.recipe import Recipe
from converters.training import even_draws

HEAVIEST = 4.0


@dataclass(frozen=True, slots=True)
class Targets:
    """``main`` (N,) labels in [0, 1]; ``weights`` (N,); ``channel`` (N,), the output that learns each label: 0 is the
    finding's, the others belong to sets with a head of their own. The weights of a channel's films have mean 1."""

    main: NDArray[np.float32]
    weights: NDArray[np.float32]
    channel: NDArray[np.int64]

    @property
    def of_finding(self) -> NDArray[np.bool_]:
        """(N,) whether a film teaches the finding."""
        return np.asarray(self.channel == 0)


def channels_of(films: FilmSet, own_heads: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) 0 for films that teach the finding, else the channel of their set: the place of its name, from 1."""
    number = {name: place for place, name in enumerate(own_heads, start=1)}
    return np.array([number.get(film.values(SOURCE), 0) for film in films.films], dtype=np.int64)


def targets(films: FilmSet, own_heads: tuple[str, ...] = ()) -> Targets:
    """Targets of training films; the weights make both labels of a channel count the same."""
    labels = np.array([film.label for film in films.films], dtype=np.int64)
    channel = channels_of(films, own_heads)
    return Targets(labels.astype(np.float32), balance(labels, channel), channel)


def weigh_by_cost(films: FilmSet, recipe: Recipe) -> Targets:
    """The recipe's targets of training films, the weights of the finding's moved to what a mistake costs at the clinic.

    A label that is learnt through a head of its own has no such cost.
    """
    aim, cost, drawn = targets(films, recipe.data.own_heads), recipe.cost, even_draws.plan_shares(films, recipe)
    finding, labels = aim.of_finding, aim.main.astype(np.int64)
    weights = aim.weights.copy()
    if drawn is None:
        weights[finding] = cost_weights(labels[finding], weights[finding], cost.miss, cost.prevalence)
        return replace(aim, weights=weights)
    often = drawn.frequency[finding].astype(np.float32)
    often /= often.mean()
    weights[:] = 1.0  # both labels of another head are drawn as often
    # A film of the finding that comes twice as often needs half the weight.
    weights[finding] = cost_weights(labels[finding], often, cost.miss, cost.prevalence) / often
    return replace(aim, weights=weights)


def cost_weights(
    labels: NDArray[np.int64], weights: NDArray[np.float32], miss: float, prevalence: float | None
) -> NDArray[np.float32]:
    """(N,) weights with mean 1: ``weights`` moved to what a film's mistake costs at the clinic's prevalence.

    In all, positive films come to weigh ``miss * prevalence`` beside the negative ones' ``1 - prevalence``; without a
    prevalence the films' own is taken.
    """
    at_clinic = float(labels.mean()) if prevalence is None else prevalence
    share = float(weights[labels == 1].sum() / weights.sum())
    positive, negative = miss * at_clinic / max(share, 1e-9), (1.0 - at_clinic) / max(1.0 - share, 1e-9)
    moved = weights * np.where(labels == 1, positive, negative)
    return np.asarray(moved / moved.mean(), dtype=np.float32)


def balance(labels: NDArray[np.int64], group: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """(N,) weights, mean 1: each group keeps its share of the films, and inside it both labels weigh the same.

    No film weighs more than :data:`HEAVIEST`: a handful of rare films must not be learnt by heart.
    """
    group = np.zeros(len(labels), dtype=np.int64) if group is None else group
    weights = np.ones(len(labels))
    for one in np.unique(group):
        members = group == one
        for label in (0, 1):
            cell = members & (labels == label)
            if cell.any():
                weights[cell] = min(HEAVIEST, members.sum() / (2.0 * cell.sum()))
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def make_student_targets(aim: Targets, unlabelled: int) -> tuple[Targets, NDArray[np.bool_]]:
    """What a student of one channel learns, and which of its films have a label that counts, (N,).

    Behind the films of ``aim`` come ``unlabelled`` ones. Their targets, and those of films of another head, are never
    looked at.
    """
    none = np.ones(unlabelled, dtype=np.float32)
    main, weights = np.concatenate([aim.main, 0.5 * none]), np.concatenate([aim.weights, none])
    return Targets(main, weights, np.zeros(len(main), dtype=np.int64)), np.append(aim.of_finding, none == 0.0)

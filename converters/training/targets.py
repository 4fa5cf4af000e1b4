"""Targets for training: the labels, softened by another model's published probabilities where those exist.

The teacher's chance of "any finding" is ``1 - prod(1 - p_i)`` over its findings (where the recipe names some, over
those), calibrated to the labels of the training films only (Platt), and mixed with the label: ``(1 - w) · label + w ·
teacher``. Its single findings, mixed the same way, are auxiliary targets: they shape the features and are dropped at
export.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converters.data.datasets import NIH_FINDINGS, FilmSet
from converters.recipe import Recipe
from converters.statistics import intervals
from converters.training import even_draws

SMALLEST = 1e-4
HEAVIEST = 4.0


@dataclass(frozen=True, slots=True)
class Targets:
    """``main`` (N,), ``auxiliary`` (N, A) in [0, 1], A may be 0; ``weights`` (N,) with mean 1."""

    main: NDArray[np.float32]
    auxiliary: NDArray[np.float32]
    weights: NDArray[np.float32]


def any_finding(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, F) independent probabilities → (N,) log-odds that at least one holds."""
    none = np.clip(np.prod(1.0 - probabilities, axis=1), SMALLEST, 1.0 - SMALLEST)
    return np.asarray(np.log((1.0 - none) / none), dtype=np.float64)


def targets(films: FilmSet, teacher_weight: float, balance: str | None) -> Targets:
    """Targets and weights of training films.

    ``balance`` names traits (``view,patients``): films are weighted so that within each combination of their values
    both labels weigh the same, and the traits alone tell a model nothing. Without it the labels weigh the same overall.
    """
    labels = np.array([film.label for film in films.films], dtype=np.int64)
    main = labels.astype(np.float64)
    auxiliary = findings_of(films, labels)
    taught = np.array([film.teacher is not None for film in films.films])
    if teacher_weight > 0.0 and taught.any():
        probabilities = np.array([film.teacher for film in films.films if film.teacher is not None])
        named = [NIH_FINDINGS.index(word) for word in films.positive.split("|") if word in NIH_FINDINGS]
        odds = any_finding(probabilities[:, named or slice(None)])
        slope, intercept = intervals.platt(labels[taught], odds)
        teacher = 1.0 / (1.0 + np.exp(-(slope * odds + intercept)))
        main[taught] = (1.0 - teacher_weight) * main[taught] + teacher_weight * teacher
        auxiliary[taught] = (1.0 - teacher_weight) * auxiliary[taught] + teacher_weight * probabilities
    weights = balanced(labels, [film.values(balance) for film in films.films])
    return Targets(main.astype(np.float32), auxiliary.astype(np.float32), weights)


def costly(films: FilmSet, recipe: Recipe) -> Targets:
    """The recipe's targets of training films, their weights moved to what each mistake costs at the clinic."""
    plan = recipe.train
    assert plan is not None
    aim = targets(films, plan.published_weight, plan.balance)
    labels = np.array([film.label for film in films.films], dtype=np.int64)
    cost, drawn = recipe.cost, even_draws.of_recipe(films, recipe)
    if drawn is None:
        return replace(aim, weights=cost_weights(labels, aim.weights, cost.miss, cost.prevalence))
    often = drawn.frequency.astype(np.float32)  # a film that comes twice as often needs half the weight
    return replace(aim, weights=cost_weights(labels, often, cost.miss, cost.prevalence) / often)


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


def findings_of(films: FilmSet, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, A) single findings; a film of which only the label is known takes the mean of the films of its label."""
    width = max((len(film.findings) for film in films.films), default=0)
    known = np.array([len(film.findings) == width for film in films.films])
    findings = np.zeros((len(labels), width))
    findings[known] = np.array([film.findings for film in films.films if len(film.findings) == width]).reshape(
        int(known.sum()), width
    )
    for label in (0, 1):
        known_here, unknown_here = known & (labels == label), ~known & (labels == label)
        if known_here.any() and unknown_here.any():
            findings[unknown_here] = findings[known_here].mean(axis=0)
    return findings


def balanced(labels: NDArray[np.int64], values: list[str]) -> NDArray[np.float32]:
    """(N,) weights, mean 1: each value keeps its share of the films, and inside it both labels weigh the same.

    No film weighs more than :data:`HEAVIEST`: a handful of rare films must not be learnt by heart.
    """
    named = np.array(values)
    weights = np.ones(len(labels))
    for value in set(values):
        members = named == value
        for label in (0, 1):
            cell = members & (labels == label)
            if cell.any():
                weights[cell] = min(HEAVIEST, members.sum() / (2.0 * cell.sum()))
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def extended(aim: Targets, more: int) -> Targets:
    """``aim`` with ``more`` films behind it that have no label: their targets are never looked at."""
    if not more:
        return aim
    auxiliary = np.zeros((more, aim.auxiliary.shape[1]), dtype=np.float32)
    return Targets(
        np.concatenate([aim.main, np.full(more, 0.5, dtype=np.float32)]),
        np.concatenate([aim.auxiliary, auxiliary]),
        np.concatenate([aim.weights, np.ones(more, dtype=np.float32)]),
    )

"""A pair of networks: how much each counts, from which disagreement on a film gets no number, and what that costs.

Both are fitted to films that neither has seen.  One number is learnt beside the two calibrations (Platt 1999): the
share of the first network, the one of least log loss.

The recipe says how many held-back films lie beyond the disagreement (``[abstain] disagreement``): those on which the
two differ most.  Whether these are the ones called wrongly is measured, and told in the manifest and on the card.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.data.predictions import Predictions
from converters.evaluation import threshold
from converters.failures import GateFailed
from converters.recipe import Recipe
from converters.statistics import intervals
from firmware_app.packs.tasks import classify
from firmware_app.packs.tasks.classify import NetworkPair

OWN: Final = (1, 2)
"""Where the map of :class:`converters.nets.pair.Pair` has each network's own channel."""
SHARES: Final = np.linspace(0.0, 1.0, 21)
LEAST: Final = 1e-12

Odds = NDArray[np.float64]


def calibrate(labels: NDArray[np.int64], odds: Odds, names: Sequence[str]) -> tuple[Odds, Odds]:
    """Slopes and intercepts, (2,) each, of the members' logits (N, 2).

    Raises :class:`~converters.failures.GateFailed` for a member that has learnt nothing.
    """
    fits = np.array([intervals.platt(labels, odds[:, member]) for member in range(2)])
    for name, slope in zip(names, fits[:, 0], strict=True):
        if slope <= 0.0:
            raise GateFailed("train", f"{name}: on held-back films a higher logit does not mean the finding")
    return fits[:, 0], fits[:, 1]


def weigh(labels: NDArray[np.int64], odds: Odds) -> Odds:
    """The weights (2,) of calibrated log odds (N, 2) with the least log loss, of equal ones those nearest to a half."""

    def loss(share: float) -> tuple[float, float]:
        chances = threshold.sigmoid(odds @ np.array([share, 1.0 - share]))
        right = np.where(labels == 1, chances, 1.0 - chances)
        return round(float(-np.log(np.maximum(right, LEAST)).mean()), 9), abs(share - 0.5)

    best = min((float(one) for one in SHARES), key=loss)
    return np.array([best, 1.0 - best])


def disagreement(
    recipe: Recipe, original: Predictions, point: Mapping[str, Any], cells: NDArray[np.float32]
) -> dict[str, Any]:
    """The manifest's ``members`` without their weights: from which difference on two networks contradict each other.

    ``cells`` (N, 3, h, w) are the maps of films that neither had seen; ``point`` is the pooled finding's.
    """
    apart = np.array([classify.network_distance(cell, OWN) for cell in cells])
    allowed = int(recipe.abstain.disagreement * len(apart) + 1e-9)
    limit = min(1.0, float(np.ceil(np.sort(apart)[::-1][allowed] * 1e6) / 1e6))
    given, patients = apart <= limit, np.array(original.patients)
    called = threshold.sigmoid(point["slope"] * original.logits + point["intercept"]) >= point["threshold"]
    wrong = called != (original.labels == 1)
    rates: dict[str, Any] = {"given": given.mean(), "given_ci": intervals.rate_interval(given, original.patients)}
    for name, chosen in (("wrong", given), ("wrong_apart", ~given)):
        if chosen.any():
            rates[name] = wrong[chosen].mean()
            rates[f"{name}_ci"] = intervals.rate_interval(wrong[chosen], patients[chosen].tolist())
    return {
        "networks": list(recipe.net.members),
        "channels": list(OWN),
        "most_apart": limit,
        "films": len(apart),
        **{name: np.round(rate, 4).tolist() for name, rate in rates.items()},
    }


def describe(two: NetworkPair) -> str:
    """Describe the pool in a sentence for the card."""
    shares = " and ".join(f"{name} {weight:g}" for name, weight in zip(two.networks, two.weights, strict=True))
    return (
        f"The map is pooled of two networks with the weights {shares}, fitted to {two.films} held-back films. Where "
        f"their own probabilities lie more than {two.most_apart:g} apart the box gives no number (`pack.unsure`): "
        f"{two.given:.1%} of these films get one, of which {_share(two.wrong)} are called wrongly; of the others "
        f"{_share(two.wrong_apart)}."
    )


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"

"""The decision curve (Vickers & Elkin 2006): is acting on the model better than treating all, or none?

Net benefit at a threshold probability t, per film: ``TP / n - FP / n * t / (1 - t)``.  The threshold carries the cost:
to act from t on means that a miss is (1 - t) / t times as bad as a false alarm, so 5 : 1 is t = 1/6.

The curve depends on the prevalence.  Where the clinic's is given, films are weighted to that prevalence, and the
probabilities are those that the box gives there (:mod:`firmware_app.packs.prevalence_adjustment`); else it is that of
the films.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.statistics.intervals import resamples

THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 40))
"""Threshold probabilities 0.02 to 0.78; beyond, a false alarm would be held worse than three misses."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Net benefit of the model with its 95 % interval, and of treating all, at each threshold; treating none is 0."""

    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    treat_all: tuple[float, ...]
    prevalence: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        rows = ("thresholds", "model", "low", "high", "treat_all")
        numbers = {name: [round(value, 4) for value in getattr(self, name)] for name in rows}
        return {**numbers, "prevalence": round(self.prevalence, 4)}

    @property
    def useful(self) -> tuple[float, float] | None:
        """The widest stretch of thresholds at which the model beats both treating all and treating none."""
        best: tuple[float, float] | None = None
        start: float | None = None
        for threshold, model, everybody in zip(self.thresholds, self.model, self.treat_all, strict=True):
            start = (threshold if start is None else start) if model > max(everybody, 0.0) else None
            if start is not None and (best is None or threshold - start > best[1] - best[0]):
                best = (start, threshold)
        return best


def curve(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    patients: Sequence[str],
    seed: int = 0,
    thresholds: Sequence[float] = THRESHOLDS,
    prevalence: float | None = None,
) -> Curve:
    """The decision curve of ``probabilities`` (N,) at the clinic's ``prevalence``, which they must mean; without it at
    that of the films, as also where they are of one class.  Raises :class:`ValueError` without any film."""
    if not len(labels):
        raise ValueError("a decision curve needs films")
    cuts = np.asarray(thresholds, dtype=np.float64)
    odds = cuts / (1.0 - cuts)
    own = float(labels.mean())
    share = own if prevalence is None or own in (0.0, 1.0) else prevalence
    weight = np.where(labels == 1, share / max(own, 1e-12), (1.0 - share) / max(1.0 - own, 1e-12))
    gains = np.where(labels[:, np.newaxis] == 1, 1.0, -odds) * weight[:, np.newaxis]
    acted = gains * (probabilities[:, np.newaxis] >= cuts)
    drawn = np.stack([times @ acted / (times @ weight) for times in resamples(labels, patients, seed)])
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    rows = (acted.mean(axis=0), low, high, gains.mean(axis=0))
    model, lower, upper, everybody = (tuple(float(value) for value in row) for row in rows)
    return Curve(
        thresholds=tuple(float(cut) for cut in cuts),
        model=model,
        low=lower,
        high=upper,
        treat_all=everybody,
        prevalence=share,
    )

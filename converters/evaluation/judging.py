"""What the gates are shown of a model file: the logits of films, or, where it outlines, every cell of its maps."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.predictions import Predictions
from converters.evaluation import gates, outlines
from converters.evaluation.gates import Verdict
from converters.recipe import Gate

Answers = NDArray[Any]
"""(N,) logits of films, or (N, …) logits of their cells."""


def answers(found: NDArray[np.float32], bias: float, outlined: bool) -> Answers:
    """Maps (N, C, …) → what they say of the first finding."""
    if outlined:
        return np.asarray(found[:, 0] + np.float32(bias), dtype=np.float32)
    axes = tuple(range(1, found.ndim - 1))
    return np.asarray(found[:, 0].mean(axis=axes, dtype=np.float64) + bias, dtype=np.float64)


def film_logits(told: Answers) -> NDArray[np.float64]:
    """(N,) logits of films: the answers themselves, or the strongest cell of each."""
    return np.asarray(told if told.ndim == 1 else told.reshape(len(told), -1).max(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Judging:
    """The original's answers on films that it had not seen, and how another file is judged beside them."""

    original: Predictions
    answers: Answers
    threshold: float
    gate: Gate
    truth: NDArray[np.bool_] | None = None
    """(N, …) masks, where the answers are cells."""

    def predictions(self, told: Answers) -> Predictions:
        """Another file's answers on the same films."""
        return replace(self.original, logits=film_logits(told))

    def verdicts(self, told: Answers) -> list[Verdict]:
        """The task gates of another file."""
        found = gates.judged(self.original, self.predictions(told), self.threshold, self.gate)
        if self.truth is None:
            return found
        before, after = (outlines.dices(one, self.truth, self.threshold) for one in (self.answers, told))
        labels, patients = self.original.labels, self.original.patients
        return [*found, outlines.judged(before, after, labels, patients, self.gate.dice_loss)]

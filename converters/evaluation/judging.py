"""What the gates compare: the original's answers on films that it had not seen, and another file's beside them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.predictions import Predictions
from converters.evaluation import gates
from converters.evaluation.gates import GateResult
from converters.recipe import Gate
from converters.tasks.interface import Answers, Task


@dataclass(frozen=True, slots=True)
class Judging:
    """The original's answers, and what every other file is held against."""

    task: Task
    original: Predictions
    answers: Answers
    threshold: float
    """The frozen one, in log odds before calibration."""
    gate: Gate
    truth: NDArray[Any] | None = None
    """(N, …) right answers, where the task judges more than the films' scores."""

    def predictions(self, answers: Answers) -> Predictions:
        """Another file's answers on the same films, as scores."""
        return replace(self.original, logits=np.asarray(self.task.scores(answers), dtype=np.float64))

    def verdicts(self, answers: Answers) -> list[GateResult]:
        """Another file before the gates of AUC, of sensitivity, and those of its task."""
        general = gates.judged(self.original, self.predictions(answers), self.threshold, self.gate)
        return [*general, *self.task.verdicts(self, answers)]

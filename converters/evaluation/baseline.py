"""What the gates compare: the original's out-of-fold predictions, and another file's on the same films."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.predictions import Predictions
from converters.evaluation import gates
from converters.evaluation.gates import GateResult
from converters.recipe_tables import Gate
from converters.tasks.interface import Answers, Task


@dataclass(frozen=True, slots=True)
class Baseline:
    """The original's predictions, with which every other file is compared."""

    task: Task
    original: Predictions
    answers: Answers
    threshold: float
    """The frozen one, in log odds before calibration."""
    gate: Gate
    truth: NDArray[Any] | None = None
    """(N, …) right answers, where the task judges more than the films' scores."""
    point: Mapping[str, Any] = field(default_factory=dict)
    """What the task froze (:meth:`converters.tasks.interface.Task.operating_point`)."""

    def predictions(self, answers: Answers) -> Predictions:
        """Another file's predictions on the same films."""
        return replace(self.original, logits=np.asarray(self.task.scores(answers), dtype=np.float64))

    def verdicts(self, answers: Answers) -> list[GateResult]:
        """Results of another file at the gates of AUC and sensitivity, and at those of its task."""
        general = gates.judge(self.original, self.predictions(answers), self.threshold, self.gate)
        return [*general, *self.task.verdicts(self, answers)]

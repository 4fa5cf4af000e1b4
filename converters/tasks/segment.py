"""The task ``segment``: which cells lie in a lesion?  A map of a film or volume at its own grid, judged by its Dice.

The score of a film or volume is that of its strongest cell, so it is positive exactly when something in it is marked;
the probability of a cell is the network's own, and the threshold is the one with the best mean Dice on held-back ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import segmentation, threshold
from converters.recipe_tables import Table
from converters.statistics import lesions
from converters.statistics.lesions import Marks
from converters.tasks.classify import MAP, Classify, draw
from converters.tasks.interface import Answers, Outputs, Task
from firmware_app.packs.tasks import segment
from firmware_app.packs.tasks.interface import Frame, Section

if TYPE_CHECKING:
    from converters.data.datasets import Film, FilmSet
    from converters.data.predictions import Predictions
    from converters.evaluation.baseline import Baseline
    from converters.evaluation.gates import GateResult
    from converters.nets import CamNet
    from converters.recipe import Recipe
    from converters.statistics.agreement import Statistic
    from converters.training.fitting import Objective
    from converters.workflow.recipe_run import RecipeRun


class Segment(Classify):
    """See the module; the manifest's parts and the network's form are those of ``classify``."""

    key = "segment"
    distils = False
    activation_map = False
    outlines = True
    needs_outlines = True
    Settings = Table
    pooled, calibrated = "max", "the network's own, of its strongest cell"

    def configure_for_pack(self, section: Section) -> Task:
        """Itself."""
        return self

    def check(self, recipe: Recipe) -> None:
        """Outlines are read with the films or the volumes."""
        Task.check(self, recipe)
        self.refuse_cut(recipe)
        if recipe.data.reader not in ("volumes", "masks"):
            raise ValueError(f'task = "{self.key}" learns from outlines: [data] reader is "volumes" or "masks"')
        if recipe.train is not None and recipe.train.loss is not None:
            raise ValueError(f'[train] loss: task = "{self.key}" has its own')

    def targets(self, run: RecipeRun, films: FilmSet) -> NDArray[np.uint8]:
        """(N, H, W) or (N, D, H, W) masks, 0 or 1, at the model's input grid."""
        return segmentation.truths(films, run.spec.shape).astype(np.uint8)

    def channels(self, recipe: Recipe, targets: Any) -> int:
        """The finding alone."""
        return 1

    def objective(self, run: RecipeRun, films: FilmSet, targets: Any, net: CamNet) -> Objective:
        """Cross-entropy of every voxel, and the Dice of the whole."""
        from converters.training.dice_loss import DiceLoss

        assert run.recipe.train is not None
        return DiceLoss(targets, run.recipe.cost.miss, run.recipe.train.change)

    def answers(self, outputs: Outputs, biases: NDArray[np.float64]) -> Answers:
        """(N, …): the logits of every cell."""
        return np.asarray(outputs[MAP][:, 0] + np.float32(biases[0]), dtype=np.float32)

    def scores(self, answers: Answers) -> NDArray[np.float64]:
        """The strongest cell of each."""
        return np.asarray(answers.reshape(len(answers), -1).max(axis=1), dtype=np.float64)

    def truth(self, films: FilmSet, answers: Answers) -> NDArray[np.bool_]:
        """(N, …) masks at the map's grid."""
        return segmentation.truths(films, answers.shape[1:])

    def verdicts(self, baseline: Baseline, answers: Answers) -> list[GateResult]:
        """How much the mean Dice changes."""
        assert baseline.truth is not None
        truth, cut = baseline.truth, baseline.threshold
        before, after = (segmentation.dices(array, truth, cut) for array in (baseline.answers, answers))
        labels, patients = baseline.original.labels, baseline.original.patients
        return [segmentation.dice_gate(before, after, labels, patients, baseline.gate.dice_loss)]

    def operating_point(
        self, recipe: Recipe, original: Predictions, answers: Answers, truth: NDArray[Any] | None, outputs: Outputs
    ) -> dict[str, Any]:
        """The cut with the best Dice; probabilities are the network's own."""
        assert truth is not None
        cut = float(threshold.sigmoid(np.array(segmentation.best_cut(answers, truth))))
        held = int(original.labels.sum())
        return {
            "slope": 1.0,
            "intercept": 0.0,
            "threshold": round(cut, 4),
            "rule": f"the best mean Dice on {held} held-back films with a lesion",
            **draw(outputs[MAP], original.labels),
        }

    def logit(self, section: Section, outputs: Outputs, frame: Frame) -> float:
        """The logit of the strongest cell."""
        return segment.strongest_logit(outputs[section.output.map][0], section.findings[0])

    def box_scores(self, section: Section, outputs: Outputs, frame: Frame) -> NDArray[np.float64]:
        """The score alone."""
        return np.array([self.logit(section, outputs, frame)])

    def statistics(self, section: Section, box_scores: NDArray[np.float64], films: FilmSet) -> tuple[Statistic, ...]:
        """None beside Dice and lesions."""
        return ()

    def marks(self, section: Section, outputs: Outputs, film: Film) -> Marks | None:
        """The map's probabilities, stretched to the film's own size, against its outline."""
        truth, finding = film.outline(), section.findings[0]
        if truth is None:
            return None
        cells = outputs[section.output.map][0][finding.channel] + finding.bias
        chances = threshold.sigmoid(finding.calibration.slope * cells + finding.calibration.intercept)
        return lesions.mark(segmentation.stretch(chances.astype(np.float32), truth.shape), truth, finding.threshold)


task = Segment()

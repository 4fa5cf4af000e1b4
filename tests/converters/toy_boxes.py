"""A task of another package, for the tests: boxes, their scores and a mask. The converters' whole half of it.

With the box's half (:mod:`tests.toy_task`) and an entry point for each, nothing else has to know of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from converters.evaluation import segmentation, threshold
from converters.recipe_tables import Table
from converters.statistics import lesions
from converters.tasks.interface import Answers, Outputs, Task
from tests import toy_task

if TYPE_CHECKING:
    from converters.data.datasets import Film

CELLS = 16
"""Of the mask, on a side."""


class Settings(Table):
    """The recipe's table ``[toy-boxes]``."""

    box_weight: float = Field(1.0, gt=0.0)


class ToyBoxes(Task):
    key = toy_task.key
    outputs = ("boxes", "scores", "mask")
    Settings = Settings

    def targets(self, run: Any, films: Any) -> NDArray[np.bool_]:
        return segmentation.truths(films, (CELLS, CELLS))

    def objective(self, run: Any, films: Any, targets: NDArray[np.bool_], net: Any) -> Any:
        return Loss(targets, run.recipe.settings.box_weight)

    def network(self, brought: Any, recipe: Any, spec: Any, made: Any) -> Any:
        return brought

    def answers(self, outputs: Outputs, biases: NDArray[np.float64]) -> Answers:
        """(N, 5 + cells): four corners, a score, the mask."""
        return np.concatenate([outputs[name].reshape(len(outputs[name]), -1) for name in self.outputs], axis=1)

    def scores(self, answers: Answers) -> NDArray[np.float64]:
        return np.array([threshold.odds(float(score)) for score in answers[:, 4]])

    def truth(self, films: Any, answers: Answers) -> NDArray[np.bool_]:
        return segmentation.truths(films, (CELLS, CELLS))

    def verdicts(self, baseline: Any, answers: Answers) -> list[Any]:
        masks = (one[:, 5:].reshape(-1, CELLS, CELLS) for one in (baseline.answers, answers))
        before, after = (segmentation.dices(mask, baseline.truth, 0.0) for mask in masks)
        labels, patients = baseline.original.labels, baseline.original.patients
        return [segmentation.dice_gate(before, after, labels, patients, baseline.gate.dice_loss)]

    def operating_point(self, recipe: Any, original: Any, answers: Answers, truth: Any, outputs: Outputs) -> Any:
        scores = threshold.sigmoid(original.logits)
        cut, rule = threshold.by_rule(recipe, original.labels, scores, float(original.labels.mean()))
        return {"threshold": round(cut, 4), "rule": rule}

    def output(self, point: Mapping[str, Any], features: str | None) -> toy_task.Output:
        return toy_task.Output(boxes="boxes", scores="scores", mask="mask")

    def finding(self, point: Mapping[str, Any], words: Any) -> Any:
        return toy_task.Finding(
            code=words.code,
            label=words.label,
            threshold=point["threshold"],
            threshold_rule=point["rule"],
            priority=words.priority,
        )

    def marks(self, section: Any, outputs: Outputs, film: Film) -> lesions.Marks | None:
        truth = film.outline()
        if truth is None:
            return None
        chances = threshold.sigmoid(outputs[section.output.mask][0, 0]).astype(np.float32)
        return lesions.mark(segmentation.stretch(chances, truth.shape), truth, 0.5)

    def golden_probability(self, recorded: Any, code: str) -> float | None:
        return recorded["findings"].get(code) if recorded else None


task = ToyBoxes()


@dataclass(frozen=True)
class Loss:
    """Cross-entropy of the mask and of the score, and how far the corners lie from those of the mask."""

    masks: NDArray[np.bool_]
    box_weight: float
    beside: None = None
    changes_films: bool = True
    """It needs the films as they are: a film that is turned has another box."""

    def __call__(self, net: Any, films: Any, index: NDArray[np.int64]) -> Any:
        import torch
        from torch.nn import functional

        truth = torch.from_numpy(self.masks[index]).float()
        there = truth.flatten(1).amax(dim=1)
        boxes, scores, mask = net(films)
        cells = functional.binary_cross_entropy_with_logits(mask[:, 0], truth, reduction="none").flatten(1).mean(dim=1)
        score = functional.binary_cross_entropy(scores[:, 0], there, reduction="none")
        away = (boxes[:, 0] - _corners(truth)).abs().mean(dim=1) * there
        return 4.0 * cells + score + self.box_weight * away


def _corners(truth: Any) -> Any:
    """(N, h, w) masks → (N, 4): x0, y0, x1, y1 as fractions; of an empty one anything."""
    import torch

    ends = []
    for axis in (1, 2):  # what is left of the rows names columns
        there = truth.amax(dim=axis)
        first, last = there.argmax(dim=1), truth.shape[3 - axis] - there.flip(1).argmax(dim=1)
        ends.append((first / truth.shape[3 - axis], last / truth.shape[3 - axis]))
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], dim=1)


def network() -> Any:
    """``[net] build``: three convolutions; one box around the mask's middle, as wide as the mask spreads."""
    import torch
    from torch import nn

    from converters.nets import CamNet

    class Boxes(CamNet):
        outputs = ToyBoxes.outputs

        def __init__(self) -> None:
            super().__init__()
            self.name, self.plan = "toy-boxes", {}
            self.trunk = nn.Sequential(
                nn.Conv2d(1, 8, 5, stride=2, padding=2),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 8, 5, stride=2, padding=2),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 1, 3, padding=1),
            )
            self.spread, self.certain = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor([1.0, 0.0]))
            self.register_buffer("bias", torch.zeros(1))
            self.register_buffer("places", (torch.arange(CELLS) + 0.5) / CELLS)

        def forward(self, x: Any) -> Any:
            mask = self.trunk(x)
            share = mask.flatten(1).softmax(dim=1).reshape(-1, CELLS, CELLS)
            middles, halves = [], []
            for axis in (1, 2):
                along = share.sum(dim=axis)
                middle = (along * self.places).sum(dim=1)
                middles.append(middle)
                halves.append(self.spread * ((along * self.places**2).sum(dim=1) - middle**2).clamp_min(1e-6).sqrt())
            corners = [one - half for one, half in zip(middles, halves, strict=True)]
            corners += [one + half for one, half in zip(middles, halves, strict=True)]
            score = torch.sigmoid(self.certain[0] * mask.flatten(1).amax(dim=1) + self.certain[1])
            return torch.stack(corners, dim=1)[:, None], score[:, None], mask

        def logits(self, x: Any) -> Any:
            return torch.logit(self.forward(x)[1], eps=1e-6)

        def first_channels(self, count: int = 1) -> Any:
            return self

        def read_plan(self) -> dict[str, Any]:
            return {}

    return Boxes()

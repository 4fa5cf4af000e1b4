"""The task ``classify``: is the finding on the film?  One class activation map; a film's logit is the map's mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import threshold
from converters.failures import GateFailed
from converters.statistics import intervals
from converters.tasks.interface import Answers, Outputs, Task
from converters.training import targets as film_targets
from firmware_app.tasks import classify
from firmware_app.tasks.classify import Calibration, FindingSpec
from firmware_app.tasks.interface import Frame, Section
from firmware_app.tasks.part import Words

if TYPE_CHECKING:
    from torch import nn

    from converters.data.datasets import FilmSet
    from converters.data.predictions import Predictions
    from converters.nets import CamNet
    from converters.recipe import Recipe
    from converters.training.fitting import Objective
    from converters.words import FindingWords
    from converters.workshop import Workshop
    from firmware_app.imaging.model_input import InputSpec

MAP = "map"
FULL_SCALE_PERCENTILE = 75.0
"""The map is drawn at full strength from this percentile of the strongest cells of positive held-back films."""
NO_MAP = Words(
    en="It does not show where: the network gives a number without a map, so no heat map is drawn.",
    zh="不显示位置：该网络只给出数值而没有热力图，因此不绘制热力图。",
)


class Classify(Task):
    """See the module."""

    key = "classify"
    outputs = (MAP,)
    distils = True
    activation_map = True
    outlines = False
    """Whether a cell of the map stands for itself; else it is evidence for the film as a whole."""

    def targets(self, shop: Workshop, films: FilmSet) -> Any:
        """:class:`converters.training.targets.Targets`, weighed by what each mistake costs at the clinic."""
        return film_targets.costly(films, shop.recipe)

    def channels(self, recipe: Recipe, targets: Any) -> int:
        """The finding, and the auxiliary ones where they are weighed."""
        weighed = recipe.train is not None and recipe.train.auxiliary_weight > 0.0
        return 1 + (targets.auxiliary.shape[1] if weighed else 0)

    def objective(self, shop: Workshop, films: FilmSet, targets: Any, net: CamNet) -> Objective:
        """Cross-entropy of the map's mean."""
        from converters.training import alignment, train

        plan = shop.recipe.train
        assert plan is not None
        return train.Labels(targets, plan, alignment.beside(plan, films, net, shop.spec))

    def network(self, brought: nn.Module | Path, recipe: Recipe, spec: InputSpec, made: Path) -> CamNet:
        """The finding's channel of the network's output, as a map."""
        from converters.nets import foreign

        return foreign.with_map(brought, recipe, spec, made, outlines=self.outlines)

    def answers(self, outputs: Outputs, bias: float) -> Answers:
        """(N,) logits of the first finding."""
        cells = outputs[MAP]
        axes = tuple(range(1, cells.ndim - 1))
        return np.asarray(cells[:, 0].mean(axis=axes, dtype=np.float64) + bias, dtype=np.float64)

    def operating_point(
        self, recipe: Recipe, original: Predictions, answers: Answers, truth: NDArray[Any] | None, outputs: Outputs
    ) -> dict[str, Any]:
        """Platt's calibration and a threshold by the recipe's rule."""
        labels = original.labels
        slope, intercept = intervals.platt(labels, original.logits)
        if slope <= 0.0:
            area = intervals.auc(labels, original.logits) or 0.0
            raise GateFailed("calibrate", f"out-of-fold AUC {area:.4f}: a higher logit does not mean the finding")
        scores = threshold.sigmoid(slope * original.logits + intercept)
        cut, rule = threshold.by_rule(recipe, labels, scores, float(labels.mean()))
        return {
            "slope": round(slope, 6), "intercept": round(intercept, 6), "threshold": round(cut, 4), "rule": rule,
            **drawn(outputs[MAP], labels),
        }  # fmt: skip

    def output(self, point: Mapping[str, Any], features: str | None) -> classify.Output:
        """The map's name and scale."""
        return classify.Output(map=MAP, features=features, full_scale=point["full_scale"])

    def finding(self, point: Mapping[str, Any], words: FindingWords) -> FindingSpec:
        """The first channel of the map, calibrated."""
        return FindingSpec(
            code=words.code, label=words.label, channel=0, bias=point["bias"],
            calibration=Calibration(kind="platt", slope=point["slope"], intercept=point["intercept"]),
            threshold=point["threshold"], threshold_rule=point["rule"], priority=words.priority,
        )  # fmt: skip

    def weak_points(self, point: Mapping[str, Any]) -> tuple[Words, ...]:
        """A map of one cell shows no place."""
        return (NO_MAP,) if point.get("one_cell") else ()

    def logit(self, section: Section, outputs: Outputs, frame: Frame) -> float:
        """The map's mean with the bias, before calibration: exact where a probability would round to 0 or 1."""
        return classify.logit(outputs[section.output.map][0], section.findings[0])

    parity_of = "logit"

    def parity(self, section: Section, wanted: Outputs, given: Outputs) -> float:
        """That of the logits, which calibration has not flattened."""
        frame = Frame(1, 1)
        return abs(self.logit(section, wanted, frame) - self.logit(section, given, frame))

    pooled, calibrated = "mean", "Platt, fitted on validation films"

    def decision(self, section: Section) -> str:
        """The formula with its numbers."""
        finding = section.findings[0]
        return (
            f"logit = {self.pooled}(map) + {finding.bias:.6f}; probability = sigmoid({finding.calibration.slope:g} · "
            f"logit {finding.calibration.intercept:+g}) ({self.calibrated}); positive from "
            f"**{finding.threshold:g}**: {finding.threshold_rule}."
        )

    def picture(self, section: Section) -> str:
        """The heat map's scale."""
        return f"The heat map is drawn at full strength from {section.output.full_scale:g} logits a cell."


def drawn(cells: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, Any]:
    """From which cell value, in logits, a map (N, C, …) is drawn at full strength; and whether it is a single cell."""
    peaks = cells[labels == 1, 0].reshape(-1, cells[0, 0].size).max(axis=1)
    scale = {"full_scale": round(max(float(np.percentile(peaks, FULL_SCALE_PERCENTILE)), 1e-3), 3)}
    return {**scale, "one_cell": True} if cells[0, 0].size == 1 else scale


task = Classify()

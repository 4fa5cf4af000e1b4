"""The task ``segment``: a map whose cells are voxels, each with its own probability of lying in a lesion.

A volume's probability is that of its strongest cell, so it is positive exactly when something in it is marked.  The box
passes over packs of volumes as long as it decodes none (`packs.shelf`); the converters judge such packs through this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_app.tasks import classify
from firmware_app.tasks.interface import Answer, Frame, Section

if TYPE_CHECKING:
    from firmware_app.tasks.interface import Tensor, Tensors

key = "segment"
volumes = True
Output, Finding = classify.Output, classify.FindingSpec
together, golden, expectation, difference = (
    classify.together, classify.golden, classify.expectation, classify.difference,
)  # fmt: skip


def strongest(activation: Tensor, spec: classify.FindingSpec) -> float:
    """``activation``: (C, …) → the logit of the finding's strongest cell."""
    return float(activation[spec.channel].max()) + spec.bias


def answer(section: Section, outputs: Tensors, frame: Frame) -> Answer:
    """See :class:`firmware_app.tasks.interface.Task`."""
    value = outputs.get(section.output.map)
    if value is None or value.ndim not in (4, 5) or value.shape[0] != 1:
        raise ValueError("it gives no map")
    return Answer(tuple(classify.finding(spec, strongest(value[0], spec)) for spec in section.findings))

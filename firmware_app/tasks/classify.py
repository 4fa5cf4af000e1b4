"""The task ``classify``: a probability per finding and a heat map, both from one class activation map.

The graph gives only the map. Its mean is taken here, on the host, in 64 bits: in INT8 a pooled output and the map would
disagree by several logits.

    logit = mean(map[channel]) + bias;   probability = 1 / (1 + exp(-(slope · logit + intercept)))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from firmware_app import records
from firmware_app.tasks import clips
from firmware_app.tasks.interface import Answer, Difference, FindingPart, Frame, OutputPart, Section, tensor
from firmware_app.tasks.part import Part, Probability

if TYPE_CHECKING:
    from firmware_app.tasks.interface import Tensor, Tensors

key = "classify"
volumes = False
LARGEST_EXPONENT: Final = 700.0
_EXPECTED: Final = TypeAdapter(dict[str, Probability])


class Output(OutputPart):
    """The class activation map (1, C, h, w), in logits.

    ``full_scale`` is the cell value, in logits, that is drawn at full strength (see :mod:`firmware_app.tasks.explain`).
    """

    map: str = Field(min_length=1)
    features: str | None = None
    full_scale: float = Field(gt=0.0)


class Calibration(Part):
    """Platt (1999): probability = sigmoid(slope · logit + intercept), fitted on validation films."""

    kind: Literal["platt"]
    slope: float = Field(gt=0.0)
    intercept: float


class FindingSpec(FindingPart):
    """A finding's channel of the map, the classifier's bias and its calibration."""

    channel: int = Field(ge=0)
    bias: float
    calibration: Calibration


Finding = FindingSpec


def logit(activation: Tensor, spec: FindingSpec) -> float:
    """``activation``: (C, h, w) → the finding's logit; raises :class:`ValueError` for a channel it does not have."""
    if activation.ndim != 3 or spec.channel >= activation.shape[0]:
        raise ValueError(f"a map of shape {activation.shape} has no channel {spec.channel}")
    return float(activation[spec.channel].mean(dtype="float64")) + spec.bias


def probability(value: float, calibration: Calibration) -> float:
    """The calibrated probability of a logit, in [0, 1]; raises :class:`ValueError` for one that is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"a logit of {value} has no probability")
    exponent = -(calibration.slope * value + calibration.intercept)
    return 1.0 / (1.0 + math.exp(min(max(exponent, -LARGEST_EXPONENT), LARGEST_EXPONENT)))


def findings(activation: Tensor, specs: Sequence[FindingSpec]) -> tuple[records.Finding, ...]:
    """``activation``: (C, h, w), one film's map → one finding per spec, in their order."""
    return tuple(finding(spec, logit(activation, spec)) for spec in specs)


def finding(spec: FindingSpec, value: float) -> records.Finding:
    """The finding that a logit of *value* makes."""
    return records.Finding(spec.code, spec.label.by_language(), probability(value, spec.calibration), spec.threshold)


def answer(section: Section, outputs: Tensors, frame: Frame) -> Answer:
    """See :class:`firmware_app.tasks.interface.Task`."""
    from firmware_app.tasks import explain

    activation, scale = tensor(outputs, section.output.map, 4), section.output.full_scale
    maps = {spec.code: explain.activation_map(activation, spec.channel, scale) for spec in section.findings}
    return Answer(findings(activation, section.findings), maps=maps)


def together(section: Section, answers: Sequence[Answer]) -> Answer:
    """See :class:`firmware_app.tasks.interface.Task`."""
    return clips.together(answers, section.frames)


def golden(answer: Answer) -> dict[str, float]:
    """Finding code → probability."""
    return {one.code: round(one.probability, 4) for one in answer.findings}


def expectation(section: Section, recorded: Any) -> Mapping[str, float]:
    """Finding code → probability; a finding may be left out."""
    try:
        expected = _EXPECTED.validate_python(recorded)
    except ValidationError as error:
        raise ValueError("a golden case expects something else than probabilities") from error
    if unknown := set(expected) - {spec.code for spec in section.findings}:
        raise ValueError(f"a golden case expects the unknown finding {min(unknown)}")
    return expected


def difference(expected: Mapping[str, float], answer: Answer) -> Difference:
    """That of the finding whose probability is farthest off."""
    given = {one.code: one.probability for one in answer.findings}
    apart = {code: abs(given[code] - value) for code, value in expected.items()}
    worst = max(apart, key=apart.__getitem__, default=None)
    return Difference("", 0.0, 0.0, 0.0) if worst is None else Difference(
        worst, given[worst], expected[worst], apart[worst]
    )  # fmt: skip

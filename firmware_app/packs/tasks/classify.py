"""The task ``classify``: what a picture or a volume shows as a whole, from one class activation map.

The graph gives only the map.  Its mean is taken here, on the host, in 64 bits: in INT8 a pooled output and the map
would disagree by several logits.

    z[channel] = mean(map[channel]) + bias;   probability = 1 / (1 + exp(-(slope · logit + intercept)))

What the channels are is the manifest's ``output.kind``:

* ``labels``: each is a finding of its own, whatever the others are; logit = z.
* ``classes``: they exclude each other; logit = z less the log-sum-exp of the other channels', the log odds of the
  softmax.  Of the findings that reach their thresholds only the most probable one is positive.
* ``grades``: channel j says that the grade is above j (Frank & Hall 2001); logit = z of the finding's own channel, and
  its value is the grade: how many channels say yes.
* ``number``: z measures; the value is ``offset + scale · z``, and logit = z.

A finding may have ``marks``: candidate boxes of the map of a network that learnt from image labels alone (Zhou et al.
2016).  Of the cells with the finding's bias, connected ones (8 neighbours) of at least the share ``reach`` of the
picture's strongest cell are one place.  Its score is the probability, by ``calibration``, that a picture whose
strongest cell is the place's shows the finding; from ``threshold`` on it is marked, with a box around its cells.  Only
a picture whose finding is positive has marks.  They have no outline and no size: they show where the network looked,
not where something ends.  All of that is done here, in float.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, model_validator

from firmware_app.core import records
from firmware_app.core.lesion import ACTIVATION_MAP, FINDING_TAG, SOURCE_TAG, Lesion
from firmware_app.packs.manifest_types import Interval, LocalisedText, ManifestPart, Probability
from firmware_app.packs.tasks import golden_answers, interface
from firmware_app.packs.tasks.golden_answers import ExpectedAnswer
from firmware_app.packs.tasks.interface import (
    MOST_LESIONS,
    Answer,
    Difference,
    FindingPart,
    Frame,
    OutputPart,
    Section,
    find_tensor,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from firmware_app.packs.tasks.golden_answers import ScoredBox
    from firmware_app.packs.tasks.interface import Frame, Tensor, Tensors

    Cells = NDArray[np.float64]

key = "classify"
volumes = True
LARGEST_EXPONENT: Final = 700.0

Kind = Literal["labels", "classes", "grades", "number"]


class MapOutput(OutputPart):
    """The class activation map (1, C, h, w), of a volume (1, C, d, h, w), in logits.

    ``full_scale`` is the cell value, in logits, that is drawn at full strength (see
    :mod:`firmware_app.packs.tasks.activation_map`). ``names`` are the data set's words for the channels and ``biases``
    what is added to the mean of each; a manifest of kind ``labels`` may leave both out, since each finding says its
    own.
    """

    map: str = Field(min_length=1)
    features: str | None = None
    full_scale: float = Field(gt=0.0)
    kind: Kind = "labels"
    names: tuple[str, ...] = ()
    biases: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind in ("classes", "grades") and not self.biases:
            raise ValueError(f"a map of kind {self.kind} needs the biases of all its channels")
        return self


class NetworkPair(ManifestPart):
    """Two unlike networks in one graph: the map's first channel is pooled of both, ``channels`` are their own.

    The mean of such a channel is the log odds of that network's own probability.  Where the two probabilities lie more
    than ``most_apart`` from each other, the picture is uncertain and gets no number.  ``weights`` are the pool's.

    Of ``films`` that neither had seen ``given`` is the share with a number; ``wrong`` is the share of these that the
    pooled probability calls what they are not, ``wrong_apart`` that of the others.  Intervals are 95 %.
    """

    networks: tuple[str, str]
    channels: tuple[int, int]
    weights: tuple[Probability, Probability]
    most_apart: Probability
    films: int = Field(ge=1)
    given: Probability
    given_ci: Interval
    wrong: Probability | None = None
    wrong_ci: Interval | None = None
    wrong_apart: Probability | None = None
    wrong_apart_ci: Interval | None = None


class Output(MapOutput):
    """The map, of one network or of two (:class:`NetworkPair`)."""

    members: NetworkPair | None = None


class Calibration(ManifestPart):
    """Platt (1999): probability = sigmoid(slope · logit + intercept), fitted on validation films."""

    kind: Literal["platt"]
    slope: float = Field(gt=0.0)
    intercept: float


IDENTITY_CALIBRATION: Final = Calibration(kind="platt", slope=1.0, intercept=0.0)
"""Of log odds that are calibrated already."""


class ValueScale(ManifestPart):
    """What a finding's value is: its unit, and for a number ``offset + scale · z``.

    The finding is meant from the value ``at_least`` on.
    """

    unit: LocalisedText
    at_least: float
    scale: float = Field(1.0, gt=0.0)
    offset: float = 0.0


class ChannelSpec(FindingPart):
    """A finding's channel of the map, the classifier's bias and its calibration."""

    channel: int = Field(ge=0)
    bias: float
    calibration: Calibration
    measure: ValueScale | None = None


class MarksSpec(ManifestPart):
    """How places of a finding's map become candidate boxes (:mod:`firmware_app.packs.tasks.classify`).

    A place is the connected cells of at least the share ``reach`` of the picture's strongest cell.  ``calibration``
    makes the score of a place of its own strongest cell, in logits with the finding's bias; from ``threshold`` on it is
    marked.
    """

    calibration: Calibration
    threshold: Probability
    threshold_rule: str = Field(min_length=1)
    reach: float = Field(gt=0.0, le=1.0)


class FindingSpec(ChannelSpec):
    """A finding of the whole picture, whose places may be marked."""

    marks: MarksSpec | None = None


Finding = FindingSpec


@dataclass(frozen=True, slots=True)
class ExpectedMarks:
    """What a golden case expects of a pack that marks places; from ``limit`` on a place is marked."""

    expected: ExpectedAnswer
    limit: float


def finding_logit(activation: Tensor, spec: FindingSpec) -> float:
    """``activation``: (C, …) → z of the finding's channel; raises :class:`ValueError` for one that it does not have."""
    if activation.ndim not in (3, 4) or spec.channel >= activation.shape[0]:
        raise ValueError(f"a map of shape {activation.shape} has no channel {spec.channel}")
    return float(activation[spec.channel].mean(dtype="float64")) + spec.bias


def finding_logits(activation: Tensor, output: Output, specs: Sequence[FindingSpec]) -> list[float]:
    """``activation``: (C, …), one picture's map → each finding's logit, before calibration."""
    if output.kind != "classes":
        return [finding_logit(activation, spec) for spec in specs]
    every = channel_logits(activation, output)
    if any(spec.channel >= len(every) for spec in specs):
        raise ValueError(f"a map of shape {activation.shape} has not the channels of all findings")
    return [every[one] - _log_sum_exp(every[:one] + every[one + 1 :]) for one in (spec.channel for spec in specs)]


def channel_logits(activation: Tensor, output: Output) -> list[float]:
    """z of every channel; raises :class:`ValueError` unless there is a bias for each."""
    if len(output.biases) != activation.shape[0]:
        raise ValueError(f"a map of shape {activation.shape} has not the {len(output.biases)} channels of the manifest")
    means = activation.reshape(activation.shape[0], -1).mean(axis=1, dtype="float64")
    return [float(mean) + bias for mean, bias in zip(means, output.biases, strict=True)]


def count_grade(activation: Tensor, output: Output) -> int:
    """The grade, from 0: how many of the channels say that it is above theirs."""
    return sum(value > 0.0 for value in channel_logits(activation, output))


def calibrate(value: float, calibration: Calibration) -> float:
    """The calibrated probability of a logit, in [0, 1]; raises :class:`ValueError` for one that is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"a logit of {value} has no probability")
    exponent = -(calibration.slope * value + calibration.intercept)
    return 1.0 / (1.0 + math.exp(min(max(exponent, -LARGEST_EXPONENT), LARGEST_EXPONENT)))


def make_findings(
    activation: Tensor, specs: Sequence[FindingSpec], output: Output | None = None
) -> tuple[records.Finding, ...]:
    """``activation``: (C, …), one picture's map → one finding per spec, in their order."""
    if output is None:
        return tuple(make_finding(spec, finding_logit(activation, spec)) for spec in specs)
    found = []
    for spec, value in zip(specs, finding_logits(activation, output, specs), strict=True):
        one, measure = make_finding(spec, value), spec.measure
        if measure is not None:
            counted = (
                count_grade(activation, output) if output.kind == "grades" else measure.offset + measure.scale * value
            )
            one = replace(one, value=float(counted), unit=measure.unit.by_language())
        found.append(one)
    return keep_most_probable(found) if output.kind == "classes" else tuple(found)


def make_finding(spec: FindingSpec, value: float) -> records.Finding:
    """The finding that a logit of *value* makes."""
    return records.Finding(spec.code, spec.label.by_language(), calibrate(value, spec.calibration), spec.threshold)


def keep_most_probable(found: Sequence[records.Finding]) -> tuple[records.Finding, ...]:
    """Findings that exclude each other: all but the most probable one are outdone."""
    best = max(found, key=lambda one: one.probability)
    return tuple(replace(finding, outdone=finding is not best) for finding in found)


def answer(section: Section, outputs: Tensors, frame: Frame) -> Answer:
    """See :class:`firmware_app.packs.tasks.interface.Task`; of a volume no map is drawn."""
    from firmware_app.packs.tasks import activation_map

    activation, scale = picture_map(outputs, section.output.map), section.output.full_scale
    found = make_findings(activation, section.findings, section.output)
    if activation.ndim != 3:
        return Answer(found)
    maps = {spec.code: activation_map.draw_activation_map(activation, spec.channel, scale) for spec in section.findings}
    lesions = [
        lesion
        for spec, one in zip(section.findings, found, strict=True)
        if spec.marks is not None and one.positive
        for lesion in mark_lesions(activation, spec, frame)
    ]
    marked = tuple(sorted(lesions, key=lambda one: -one.score)[:MOST_LESIONS])
    return Answer(found, marked, maps=maps, unsure=do_networks_disagree(activation, section.output.members))


def do_networks_disagree(activation: Tensor, members: NetworkPair | None) -> bool:
    """``activation``: (C, h, w) → whether two networks say probabilities that lie too far from each other.

    Raises :class:`ValueError` for a map without their channels.
    """
    return members is not None and network_distance(activation, members.channels) > members.most_apart


def network_distance(activation: Tensor, channels: tuple[int, int]) -> float:
    """How far the probabilities of two networks lie from each other, by their own channels of the map (C, h, w)."""
    if max(channels) >= activation.shape[0]:
        raise ValueError(f"a map of shape {activation.shape} has not the channels of two networks")
    first, second = (
        calibrate(float(activation[channel].mean(dtype="float64")), IDENTITY_CALIBRATION) for channel in channels
    )
    return abs(first - second)


def picture_map(outputs: Tensors, name: str) -> Tensor:
    """The map of one picture, (C, h, w), or of one volume, (C, d, h, w); raises :class:`ValueError` without it."""
    given = outputs.get(name)
    return find_tensor(outputs, name, 5 if given is not None and given.ndim == 5 else 4)


def together(section: Section, answers: Sequence[Answer]) -> Answer:
    """See :class:`firmware_app.packs.tasks.interface.Task`; candidate boxes stay only of findings that the clip
    shows."""
    whole = interface.combine_frames(answers, section.frames)
    if section.output.kind == "classes":
        whole = replace(whole, findings=keep_most_probable(whole.findings))
    shown = {finding.code for finding in whole.findings if finding.positive}
    return replace(
        whole, lesions=tuple(lesion for lesion in whole.lesions if not lesion.is_candidate or lesion.finding in shown)
    )


def golden(answer: Answer) -> dict[str, Any]:
    """Finding code → probability; where places are marked, see :class:`golden_answers.ExpectedAnswer`."""
    return golden_answers.record_marks(answer) if answer.lesions else golden_answers.record_findings(answer)


def expectation(section: Section, recorded: Any) -> Mapping[str, float] | ExpectedMarks:
    """Finding code → probability, a finding may be left out; of a pack that marks places, the places too."""
    limits = [spec.marks.threshold for spec in section.findings if spec.marks is not None]
    if not limits:
        return golden_answers.parse_findings(section, recorded)
    with_places = isinstance(recorded, Mapping) and isinstance(recorded.get("lesions"), list)
    whole = recorded if with_places else {"findings": recorded, "lesions": []}
    return ExpectedMarks(golden_answers.parse_marks(section, whole), min(limits))


def difference(wanted: Mapping[str, float] | ExpectedMarks, answer: Answer) -> Difference:
    """That of the finding whose probability is farthest off, or of the place (:func:`golden_answers.compare_marks`)."""
    if isinstance(wanted, ExpectedMarks):
        return golden_answers.compare_marks(wanted.expected, answer, wanted.limit)
    return golden_answers.compare_findings(wanted, answer)


def _log_sum_exp(values: Sequence[float]) -> float:
    """log Σ exp(value), -inf of none: a class without rivals is certain."""
    largest = max(values, default=-math.inf)
    if not math.isfinite(largest):
        return largest
    return largest + math.log(sum(math.exp(value - largest) for value in values))


def mark_lesions(activation: Tensor, spec: FindingSpec, frame: Frame) -> list[Lesion]:
    """``activation``: (C, h, w) → the candidates in pixels of the original; those in a letterbox's bars are dropped."""
    assert spec.marks is not None
    made = []
    for *corners, score in find_candidate_boxes(finding_evidence(activation, spec), spec.marks):
        x0, y0, x1, y1 = box = frame.place_box(*corners)
        if x0 < x1 and y0 < y1:
            tags = {FINDING_TAG: spec.code, SOURCE_TAG: ACTIVATION_MAP}
            made.append(Lesion(frame.instance, frame.number, box, score, tags=tags))
    return made


def finding_evidence(activation: Tensor, spec: FindingSpec) -> Cells:
    """``activation``: (C, h, w) → the finding's cells with its bias, (h, w)."""
    import numpy as np

    return np.asarray(activation[spec.channel].astype(np.float64) + spec.bias)


def find_candidate_boxes(cells: Cells, marks: MarksSpec) -> list[ScoredBox]:
    """``cells``: (h, w), see :func:`finding_evidence` → x0, y0, x1, y1 as fractions of the picture, and the score, the
    best first.

    None of a map of one cell, or without evidence for the finding.  Raises :class:`ValueError` for a cell that is no
    number.
    """
    import numpy as np

    from firmware_app.imaging.pixel_operations import label_components

    if not bool(np.isfinite(cells).all()):
        raise ValueError("a cell of its map is no number")
    high, wide = cells.shape
    strongest = float(cells.max())
    if strongest <= 0.0 or cells.size == 1:
        return []
    numbers, count = label_components(cells >= marks.reach * strongest)
    found: list[ScoredBox] = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(numbers == number)
        score = calibrate(float(cells[rows, columns].max()), marks.calibration)
        if score >= marks.threshold:
            corners = columns.min() / wide, rows.min() / high, (columns.max() + 1) / wide, (rows.max() + 1) / high
            found.append((float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3]), score))
    return sorted(found, key=lambda one: -one[4])

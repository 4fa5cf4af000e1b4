"""A task of another package, for the tests: boxes with scores, and one mask, from a toy network.

The whole box side of a new task is this module and its entry point (docs/adding-a-task.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, TypeAdapter, ValidationError

from firmware_app.core.records import FINDING_TAG, Lesion
from firmware_app.core.records import Finding as Found
from firmware_app.packs.manifest_types import ManifestPart, Probability
from firmware_app.packs.tasks import interface
from firmware_app.packs.tasks.interface import Answer, Difference, FindingPart, Frame, OutputPart, Section, find_tensor

if TYPE_CHECKING:
    from firmware_app.packs.tasks.interface import Tensors

key = "toy-boxes"
volumes = False
Finding = FindingPart


class Output(OutputPart):
    """``boxes`` (1, N, 4): x0, y0, x1, y1 as fractions of what the model saw; ``scores`` (1, N) from 0 to 1; ``mask``
    (1, 1, h, w) in logits."""

    boxes: str = Field(min_length=1)
    scores: str = Field(min_length=1)
    mask: str = Field(min_length=1)


class Expected(ManifestPart):
    """What a golden case records: each finding's probability, and x0, y0, x1, y1, score of each lesion."""

    findings: dict[str, Probability]
    lesions: list[tuple[float, float, float, float, float]]


_EXPECTED = TypeAdapter(Expected)


def answer(section: Section, outputs: Tensors, frame: Frame) -> Answer:
    """The boxes that reach the threshold are lesions; the finding's probability is the largest score."""
    (spec,), output = section.findings, section.output
    boxes, scores = find_tensor(outputs, output.boxes, 3), find_tensor(outputs, output.scores, 2).clip(0.0, 1.0)
    (mask,) = find_tensor(outputs, output.mask, 4) >= 0.0
    lesions = []
    for corners, score in zip(boxes.tolist(), scores.tolist(), strict=True):
        x0, y0, x1, y1 = box = frame.place_box(*corners)
        if score >= spec.threshold and x0 < x1 and y0 < y1:
            area = _area(mask, corners) * (x1 - x0) * (y1 - y0)
            lesions.append(
                Lesion(frame.instance, frame.number, box, score, area_px=round(area), tags={FINDING_TAG: spec.code})
            )
    actual = Found(spec.code, spec.label.by_language(), float(scores.max()), spec.threshold)
    return Answer((actual,), tuple(lesions), maps={spec.code: mask.astype("float32")})


def _area(mask: Any, corners: Sequence[float]) -> float:
    """The share of a box, in fractions of the picture, that the mask covers."""
    rows, columns = mask.shape
    x0, y0, x1, y1 = corners
    inside = mask[int(y0 * rows) : max(round(y1 * rows), 1), int(x0 * columns) : max(round(x1 * columns), 1)]
    return float(inside.mean()) if inside.size else 0.0


def together(section: Section, answers: Sequence[Answer]) -> Answer:
    return interface.combine_frames(answers, section.frames)


def golden(answer: Answer) -> dict[str, Any]:
    return {
        "findings": {finding.code: round(finding.probability, 4) for finding in answer.findings},
        "lesions": [[*lesion.box, round(lesion.score, 4)] for lesion in answer.lesions],
    }


def expectation(section: Section, recorded: Any) -> Expected:
    try:
        return _EXPECTED.validate_python(recorded)
    except ValidationError as error:
        raise ValueError("a golden case expects something else than findings and lesions") from error


def difference(expected: Expected, answer: Answer) -> Difference:
    """The worst of: a probability that is off, a box that covers another place, a box too many or too few."""
    given = {finding.code: finding.probability for finding in answer.findings}
    code, wanted = next(iter(expected.findings.items()))
    worst = Difference(code, given[code], wanted, abs(given[code] - wanted))
    if len(answer.lesions) != len(expected.lesions):
        return Difference("lesions", len(answer.lesions), len(expected.lesions), 1.0)
    for lesion, (*box, _) in zip(answer.lesions, expected.lesions, strict=True):
        covered = _overlap(lesion.box, box)
        if 1.0 - covered > worst.apart:
            worst = Difference("box", covered, 1.0, 1.0 - covered)
    return worst


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return wide * high / (both - wide * high)

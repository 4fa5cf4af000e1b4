"""The task ``boxes``: where lesions lie, each with a box and a score, from one map of a small grid.

The map (1, 1 + 4, h, w) has the log odds that a lesion's middle lies in a cell, and the distances from the cell's
middle to the lesion's left, top, right and bottom side, in cells (FCOS, Tian et al. 2019; peaks as in CenterNet, Zhou
et al. 2019).  A peak is a cell that none of its eight neighbours outdoes; of boxes that overlap by half the better one
is kept.  All of that is done here, in float.

A picture's probability is that of its strongest cell, so it is positive exactly when a box is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import Field

from firmware_app.core.lesion import box_overlap as box_overlap
from firmware_app.core.records import FINDING_TAG, Lesion
from firmware_app.core.records import Finding as Found
from firmware_app.packs.tasks import classify, interface
from firmware_app.packs.tasks.golden_answers import SAME_BOX_OVERLAP as SAME_BOX_OVERLAP
from firmware_app.packs.tasks.golden_answers import ExpectedAnswer as ExpectedAnswer
from firmware_app.packs.tasks.golden_answers import ScoredBox as ScoredBox
from firmware_app.packs.tasks.golden_answers import compare_marks as compare_marks
from firmware_app.packs.tasks.golden_answers import parse_marks, record_marks
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
    from firmware_app.packs.tasks.interface import Tensor, Tensors

key = "boxes"
volumes = False
CHANNELS: Final = 5
OWN_CALIBRATION: Final = classify.Calibration(kind="platt", slope=1.0, intercept=0.0)
"""Of scores that are the network's own probabilities."""
golden, expectation = record_marks, parse_marks

Corners = tuple[float, float, float, float]


class Output(OutputPart):
    """The map (1, 5, h, w): see the module."""

    map: str = Field(min_length=1)


class Finding(FindingPart):
    """``bias`` is added to the log odds of every cell, which are calibrated (Platt 1999)."""

    bias: float = 0.0
    calibration: classify.Calibration


def answer(section: Section, outputs: Tensors, frame: Frame) -> Answer:
    """See :class:`firmware_app.packs.tasks.interface.Task`."""
    if len(section.findings) != 1:
        raise ValueError("boxes are of one finding")
    (spec,) = section.findings
    cells = find_tensor(outputs, section.output.map, 4)
    scored = decode_boxes(cells, spec.bias, spec.calibration, spec.threshold)
    lesions = []
    for *corners, score in scored:
        x0, y0, x1, y1 = box = frame.place_box(*corners)
        if x0 < x1 and y0 < y1:
            lesions.append(Lesion(frame.instance, frame.number, box, score, tags={FINDING_TAG: spec.code}))
    chance = classify.calibrate(float(cells[0].max()) + spec.bias, spec.calibration)
    return Answer((Found(spec.code, spec.label.by_language(), chance, spec.threshold),), tuple(lesions))


def decode_boxes(cells: Tensor, bias: float, calibration: classify.Calibration, threshold: float) -> list[ScoredBox]:
    """``cells``: (5, h, w) → x0, y0, x1, y1 as fractions of the picture, and the score, the best first.

    Raises :class:`ValueError` for another shape, or for a cell that is no number.
    """
    import numpy as np

    if cells.ndim != 3 or cells.shape[0] != CHANNELS or not bool(np.isfinite(cells).all()):
        raise ValueError(f"a map of shape {cells.shape} is none of boxes, or not of numbers")
    odds, (high, wide) = cells[0], cells.shape[1:]
    found: list[ScoredBox] = []
    for row, column in find_peaks(odds):
        score = classify.calibrate(float(odds[row, column]) + bias, calibration)
        if score < threshold:
            continue
        left, top, right, bottom = (max(0.0, float(one)) for one in cells[1:, row, column])
        x, y = float(column) + 0.5, float(row) + 0.5
        found.append(((x - left) / wide, (y - top) / high, (x + right) / wide, (y + bottom) / high, score))
    kept: list[ScoredBox] = []
    for one in sorted(found, key=lambda box: -box[4]):
        if all(box_overlap(one[:4], other[:4]) < SAME_BOX_OVERLAP for other in kept):
            kept.append(one)
    return kept[:MOST_LESIONS]


def find_peaks(odds: Tensor) -> list[tuple[int, int]]:
    """``odds``: (h, w) → row and column of the cells that none of their eight neighbours outdoes."""
    import numpy as np

    high, wide = odds.shape
    beside = np.pad(odds, 1, constant_values=-np.inf)
    around = [beside[y : y + high, x : x + wide] for y in range(3) for x in range(3)]
    return [(int(row), int(column)) for row, column in np.argwhere(odds >= np.max(around, axis=0))]


def together(section: Section, answers: Sequence[Answer]) -> Answer:
    """See :class:`firmware_app.packs.tasks.interface.Task`."""
    return interface.combine_frames(answers, section.frames)


def difference(expected: ExpectedAnswer, answer: Answer) -> Difference:
    """See :func:`compare_marks`; the threshold is the least of the findings'."""
    return compare_marks(expected, answer, min((finding.threshold for finding in answer.findings), default=0.0))

"""The task ``lesions``: where each lesion lies, its outline, and what the whole picture shows.

The graph gives four outputs of one picture, all in logits unless said otherwise:

* ``map`` (1, C, h, w): evidence for each finding, as in :mod:`firmware_app.packs.tasks.classify`; the mean of its
channel is the finding of the whole picture, or that the picture shows any lesion;
* ``outline`` (1, 1 or 2, H, W): whether a cell lies in a lesion; the second channel, whether it lies in the organ;
* ``boxes`` (1, 5, h, w): a lesion's middle, and the distances to its sides in cells before a softplus;
* ``points`` (1, 3, H, W): the middle of a small lesion, and the logarithms of its long and short axis in cells.

Both kinds of detections compete by Soft-NMS (Bodla et al. 2017).  A detection's score is the geometric mean of three
probabilities: the detector's, that of the strongest outline cell in its box, and that the picture shows any lesion.
What the outline covers of its box, somewhat widened, is its outline.  Detections whose middle lies outside the organ
are dropped.

A finding ``of: "lesions"`` has the score of the strongest detection, so it is positive exactly when one is marked.  One
``of: "picture"`` is the mean of its channel of the map, and each lesion has its own chance of it: the mean of the cells
in its box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, model_validator

from firmware_app.core.lesion import FINDING_TAG, Lesion, box_overlap
from firmware_app.core.records import Finding as Found
from firmware_app.packs.manifest_types import Probability
from firmware_app.packs.tasks import activation_map, boxes, classify, interface, segment
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

    from firmware_app.packs.tasks.interface import Tensor, Tensors

    Chances = NDArray[np.float64]

key = "lesions"
volumes = False
OF_LESIONS, OF_PICTURE = "lesions", "picture"
WIDENED: Final = 0.15
"""By this share of its width and height a box is widened on each side before its outline is taken."""
DECAY: Final = 0.5
"""Soft-NMS: a score falls by exp(-overlap² / DECAY) for each better detection."""
MOST_CANDIDATES: Final = 40
LEAST_SCORE: Final = 0.02
LARGEST_LOG: Final = 8.0

golden, expectation = boxes.golden, boxes.expectation
Expected = boxes.ExpectedAnswer


class Output(OutputPart):
    """The names of the four outputs.

    ``full_scale``: the cell of the map, in logits, that is drawn at full strength.  ``cut``: the probability from which
    a cell of the outline lies in a lesion.  ``organ``: the data set's word for the organ that the outline's
    second channel shows; empty where it has none.
    """

    map: str = Field(min_length=1)
    outline: str = Field(min_length=1)
    boxes: str = Field(min_length=1)
    points: str = Field(min_length=1)
    full_scale: float = Field(gt=0.0)
    cut: Probability
    organ: str = ""


class Finding(FindingPart):
    """A finding of the picture, or of the lesions, with its channel of the map.

    ``calibration`` makes the probability of the whole picture of its mean; ``each`` makes that of one lesion.
    """

    of: Literal["picture", "lesions"]
    channel: int = Field(0, ge=0)
    bias: float = 0.0
    calibration: classify.Calibration
    each: classify.Calibration | None = None

    @model_validator(mode="after")
    def _each_of_picture(self) -> Self:
        if self.of == OF_LESIONS and self.each is not None:
            raise ValueError("a finding of the lesions has no chance of its own for each")
        return self


@dataclass(frozen=True, slots=True)
class Candidate:
    """One detection: x0, y0, x1, y1 as fractions of what the model saw; long and short axis of a point, likewise."""

    box: tuple[float, float, float, float]
    score: float
    axes: tuple[float, float] | None = None


def answer(section: Section, outputs: Tensors, frame: Frame) -> Answer:
    """See :class:`firmware_app.packs.tasks.interface.Task`."""
    output: Output = section.output
    evidence = find_tensor(outputs, output.map, 4)
    cells = outline_probabilities(find_tensor(outputs, output.outline, 4), 1 + bool(output.organ))
    ordinary, small = find_tensor(outputs, output.boxes, 4), find_tensor(outputs, output.points, 4)
    findings, maps = [], {}
    lesions: list[Lesion] = []
    pictures = [spec for spec in section.findings if spec.of == OF_PICTURE]
    for spec in section.findings:
        chance = classify.calibrate(classify.finding_logit(evidence, spec), spec.calibration)
        if spec.of == OF_PICTURE:
            maps[spec.code] = activation_map.draw_activation_map(evidence, spec.channel, output.full_scale)
        else:
            candidates = find_detections(ordinary, small, cells, chance)
            chance = max((candidate.score for candidate in candidates), default=0.0)
            marked = [candidate for candidate in candidates if candidate.score >= spec.threshold][:MOST_LESIONS]
            made = (
                _make_lesion(one, spec, pictures, evidence=evidence, outline=cells[0], cut=output.cut, frame=frame)
                for one in marked
            )
            lesions += [lesion for lesion in made if lesion is not None]
        findings.append(Found(spec.code, spec.label.by_language(), chance, spec.threshold))
    return Answer(tuple(findings), tuple(lesions), maps=maps)


def outline_probabilities(outline: Tensor, channels: int) -> Chances:
    """``outline``: (L, H, W) logits → probabilities; raises :class:`ValueError` for another shape or no number."""
    import numpy as np

    if outline.ndim != 3 or outline.shape[0] != channels or not bool(np.isfinite(outline).all()):
        raise ValueError(f"an outline of shape {outline.shape} has not {channels} channels of numbers")
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(outline.astype(np.float64), -60.0, 60.0))))


def find_detections(cells: Tensor, points: Tensor, outline: Chances, shown: float) -> list[Candidate]:
    """``cells`` (5, h, w), ``points`` (3, H, W), probabilities ``outline`` (L, H, W) of lesions and the organ, and that
    the picture shows any lesion → the best first.

    Raises :class:`ValueError` for other shapes, or for a cell that is no number.
    """
    found = [*_box_candidates(cells), *_point_candidates(points)]
    scored = []
    for one in sorted(found, key=lambda candidate: -candidate.score)[:MOST_CANDIDATES]:
        if len(outline) > 1 and outline[1][_middle_cell(one, outline.shape[1:])] < 0.5:
            continue
        rows, columns = _cells_of_box(one.box, outline.shape[1:], 0.0)
        seen = float(outline[0, rows, columns].max())
        scored.append(replace(one, score=float((one.score * seen * shown) ** (1.0 / 3.0))))
    return soft_nms(scored)


def soft_nms(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Soft-NMS: the best stays, the scores of those that overlap it fall, and so on; the best first."""
    import math

    left, kept = list(candidates), list[Candidate]()
    while left:
        best = max(left, key=lambda one: one.score)
        left.remove(best)
        if best.score < LEAST_SCORE:
            break
        kept.append(best)
        left = [
            replace(candidate, score=candidate.score * math.exp(-(box_overlap(candidate.box, best.box) ** 2) / DECAY))
            for candidate in left
        ]
    return kept


def _box_candidates(cells: Tensor) -> list[Candidate]:
    import numpy as np

    if cells.ndim != 3 or cells.shape[0] != boxes.CHANNELS or not bool(np.isfinite(cells).all()):
        raise ValueError(f"a map of shape {cells.shape} is none of boxes, or not of numbers")
    high, wide = cells.shape[1:]
    made = []
    for row, column in boxes.find_peaks(cells[0]):
        left, top, right, bottom = (float(np.logaddexp(0.0, one)) for one in cells[1:, row, column])
        x, y = column + 0.5, row + 0.5
        box = ((x - left) / wide, (y - top) / high, (x + right) / wide, (y + bottom) / high)
        made.append(Candidate(box=box, score=_sigmoid(cells[0, row, column])))
    return made


def _point_candidates(points: Tensor) -> list[Candidate]:
    import numpy as np

    if points.ndim != 3 or points.shape[0] != 3 or not bool(np.isfinite(points).all()):
        raise ValueError(f"a map of shape {points.shape} is none of points, or not of numbers")
    high, wide = points.shape[1:]
    made = []
    for row, column in boxes.find_peaks(points[0]):
        first, second = (float(np.exp(min(max(one, 0.0), np.log(LARGEST_LOG)))) for one in points[1:, row, column])
        long, short = max(first, second), min(first, second)
        x, y, half = column + 0.5, row + 0.5, (long * short) ** 0.5 / 2.0
        box = ((x - half) / wide, (y - half) / high, (x + half) / wide, (y + half) / high)
        axes = (long / (wide * high) ** 0.5, short / (wide * high) ** 0.5)
        made.append(Candidate(box=box, score=_sigmoid(points[0, row, column]), axes=axes))
    return made


def _make_lesion(
    one: Candidate,
    spec: Finding,
    pictures: Sequence[Finding],
    evidence: Tensor,
    outline: Chances,
    cut: float,
    frame: Frame,
) -> Lesion | None:
    """A detection in pixels of the original; ``None`` where it lies in the bars of a letterbox alone."""
    traced = frame.place_outline(trace_candidate(one, outline, cut))
    box = frame.place_box(*one.box)
    if traced:
        across, down = [x for x, _ in traced], [y for _, y in traced]
        around = min(across), min(down), max(across), max(down)
        box = around if around[0] < around[2] and around[1] < around[3] else box
    if not (box[0] < box[2] and box[1] < box[3]):
        return None
    chances = {each.code: lesion_probability(one, evidence, each) for each in pictures if each.each is not None}
    sizes: dict[str, Any] = {}
    if not traced and one.axes is not None:
        left, top, right, bottom = frame.box or (0, 0, frame.columns, frame.rows)
        scale = ((right - left) * (bottom - top)) ** 0.5
        sizes = {"long_axis_px": one.axes[0] * scale, "short_axis_px": one.axes[1] * scale}
    return Lesion(
        frame.instance,
        frame.number,
        box,
        one.score,
        tags={FINDING_TAG: spec.code},
        outline=traced,
        chances=chances,
        **sizes,
    )


def find_covered_cells(one: Candidate, outline: Chances, cut: float) -> NDArray[np.bool_]:
    """``outline`` (H, W) → the cells that a detection covers: those from ``cut`` in its box, else the box itself."""
    inside = _cells_inside(one, outline, cut)
    if not inside.any():
        inside[_cells_of_box(one.box, outline.shape, 0.0)] = True
    return inside


def _cells_inside(one: Candidate, outline: Chances, cut: float) -> NDArray[np.bool_]:
    import numpy as np

    near = _cells_of_box(one.box, outline.shape, WIDENED)
    inside = np.zeros(outline.shape, dtype=np.bool_)
    inside[near] = outline[near] >= cut
    return inside


def trace_candidate(one: Candidate, outline: Chances, cut: float) -> list[tuple[float, float]]:
    """The corners of a detection's outline, as fractions of what the model saw; empty where no cells reach ``cut``."""
    inside = _cells_inside(one, outline, cut)
    return segment.trace_piece(outline, inside, cut)


def mean_evidence(one: Candidate, evidence: Tensor, channel: int) -> float:
    """``evidence``: (C, h, w) → the mean of the channel's cells in the box."""
    rows, columns = _cells_of_box(one.box, evidence.shape[1:], 0.0)
    return float(evidence[channel][rows, columns].mean(dtype="float64"))


def lesion_probability(one: Candidate, evidence: Tensor, spec: Finding) -> float:
    """The chance of a finding of the picture that one lesion has."""
    assert spec.each is not None
    return classify.calibrate(mean_evidence(one, evidence, spec.channel) + spec.bias, spec.each)


def _cells_of_box(box: tuple[float, float, float, float], shape: tuple[int, ...], wider: float) -> tuple[slice, slice]:
    """The cells of a grid (h, w) that a box covers, widened on each side by a share of itself; at least one."""
    high, wide = shape
    across, down = (box[2] - box[0]) * wider, (box[3] - box[1]) * wider

    def cells(low: float, up: float, count: int) -> slice:
        first = min(max(int(low * count), 0), count - 1)
        return slice(first, min(max(int(-(-up * count // 1)), first + 1), count))

    return cells(box[1] - down, box[3] + down, high), cells(box[0] - across, box[2] + across, wide)


def _middle_cell(one: Candidate, shape: tuple[int, ...]) -> tuple[int, int]:
    high, wide = shape
    y, x = (one.box[1] + one.box[3]) / 2.0 * high, (one.box[0] + one.box[2]) / 2.0 * wide
    return min(max(int(y), 0), high - 1), min(max(int(x), 0), wide - 1)


def _sigmoid(odds: float) -> float:
    return classify.calibrate(float(odds), boxes.OWN_CALIBRATION)


def together(section: Section, answers: Sequence[Answer]) -> Answer:
    """See :class:`firmware_app.packs.tasks.interface.Task`."""
    return interface.combine_frames(answers, section.frames)


def difference(expected: Expected, answer: Answer) -> Difference:
    """See :func:`firmware_app.packs.tasks.boxes.apart`; the strongest lesion is also the finding's own probability."""
    return boxes.compare_marks(expected, answer, max((finding.threshold for finding in answer.findings), default=0.0))

"""The task ``segment``: a map whose cells each have their own probability of lying in a lesion.

Of a picture, connected cells at or above the threshold are a lesion, with its box and its outline, and the mask is what
is drawn over the picture.  A picture's or volume's probability is that of its strongest cell, so it is positive exactly
when something in it is marked.  Of a volume only the findings are told: nothing is drawn and no box is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firmware_app.core.records import FINDING_TAG, Lesion
from firmware_app.packs.tasks import classify, golden_answers
from firmware_app.packs.tasks.interface import MOST_LESIONS, Answer, Frame, Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from firmware_app.packs.tasks.interface import Tensor, Tensors

key = "segment"
volumes = True
Output, Finding = classify.MapOutput, classify.ChannelSpec
together = classify.together
golden, expectation, difference = (
    golden_answers.record_findings,
    golden_answers.parse_findings,
    golden_answers.compare_findings,
)
LARGEST_EXPONENT: Final = 80.0
LEAST_CELLS: Final = 3
"""The fewest cells of a lesion that is outlined."""


def strongest_logit(activation: Tensor, spec: classify.ChannelSpec) -> float:
    """``activation``: (C, …) → the logit of the finding's strongest cell."""
    return float(activation[spec.channel].max()) + spec.bias


def answer(section: Section, outputs: Tensors, frame: Frame) -> Answer:
    """See :class:`firmware_app.packs.tasks.interface.Task`."""
    activation = classify.picture_map(outputs, section.output.map)
    if any(spec.channel >= activation.shape[0] for spec in section.findings):
        raise ValueError(f"a map of shape {activation.shape} has not the manifest's channels")
    found = tuple(classify.make_finding(spec, strongest_logit(activation, spec)) for spec in section.findings)
    if activation.ndim != 3:
        return Answer(found)
    shares = {spec.code: cell_probabilities(activation, spec) for spec in section.findings}
    lesions = [lesion for spec in section.findings for lesion in mark_lesions(shares[spec.code], spec, frame)]
    kept = sorted(lesions, key=lambda one: -one.score)[:MOST_LESIONS]
    masks = {spec.code: (shares[spec.code] >= spec.threshold).astype("float32") for spec in section.findings}
    return Answer(found, tuple(kept), maps=masks)


def cell_probabilities(activation: Tensor, spec: classify.ChannelSpec) -> NDArray[np.float64]:
    """``activation``: (C, …) → each cell's probability of the finding; :class:`ValueError` where one is no number."""
    import numpy as np

    cells = activation[spec.channel].astype(np.float64) + spec.bias
    if not bool(np.isfinite(cells).all()):
        raise ValueError("a cell of its map is no number")
    exponent = -(spec.calibration.slope * cells + spec.calibration.intercept)
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(exponent, -LARGEST_EXPONENT, LARGEST_EXPONENT))), dtype=np.float64)


def mark_lesions(share: NDArray[np.float64], spec: classify.ChannelSpec, frame: Frame) -> list[Lesion]:
    """``share``: (h, w) probabilities → a lesion for each connected piece at or above the threshold."""
    import numpy as np

    from firmware_app.imaging.pixel_operations import label_components

    numbers, count = label_components(share >= spec.threshold)
    high, wide = share.shape
    left, top, right, bottom = frame.box or (0, 0, frame.columns, frame.rows)
    cell_px = (right - left) * (bottom - top) / (high * wide)
    lesions = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(numbers == number)
        box = frame.place_box(
            columns.min() / wide, rows.min() / high, (columns.max() + 1) / wide, (rows.max() + 1) / high
        )
        if not (box[0] < box[2] and box[1] < box[3]):  # in the bars of a letterbox alone
            continue
        score, area = float(share[rows, columns].max()), round(len(rows) * cell_px)
        outline = frame.place_outline(trace_piece(share, numbers == number, spec.threshold))
        lesions.append(
            Lesion(
                frame.instance, frame.number, box, score, area_px=area, tags={FINDING_TAG: spec.code}, outline=outline
            )
        )
    return lesions


def trace_piece(share: NDArray[np.float64], piece: NDArray[np.bool_], threshold: float) -> list[tuple[float, float]]:
    """The outline of one *piece* of *share*, as fractions of it; empty for one that is too small to have one."""
    import numpy as np

    from firmware_app.imaging import lesion_outlines

    if int(piece.sum()) < LEAST_CELLS:
        return []
    rows, columns = np.nonzero(piece)
    top, left = max(0, int(rows.min()) - 1), max(0, int(columns.min()) - 1)
    part = slice(top, int(rows.max()) + 2), slice(left, int(columns.max()) + 2)
    # Cells of other pieces that lie beside this one are held back, so that it alone is outlined.
    alone = np.where(piece[part] | (share[part] < threshold), share[part], 0.0)
    high, wide = share.shape
    return [((left + x) / wide, (top + y) / high) for x, y in lesion_outlines.trace_outline(alone, threshold)]

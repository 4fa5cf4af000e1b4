"""Candidate boxes of an activation map, of a network that learnt from image labels alone (Zhou et al. 2016).

Of the cells with the finding's bias, connected ones (8 neighbours) of at least the share ``reach`` of the picture's
strongest cell are one place.  Its score is the probability, by ``calibration``, that a picture whose strongest cell is
the place's shows the finding; from ``threshold`` on it is marked, with a box around its cells.  All of that is done
here, in float.

Only a picture whose finding is positive has marks.  They have no outline and no size: they say where the network
looked, not where something ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_app.core.lesion import ACTIVATION_MAP, FINDING_TAG, SOURCE_TAG, Lesion
from firmware_app.packs.tasks import classify

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from firmware_app.packs.tasks.expected import Scored
    from firmware_app.packs.tasks.interface import Frame, Tensor

    Cells = NDArray[np.float64]


def lesions(activation: Tensor, spec: classify.FindingSpec, frame: Frame) -> list[Lesion]:
    """``activation``: (C, h, w) → the candidates in pixels of the original; those in a letterbox's bars are dropped."""
    assert spec.marks is not None
    made = []
    for *corners, score in places(evidence(activation, spec), spec.marks):
        x0, y0, x1, y1 = box = frame.placed(*corners)
        if x0 < x1 and y0 < y1:
            tags = {FINDING_TAG: spec.code, SOURCE_TAG: ACTIVATION_MAP}
            made.append(Lesion(frame.instance, frame.number, box, score, tags=tags))
    return made


def evidence(activation: Tensor, spec: classify.FindingSpec) -> Cells:
    """``activation``: (C, h, w) → the finding's cells with its bias, (h, w)."""
    import numpy as np

    return np.asarray(activation[spec.channel].astype(np.float64) + spec.bias)


def places(cells: Cells, marks: classify.MarksSpec) -> list[Scored]:
    """``cells``: (h, w), see :func:`evidence` → x0, y0, x1, y1 as fractions of the picture, and the score, the best
    first.

    None of a map of one cell, or without evidence for the finding.  Raises :class:`ValueError` for a cell that is no
    number.
    """
    import numpy as np

    from firmware_app.imaging.morphology import components

    if not bool(np.isfinite(cells).all()):
        raise ValueError("a cell of its map is no number")
    high, wide = cells.shape
    strongest = float(cells.max())
    if strongest <= 0.0 or cells.size == 1:
        return []
    numbers, count = components(cells >= marks.reach * strongest)
    found: list[Scored] = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(numbers == number)
        score = classify.probability(float(cells[rows, columns].max()), marks.calibration)
        if score >= marks.threshold:
            corners = columns.min() / wide, rows.min() / high, (columns.max() + 1) / wide, (rows.max() + 1) / high
            found.append((float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3]), score))
    return sorted(found, key=lambda one: -one[4])

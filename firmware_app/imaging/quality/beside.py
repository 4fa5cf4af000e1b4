"""Which part of a picture lies beside the anatomy, and how much of a model's evidence lies there.

Of ultrasound it is what surrounds the sector (`imaging.sector`): letters, rulers, the maker's frame, the empty ground.
Of a film it is what surrounds the exposed area, with whatever was printed or burnt into it: strips along its sides that
are of one even black, or of an even brighter grey that ends at an edge.  Dark air beside a shoulder is not told from
the film around it and does not count; a strip that is black from end to end does, be it collimated, masked or air: no
part of a body is in it.  Limits are argued in docs/decisions/clips.md; `python -m bench.beside` prints the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.morphology import Mask
from firmware_app.imaging.quality.limits import BESIDE_CELLS as SIDE
from firmware_app.imaging.ultrasound.sector import Box, Sector

_SAMPLED_SIDE: Final = 256
_EVEN: Final = 0.03  # of the range of greys in the middle: what a pixel of a strip may differ from its ground
_OF_A_LINE: Final = 0.9  # that are of the ground's grey; the rest may be a ruler or a letter
_OF_A_WRITTEN_LINE: Final = 0.5
_DARK: Final = 0.1  # of the range, above the darkest of the middle
_EDGE: Final = 0.1  # of the range, for half the line: a burnt abdomen is even too, but ends in no edge
_WIDEST: Final = 0.45  # of a side; what is even to its middle has no border that could be told

Cells = NDArray[np.uint8]
"""(SIDE, SIDE): how much of each cell of what a model sees lies beside the anatomy, 0 to 255."""


def exposed(frame: NDArray[np.float32], hidden: Mask | None = None) -> Box:
    """x0, y0, x1, y1 of the part of a film that is left between its even borders, the last ones outside.

    *frame*: (H, W) greys of any range, *hidden*: (H, W), true where padding is, which has no grey.
    """
    step = max(1, min(frame.shape) // _SAMPLED_SIDE)
    levels = _levels(frame[::step, ::step], None if hidden is None else hidden[::step, ::step])
    rows, columns = levels.shape
    top = bottom = left = right = 0
    for _ in range(2):  # a second time, for a frame within a frame
        inner = levels[top : rows - bottom, left : columns - right]
        if min(inner.shape) < _SAMPLED_SIDE // 16:
            break
        strips = _strip(inner), _strip(inner[::-1]), _strip(inner.T), _strip(inner.T[::-1])
        top, bottom, left, right = top + strips[0], bottom + strips[1], left + strips[2], right + strips[3]
        if not any(strips):
            break
    box = left * step, top * step, frame.shape[1] - right * step, frame.shape[0] - bottom * step
    wide = max(top, bottom) > _WIDEST * rows or max(left, right) > _WIDEST * columns
    return (0, 0, frame.shape[1], frame.shape[0]) if wide or box[0] >= box[2] or box[1] >= box[3] else box


def framed(frame: NDArray[np.float32], hidden: Mask | None = None) -> Box | None:
    """The part within an even frame that runs around the whole film; None where it has none.

    Strips at one side or two are left alone: dark air beside a narrow chest is even too, and was learnt from.
    """
    x0, y0, x1, y1 = exposed(frame, hidden)
    return (x0, y0, x1, y1) if x0 > 0 and y0 > 0 and x1 < frame.shape[1] and y1 < frame.shape[0] else None


def of_film(frame: NDArray[np.float32], hidden: Mask | None = None, box: Box | None = None) -> Cells | None:
    """The cells of a film of which a model sees *box* (None: the whole); None where nothing lies beside."""
    left, top, right, bottom = box or (0, 0, frame.shape[1], frame.shape[0])
    x0, y0, x1, y1 = exposed(frame, hidden)
    down, across = _between(y0 - top, y1 - top, bottom - top), _between(x0 - left, x1 - left, right - left)
    cells = _whole(1.0 - down[:, np.newaxis] * across[np.newaxis, :])
    if hidden is not None:
        cells = np.maximum(cells, _cells(hidden, (left, top, right, bottom)))
    return cells if cells.any() else None


def of_sector(found: Sector, box: Box | None = None) -> Cells | None:
    """Those of an ultrasound picture of which a model sees *box* (None: the whole); None where nothing lies beside."""
    rows, columns = found.mask.shape
    cells = _cells(found.outside, box or (0, 0, columns, rows))
    return cells if cells.any() else None


def stacked(frames: Sequence[Cells | None]) -> Cells | None:
    """Those of several frames as (n, SIDE, SIDE); None where there are none."""
    if all(cells is None for cells in frames):
        return None
    return np.stack([np.zeros((SIDE, SIDE), np.uint8) if cells is None else cells for cells in frames])


def share(strengths: NDArray[np.float32], cells: Cells) -> float:
    """How much of the evidence lies beside the anatomy, 0 to 1; 0 where there is no evidence.

    *strengths*: (h, w) in [0, 1] as `tasks.explain` gives them, weighed as they are drawn (`reading.heat_map`).
    """
    drawn = np.asarray(Image.fromarray(strengths.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    evidence = float(drawn.sum(dtype=np.float64))
    beside = float((drawn * (cells / np.float32(255.0))).sum(dtype=np.float64))
    return min(beside / evidence, 1.0) if evidence > 0.0 else 0.0


def _levels(sampled: NDArray[np.float32], hidden: Mask | None) -> NDArray[np.float64]:
    """Greys in which 0 to 1 is the range of the picture's middle: neither letters nor a border set the scale."""
    rows, columns = sampled.shape
    middle = slice(rows // 4, max(rows - rows // 4, 1)), slice(columns // 4, max(columns - columns // 4, 1))
    seen = sampled[middle] if hidden is None else sampled[middle][~hidden[middle]]
    if not seen.size:
        return np.zeros(sampled.shape)
    low, high = (float(limit) for limit in np.percentile(seen, (0.5, 99.5)))
    if not high - low > max(abs(low), abs(high)) * 1e-6:
        return np.zeros(sampled.shape)
    return np.asarray((sampled.astype(np.float64) - low) / (high - low))


def _strip(lines: NDArray[np.float64]) -> int:
    """How many of the first *lines* are an even strip; lines with letters in them belong to it where it goes on."""
    ground = float(np.median(lines[0]))
    even = (np.abs(lines - ground) <= _EVEN).mean(axis=1)
    end = int(np.argmax(even < _OF_A_WRITTEN_LINE)) if (even < _OF_A_WRITTEN_LINE).any() else len(lines)
    within = np.flatnonzero(even[:end] >= _OF_A_LINE)
    count = int(within[-1]) + 1 if len(within) else 0
    if count == 0 or ground <= _DARK:
        return count
    beyond = lines[count + 1 : count + 4]
    return count if beyond.size and (np.abs(beyond - ground) > _EDGE).mean() >= 0.5 else 0


def _between(first: int, last: int, length: int) -> NDArray[np.float64]:
    """How much of each of `SIDE` cells along a side of *length* pixels lies from *first* to *last*."""
    edges = np.linspace(0.0, length, SIDE + 1)
    overlap = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
    return np.asarray(np.clip(overlap, 0.0, None) * (SIDE / length))


def _cells(mask: Mask, box: Box) -> Cells:
    """*mask* within *box*, as cells."""
    x0, y0, x1, y1 = box
    step = max(1, min(y1 - y0, x1 - x0) // _SAMPLED_SIDE)
    seen = np.ascontiguousarray(mask[y0:y1:step, x0:x1:step], np.float32)
    return _whole(np.asarray(Image.fromarray(seen).resize((SIDE, SIDE), Image.Resampling.BOX), np.float64))


def _whole(shares: NDArray[np.float64]) -> Cells:
    return np.rint(np.clip(shares, 0.0, 1.0) * 255.0).astype(np.uint8)

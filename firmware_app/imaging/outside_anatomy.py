"""The part of a picture beside the anatomy, and how much of a model's evidence is there.

In ultrasound it is everything outside the sector.  In a film it is the area around the exposed field: strips along the
sides that are evenly black, or evenly brighter with an edge at their end (docs/decisions/explanation.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.image_limits import OUTSIDE_CELLS as SIDE
from firmware_app.imaging.pixel_operations import Mask
from firmware_app.imaging.ultrasound_sector import Box, Sector

_SAMPLED_SIDE: Final = 256
_EVEN: Final = 0.03  # of the grey range of the film's middle: how far a strip's pixels may differ from its background
_OF_A_LINE: Final = 0.9  # share of a line with the background's grey; the rest may be a ruler or a letter
_OF_A_WRITTEN_LINE: Final = 0.5
_DARK: Final = 0.1  # of the range, above the darkest grey of the middle
_EDGE: Final = 0.1  # of the range, along half the line: an overexposed abdomen is even too, but has no edge
_WIDEST: Final = 0.45  # of a side; an area that is even up to the middle is not a border

Cells = NDArray[np.uint8]
"""(SIDE, SIDE): the share of each cell of the model's view that is beside the anatomy, 0 to 255."""


def find_exposed_box(frame: NDArray[np.float32], hidden: Mask | None = None) -> Box:
    """The part of a film within its even borders: x0, y0, x1, y1, where x1 and y1 are exclusive.

    *frame*: (H, W) greys of any range.  *hidden*: (H, W), true for padding, whose greys are ignored.
    """
    step = max(1, min(frame.shape) // _SAMPLED_SIDE)
    levels = _levels(frame[::step, ::step], None if hidden is None else hidden[::step, ::step])
    rows, columns = levels.shape
    top = bottom = left = right = 0
    for _ in range(2):  # twice, for a border within a border
        inner = levels[top : rows - bottom, left : columns - right]
        if min(inner.shape) < _SAMPLED_SIDE // 16:
            break
        strips = _strip_width(inner), _strip_width(inner[::-1]), _strip_width(inner.T), _strip_width(inner.T[::-1])
        top, bottom, left, right = top + strips[0], bottom + strips[1], left + strips[2], right + strips[3]
        if not any(strips):
            break
    box = left * step, top * step, frame.shape[1] - right * step, frame.shape[0] - bottom * step
    wide = max(top, bottom) > _WIDEST * rows or max(left, right) > _WIDEST * columns
    return (0, 0, frame.shape[1], frame.shape[0]) if wide or box[0] >= box[2] or box[1] >= box[3] else box


def find_bordered_box(frame: NDArray[np.float32], hidden: Mask | None = None) -> Box | None:
    """The part within an even border around the whole film; None where there is no such border.

    Strips at only one or two sides are kept: dark air beside a narrow chest is even too, and was in the training data.
    """
    x0, y0, x1, y1 = find_exposed_box(frame, hidden)
    return (x0, y0, x1, y1) if x0 > 0 and y0 > 0 and x1 < frame.shape[1] and y1 < frame.shape[0] else None


def cells_of_radiograph(frame: NDArray[np.float32], hidden: Mask | None = None, box: Box | None = None) -> Cells | None:
    """The cells of a film of which a model sees *box* (None: the whole film); None where nothing is beside."""
    left, top, right, bottom = box or (0, 0, frame.shape[1], frame.shape[0])
    x0, y0, x1, y1 = find_exposed_box(frame, hidden)
    down = _overlap_shares(y0 - top, y1 - top, bottom - top)
    across = _overlap_shares(x0 - left, x1 - left, right - left)
    cells = _whole(1.0 - down[:, np.newaxis] * across[np.newaxis, :])
    if hidden is not None:
        cells = np.maximum(cells, _cells(hidden, (left, top, right, bottom)))
    return cells if cells.any() else None


def cells_of_sector(area: Sector, box: Box | None = None) -> Cells | None:
    """The cells of an ultrasound picture of which a model sees *box* (None: all); None where nothing is beside."""
    rows, columns = area.mask.shape
    cells = _cells(area.outside, box or (0, 0, columns, rows))
    return cells if cells.any() else None


def stack_cells(frames: Sequence[Cells | None]) -> Cells | None:
    """The cells of several frames as (n, SIDE, SIDE); None where there are none."""
    if all(cells is None for cells in frames):
        return None
    return np.stack([np.zeros((SIDE, SIDE), np.uint8) if cells is None else cells for cells in frames])


def outside_share(
    strengths: NDArray[np.float32], cells: Cells | None, unmarked: NDArray[np.float32] | None = None
) -> float:
    """The share of the evidence that no tissue gave, 0 to 1: beside the anatomy (*cells*), and on painted-over marks.

    *strengths*: (h, w) in [0, 1] from `packs.tasks.activation_map`.  *unmarked*: the same without marks.
    """
    drawn = _resize_map(strengths)
    outside = np.zeros_like(drawn) if cells is None else cells / np.float32(255.0)
    lost = np.zeros_like(drawn) if unmarked is None else np.maximum(drawn - _resize_map(unmarked), 0.0)
    evidence = float(drawn.sum(dtype=np.float64))
    beside = float((drawn * outside + lost * (1 - outside)).sum(dtype=np.float64))
    return min(beside / evidence, 1.0) if evidence > 0.0 else 0.0


def _resize_map(strengths: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(strengths.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _levels(sampled: NDArray[np.float32], hidden: Mask | None) -> NDArray[np.float64]:
    """Greys scaled so that 0 to 1 is the range of the picture's middle: letters and borders do not set the scale."""
    rows, columns = sampled.shape
    middle = slice(rows // 4, max(rows - rows // 4, 1)), slice(columns // 4, max(columns - columns // 4, 1))
    seen = sampled[middle] if hidden is None else sampled[middle][~hidden[middle]]
    if not seen.size:
        return np.zeros(sampled.shape)
    low, high = (float(limit) for limit in np.percentile(seen, (0.5, 99.5)))
    if not high - low > max(abs(low), abs(high)) * 1e-6:
        return np.zeros(sampled.shape)
    return np.asarray((sampled.astype(np.float64) - low) / (high - low))


def _strip_width(lines: NDArray[np.float64]) -> int:
    """How many of the first *lines* form an even strip; lines with letters belong to it if it continues after them."""
    ground = float(np.median(lines[0]))
    even = (np.abs(lines - ground) <= _EVEN).mean(axis=1)
    end = int(np.argmax(even < _OF_A_WRITTEN_LINE)) if (even < _OF_A_WRITTEN_LINE).any() else len(lines)
    within = np.flatnonzero(even[:end] >= _OF_A_LINE)
    count = int(within[-1]) + 1 if len(within) else 0
    if count == 0 or ground <= _DARK:
        return count
    beyond = lines[count + 1 : count + 4]
    return count if beyond.size and (np.abs(beyond - ground) > _EDGE).mean() >= 0.5 else 0


def _overlap_shares(first: int, last: int, length: int) -> NDArray[np.float64]:
    """The share of each of `SIDE` cells along a side of *length* pixels that is between *first* and *last*."""
    edges = np.linspace(0.0, length, SIDE + 1)
    overlap = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
    return np.asarray(np.clip(overlap, 0.0, None) * (SIDE / length))


def _cells(mask: Mask, box: Box) -> Cells:
    """*mask* within *box*, as cells."""
    x0, y0, x1, y1 = box
    rows, columns = mask.shape
    step = max(1, min(y1 - y0, x1 - x0) // _SAMPLED_SIDE)
    inside = mask[max(y0, 0) : y1, max(x0, 0) : x1]
    if x0 < 0 or y0 < 0 or x1 > columns or y1 > rows:  # the bars of a letterbox are beside the picture too
        bars = (max(-y0, 0), max(y1 - rows, 0)), (max(-x0, 0), max(x1 - columns, 0))
        inside = np.pad(inside, bars, constant_values=True)
    seen = np.ascontiguousarray(inside[::step, ::step], np.float32)
    return _whole(np.asarray(Image.fromarray(seen).resize((SIDE, SIDE), Image.Resampling.BOX), np.float64))


def _whole(shares: NDArray[np.float64]) -> Cells:
    return np.rint(np.clip(shares, 0.0, 1.0) * 255.0).astype(np.uint8)

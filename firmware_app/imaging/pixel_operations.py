"""Operations on masks and greys for which the box has no SciPy: morphology, convex hulls, box means, Lee's filter.

Masks are (H, W) bool of a few hundred pixels on a side; the mask operations are not meant for whole radiographs.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Mask = NDArray[np.bool_]
Points = list[tuple[float, float]]


def erode(mask: Mask, reach: int) -> Mask:
    """*mask* eroded by *reach* pixels from every edge; pixels outside the image count as set."""
    return ~dilate(~mask, reach)


def dilate(mask: Mask, reach: int) -> Mask:
    """*mask* dilated by a square of *reach* pixels on all sides; pixels outside the image count as not set."""
    grown = mask
    for axis in (0, 1):
        counts = np.cumsum(np.pad(grown, [(reach + 1, reach) if at == axis else (0, 0) for at in (0, 1)]), axis=axis)
        side = mask.shape[axis]
        high = np.take(counts, range(2 * reach + 1, 2 * reach + 1 + side), axis=axis)
        grown = high > np.take(counts, range(side), axis=axis)
    return grown


def open_mask(mask: Mask, reach: int) -> Mask:
    """*mask* without parts narrower than ``2 * reach + 1`` pixels: strokes of letters, rulers, lines."""
    return dilate(erode(mask, reach), reach)


def close_mask(mask: Mask, reach: int) -> Mask:
    """*mask* with gaps of up to ``2 * reach`` pixels bridged."""
    return erode(dilate(mask, reach), reach)


def largest_component(mask: Mask) -> Mask:
    """The largest connected piece of *mask* (4-neighbours); empty for an empty mask.

    Runs of a row are joined with the runs above them (union-find), so the time grows with the outline, not the area.
    """
    starts, ends, rows = _runs(mask)
    parent = list(range(len(starts)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first_of = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for row in range(1, mask.shape[0]):
        above, here = int(first_of[row - 1]), int(first_of[row])
        while above < first_of[row] and here < first_of[row + 1]:
            if starts[above] < ends[here] and starts[here] < ends[above]:
                parent[root(above)] = root(here)
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1
    roots = np.array([root(run) for run in range(len(starts))], dtype=np.int64)
    piece = np.zeros_like(mask)
    if not len(roots):
        return piece
    areas = np.bincount(roots, weights=ends - starts)
    for run in np.flatnonzero(roots == areas.argmax()):
        piece[rows[run], starts[run] : ends[run]] = True
    return piece


def label_components(mask: Mask) -> tuple[NDArray[np.int64], int]:
    """A number from 1 for every cell of each connected component, 0 elsewhere; and how many there are.

    Each cell takes the smallest number around it until nothing changes, halving the distance to its root each time.
    """
    flat = np.flatnonzero(mask)
    if not len(flat):
        return np.zeros(mask.shape, dtype=np.int64), 0
    place = np.full(mask.size, -1, dtype=np.int64)
    place[flat] = np.arange(len(flat))
    where = np.stack(np.unravel_index(flat, mask.shape))
    pairs = [_neighbours(where, place, mask.shape, step) for step in _half_of_neighbours(mask.ndim)]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    root = np.arange(len(flat))
    while True:
        lower = np.minimum(root[first], root[second])
        new = root.copy()
        np.minimum.at(new, root[first], lower)
        np.minimum.at(new, root[second], lower)
        new = new[new]
        if np.array_equal(new, root):
            break
        root = new
    _, number = np.unique(root, return_inverse=True)
    out = np.zeros(mask.size, dtype=np.int64)
    out[flat] = number + 1
    return out.reshape(mask.shape), int(number.max()) + 1


def _half_of_neighbours(dimensions: int) -> list[tuple[int, ...]]:
    return [step for step in product((-1, 0, 1), repeat=dimensions) if step > (0,) * dimensions]


def _neighbours(
    where: NDArray[np.int64], place: NDArray[np.int64], shape: tuple[int, ...], step: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    beside = where + np.array(step)[:, np.newaxis]
    inside = np.all((beside >= 0) & (beside < np.array(shape)[:, np.newaxis]), axis=0)
    other = place[np.ravel_multi_index(tuple(beside[:, inside]), shape)]
    return np.flatnonzero(inside)[other >= 0], other[other >= 0]


def mask_hull(mask: Mask) -> Points:
    """The corners of the convex hull of *mask* in order, as (x, y) of pixel centres (Andrew's monotone chain, 1979)."""
    starts, ends, rows = _runs(mask)
    return convex_hull([(float(x), float(y)) for xs in (starts, ends - 1) for x, y in zip(xs, rows, strict=True)])


def convex_hull(points: Points) -> Points:
    """The corners of the convex hull of *points* in order (Andrew's monotone chain, 1979)."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    lower, upper = _chain(ordered), _chain(ordered[::-1])
    return lower[:-1] + upper[:-1]


def fill_polygon(corners: Points, rows: int, columns: int) -> Mask:
    """The polygon of *corners* as a (rows, columns) mask."""
    image = Image.new("1", (columns, rows))
    if len(corners) >= 3:
        ImageDraw.Draw(image).polygon(corners, fill=1, outline=1)
    return np.array(image, dtype=np.bool_)


def _runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All horizontal runs, row by row: (first columns, columns after the last, rows)."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    return starts, ends, rows


def _chain(points: Points) -> Points:
    chain: Points = []
    for point in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


LEE_REACH_PX: Final = 2
"""Windows of 5 × 5 pixels, about the size of speckle grains at a model's 224 to 512 pixels."""

_FLAT: Final = 1e-4  # of the largest local variance: below it is only rounding or block edges of the compression


def lee_filter(
    frame: NDArray[np.float32], reach: int = LEE_REACH_PX, noise: float | None = None
) -> NDArray[np.float32]:
    """Lee's local-statistics filter (IEEE PAMI 2(2), 1980, 165-168), equations 8 and 9: less speckle, the same edges.

    (H, W) float32, finite → the same shape, windows of ``2 * reach + 1`` pixels.  *noise* is the variance of the
    speckle in squared greys, by default the median of the local variances above `_FLAT`.
    """
    values = frame.astype(np.float64)
    mean = box_mean(values, reach)
    variance = np.maximum(box_mean((values - mean.mean()) ** 2, reach) - (mean - mean.mean()) ** 2, 0.0)
    varied = variance[variance > _FLAT * variance.max()]
    speckle = (float(np.median(varied)) if varied.size else 0.0) if noise is None else noise
    signal = np.maximum(variance - speckle, 0.0)
    weight = np.divide(signal, variance, out=np.zeros_like(signal), where=variance > 0)
    return np.asarray(mean + weight * (values - mean), dtype=np.float32)


def box_mean(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """The mean of every window of ``2 * reach + 1`` pixels square, edges repeated; the same shape."""
    side = 2 * reach + 1
    sums = np.cumsum(np.cumsum(np.pad(np.pad(values, reach, mode="edge"), ((1, 0), (1, 0))), axis=0), axis=1)
    whole = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(whole / side**2, dtype=np.float64)


COLOURED_LEVELS: Final = 51
"""Levels of 255 between the channels from which a pixel is coloured: tinted greys and JPEG's noise are below."""
_DARKEST_LEVELS: Final = 64


def to_levels(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """*frame* with its darkest grey as 0, in 8-bit levels; any other range is scaled to it."""
    low, high = float(frame.min()), float(frame.max())
    moved = frame - np.float32(low)
    return moved if _DARKEST_LEVELS <= high - low <= 255 or high <= low else moved * np.float32(255.0 / (high - low))


def channel_spread(rgb: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """(H, W, 3) → (H, W): the largest channel less the smallest.

    Over whole channels: twenty times as fast as `max(axis=2)`, which goes over pixels of three.
    """
    red, green, blue = (rgb[:, :, channel] for channel in range(3))
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return np.asarray(most - least)

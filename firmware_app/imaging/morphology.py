"""Operations on small masks: opening, closing, the largest piece, the convex hull.  The box has no SciPy for them.

Masks are (H, W) bool of a few hundred pixels on a side; nothing here is meant for whole films.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Mask = NDArray[np.bool_]
Points = list[tuple[float, float]]


def eroded(mask: Mask, reach: int) -> Mask:
    """*mask* eroded by *reach* pixels from every edge; pixels outside the image count as set."""
    return ~dilated(~mask, reach)


def dilated(mask: Mask, reach: int) -> Mask:
    """*mask* dilated by a square of *reach* pixels on all sides; pixels outside the image count as not set."""
    grown = mask
    for axis in (0, 1):
        counts = np.cumsum(np.pad(grown, [(reach + 1, reach) if at == axis else (0, 0) for at in (0, 1)]), axis=axis)
        side = mask.shape[axis]
        high = np.take(counts, range(2 * reach + 1, 2 * reach + 1 + side), axis=axis)
        grown = high > np.take(counts, range(side), axis=axis)
    return grown


def opened(mask: Mask, reach: int) -> Mask:
    """*mask* without parts narrower than ``2 * reach + 1`` pixels: strokes of letters, rulers, lines."""
    return dilated(eroded(mask, reach), reach)


def closed(mask: Mask, reach: int) -> Mask:
    """*mask* with gaps of up to ``2 * reach`` pixels bridged."""
    return eroded(dilated(mask, reach), reach)


def largest(mask: Mask) -> Mask:
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


def components(mask: Mask) -> tuple[NDArray[np.int64], int]:
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


def hull(mask: Mask) -> Points:
    """The corners of the convex hull of *mask* in order, as (x, y) of pixel centres (Andrew's monotone chain, 1979)."""
    starts, ends, rows = _runs(mask)
    return around([(float(x), float(y)) for xs in (starts, ends - 1) for x, y in zip(xs, rows, strict=True)])


def around(points: Points) -> Points:
    """The corners of the convex hull of *points* in order (Andrew's monotone chain, 1979)."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    lower, upper = _chain(ordered), _chain(ordered[::-1])
    return lower[:-1] + upper[:-1]


def filled(corners: Points, rows: int, columns: int) -> Mask:
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

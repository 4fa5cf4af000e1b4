"""The outline of a mask as a polygon, by marching squares (Lorensen & Cline 1987, in the plane).

Corners are (x, y) in cells from the upper left corner of the first cell, so the middle of that cell is (0.5, 0.5).  The
outline runs where the values pass the level, between the middles of the cells: a slanting edge has no steps, and sizes
measured on it are those of the shape and not of its cells.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.morphology import Points

_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
# The sides of a square of four middles at which the outline enters and leaves, the inside to its right, by which of its
# corners lie inside: 1 upper left, 2 upper right, 4 lower right, 8 lower left.  Corners that meet are connected.
_STEPS: Final[dict[int, tuple[tuple[int, int], ...]]] = {
    1: ((_TOP, _LEFT),),
    2: ((_RIGHT, _TOP),),
    3: ((_RIGHT, _LEFT),),
    4: ((_BOTTOM, _RIGHT),),
    5: ((_TOP, _RIGHT), (_BOTTOM, _LEFT)),
    6: ((_BOTTOM, _TOP),),
    7: ((_BOTTOM, _LEFT),),
    8: ((_LEFT, _BOTTOM),),
    9: ((_TOP, _BOTTOM),),
    10: ((_LEFT, _TOP), (_RIGHT, _BOTTOM)),
    11: ((_RIGHT, _BOTTOM),),
    12: ((_LEFT, _RIGHT),),
    13: ((_TOP, _RIGHT),),
    14: ((_LEFT, _TOP),),
}

_LITTLE: Final = 1e-9
_Side = tuple[bool, int, int]


def traced(values: NDArray[np.floating], level: float) -> Points:
    """The largest outline of *values* (h, w) at *level* (values at or above it lie inside); empty where none does.

    Of a hole nothing is said.  Beyond the border there is nothing, so an outline ends there.
    """
    rows, columns = values.shape
    padded = np.pad(values.astype(np.float64), 1, constant_values=level - _LITTLE)
    inside = padded >= level
    codes = inside[:-1, :-1] * 1 + inside[:-1, 1:] * 2 + inside[1:, 1:] * 4 + inside[1:, :-1] * 8
    following: dict[_Side, _Side] = {}
    for row, column in np.argwhere((codes > 0) & (codes < 15)).tolist():
        sides = ((False, row, column), (True, row, column + 1), (False, row + 1, column), (True, row, column))
        for start, end in _STEPS[int(codes[row, column])]:
            following[sides[start]] = sides[end]
    loops = _loops(following)
    corners = [[_crossing(padded, side, level, rows, columns) for side in loop] for loop in loops]
    return max(corners, key=lambda points: abs(area(points)), default=[])


def area(corners: Points) -> float:
    """The area of a polygon, by the shoelace formula; its sign says which way it runs."""
    twice = 0.0
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        twice += x0 * y1 - x1 * y0
    return twice / 2


def thinned(corners: Points, most: int) -> Points:
    """At most *most* of the corners, evenly taken."""
    if len(corners) <= most:
        return corners
    return [corners[at * len(corners) // most] for at in range(most)]


def _loops(following: dict[_Side, _Side]) -> list[list[_Side]]:
    loops = []
    while following:
        start, side = following.popitem()
        loop = [start]
        while side != start:
            loop.append(side)
            side = following.pop(side)
        loops.append(loop)
    return loops


def _crossing(padded: NDArray[np.float64], side: _Side, level: float, rows: int, columns: int) -> tuple[float, float]:
    """Where the values pass the level between two middles, at the most on the border."""
    downward, row, column = side
    one, other = float(padded[row, column]), float(padded[row + downward, column + (not downward)])
    share = (level - one) / (other - one)
    x, y = column - 0.5 + (0.0 if downward else share), row - 0.5 + (share if downward else 0.0)
    return min(max(x, 0.0), float(columns)), min(max(y, 0.0), float(rows))

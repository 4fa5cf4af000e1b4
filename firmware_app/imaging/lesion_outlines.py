"""The outline of a mask as a polygon, and its sizes: area, long and short axis, estimated volume.

Outlines are traced by marching squares (Lorensen & Cline 1987, in the plane); corners are (x, y) in cells from the
upper left corner of the first cell.  The long axis is the largest distance between two points of the outline, the short
axis its extent at a right angle to it.  The volume is that of an ellipsoid whose third axis is as long as the short one
(Tomayko & Reynolds 1989, doi:10.1007/BF00300234).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.lesion import Line
from firmware_app.imaging.pixel_operations import Points, convex_hull

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


def trace_outline(values: NDArray[np.floating], level: float) -> Points:
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
    loops = _join_loops(following)
    corners = [[_crossing(padded, side, level, rows, columns) for side in loop] for loop in loops]
    return max(corners, key=lambda points: abs(polygon_area(points)), default=[])


def polygon_area(corners: Points) -> float:
    """The area of a polygon, by the shoelace formula; its sign says which way it runs."""
    twice = 0.0
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        twice += x0 * y1 - x1 * y0
    return twice / 2


def thin_corners(corners: Points, most: int) -> Points:
    """At most *most* of the corners, evenly taken."""
    if len(corners) <= most:
        return corners
    return [corners[at * len(corners) // most] for at in range(most)]


def _join_loops(following: dict[_Side, _Side]) -> list[list[_Side]]:
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


LEAST_CORNERS: Final = 3


@dataclass(frozen=True, slots=True)
class OutlineMeasures:
    """Sizes in one unit (pixels, or the millimetres of the scale): its square for the area, its cube for the volume.

    The axes are lines x0, y0, x1, y1 in pixels, whatever the unit.
    """

    area: float
    long: float
    short: float
    long_axis: Line
    short_axis: Line

    @property
    def volume(self) -> float:
        """π/6 · long · short · short: see the module."""
        return math.pi / 6 * self.long * self.short * self.short


def measure_outline(outline: Points, scale: tuple[float, float] = (1.0, 1.0)) -> OutlineMeasures | None:
    """The sizes of an *outline* in pixels; None for one without an area.

    *scale* is the size of a pixel (down, across), in millimetres for sizes in millimetres.
    """
    down, across = scale
    points = [(x * across, y * down) for x, y in outline]
    covered = abs(polygon_area(points)) if len(points) >= LEAST_CORNERS else 0.0
    corners = convex_hull(points)
    if not covered > 0.0 or len(corners) < LEAST_CORNERS:
        return None
    start, end = _farthest_pair(corners)
    long = math.dist(start, end)
    along = (end[0] - start[0]) / long, (end[1] - start[1]) / long
    beside = [(_dot((-along[1], along[0]), corner), _dot(along, corner)) for corner in corners]
    least, most = min(beside), max(beside)
    at = (least[1] + most[1]) / 2
    short_axis = [(along[0] * at - along[1] * off, along[1] * at + along[0] * off) for off, _ in (least, most)]
    return OutlineMeasures(
        covered,
        long,
        most[0] - least[0],
        _line_in_pixels(start, end, scale),
        _line_in_pixels(short_axis[0], short_axis[1], scale),
    )


def _farthest_pair(corners: Points) -> tuple[tuple[float, float], tuple[float, float]]:
    """The two of these points that are farthest from each other."""
    places = np.array(corners)
    apart = ((places[:, np.newaxis] - places[np.newaxis]) ** 2).sum(axis=2)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    return corners[int(one)], corners[int(other)]


def _dot(one: tuple[float, float], other: tuple[float, float]) -> float:
    return one[0] * other[0] + one[1] * other[1]


def _line_in_pixels(start: tuple[float, float], end: tuple[float, float], scale: tuple[float, float]) -> Line:
    """Back in pixels, to a tenth of one."""
    down, across = scale
    (x0, y0), (x1, y1) = start, end
    return round(x0 / across, 1), round(y0 / down, 1), round(x1 / across, 1), round(y1 / down, 1)

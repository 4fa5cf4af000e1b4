"""Sizes of an outline: area, long and short axis, estimated volume.

* The long axis is the largest distance between two points of the outline (Feret's largest diameter); the short axis is
  the outline's extent at a right angle to it, as axes are set with callipers.
* The volume is that of an ellipsoid, π/6 · length · width · height, of all formulas the nearest to the weight of 50
  tumours (Tomayko & Reynolds 1989, doi:10.1007/BF00300234).  The third axis is not in the picture: it is taken to be as
  long as the short one, so the volume is an estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_app.core.lesion import Line
from firmware_app.imaging.lesions import outlines
from firmware_app.imaging.morphology import Points, around

LEAST_CORNERS: Final = 3


@dataclass(frozen=True, slots=True)
class Measures:
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


def measured(outline: Points, scale: tuple[float, float] = (1.0, 1.0)) -> Measures | None:
    """The sizes of an *outline* in pixels; None for one without an area.

    *scale* is the size of a pixel (down, across), in millimetres for sizes in millimetres.
    """
    down, across = scale
    points = [(x * across, y * down) for x, y in outline]
    covered = abs(outlines.area(points)) if len(points) >= LEAST_CORNERS else 0.0
    corners = around(points)
    if not covered > 0.0 or len(corners) < LEAST_CORNERS:
        return None
    start, end = _farthest(corners)
    long = math.dist(start, end)
    along = (end[0] - start[0]) / long, (end[1] - start[1]) / long
    beside = [(_dot((-along[1], along[0]), one), _dot(along, one)) for one in corners]
    least, most = min(beside), max(beside)
    at = (least[1] + most[1]) / 2
    short_axis = [(along[0] * at - along[1] * off, along[1] * at + along[0] * off) for off, _ in (least, most)]
    return Measures(
        covered, long, most[0] - least[0], _line(start, end, scale), _line(short_axis[0], short_axis[1], scale)
    )


def _farthest(corners: Points) -> tuple[tuple[float, float], tuple[float, float]]:
    """The two of these points that are farthest from each other."""
    places = np.array(corners)
    apart = ((places[:, np.newaxis] - places[np.newaxis]) ** 2).sum(axis=2)
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    return corners[int(one)], corners[int(other)]


def _dot(one: tuple[float, float], other: tuple[float, float]) -> float:
    return one[0] * other[0] + one[1] * other[1]


def _line(start: tuple[float, float], end: tuple[float, float], scale: tuple[float, float]) -> Line:
    """Back in pixels, to a tenth of one."""
    down, across = scale
    (x0, y0), (x1, y1) = start, end
    return round(x0 / across, 1), round(y0 / down, 1), round(x1 / across, 1), round(y1 / down, 1)

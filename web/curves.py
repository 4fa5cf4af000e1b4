"""A curve over all thresholds as the points of an SVG polyline: drawn on the box, so that the page needs no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 330
HEIGHT: Final = 190
LEFT: Final = 40
RIGHT: Final = 312
TOP: Final = 14
BOTTOM: Final = 152
"""Of the SVG's own units; the page shows them larger or smaller."""


@dataclass(frozen=True, slots=True)
class Chart:
    """The polyline's points, and for the axis at the left (place, number) of each line."""

    points: str
    lines: tuple[tuple[float, int], ...]


def scale_x(threshold: float) -> float:
    """Where a threshold between 0 and 1 stands."""
    return round(LEFT + threshold * (RIGHT - LEFT), 1)


def build_chart(points: Sequence[tuple[float, float]]) -> Chart:
    """The curve of (threshold, value) in rising order of thresholds; values are 0 or more.

    It has stairs, since nothing changes between two films, and at most a few points for each unit across.
    """
    highest = _round_up_axis(max((value for _, value in points), default=1.0))

    def scale_y(value: float) -> float:
        return round(BOTTOM - value / highest * (BOTTOM - TOP), 1)

    drawn: list[tuple[float, float]] = []
    for threshold, value in points:
        x, y = scale_x(threshold), scale_y(value)
        if drawn:
            drawn.append((x, drawn[-1][1]))
        drawn.append((x, y))
    if drawn:
        drawn = [(LEFT, drawn[0][1]), *drawn, (RIGHT, drawn[-1][1])]
    lines = tuple((scale_y(share * highest), round(share * highest)) for share in (0.0, 0.5, 1.0))
    return Chart(" ".join(f"{x:g},{y:g}" for x, y in _thin_points(drawn)), lines)


def _thin_points(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without points that lie on the line between their neighbours, and without repeated ones."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and point == kept[-1]:
            continue
        same = len(kept) > 1 and any(kept[-2][axis] == kept[-1][axis] == point[axis] for axis in (0, 1))
        if same:
            kept.pop()
        kept.append(point)
    return kept


def _round_up_axis(value: float) -> int:
    """The next of 2, 4, 6, 8, 10, 20, 40 … that is not below *value*, but for rounding: its half is a whole number."""
    value = max(1.0, round(value, 6))
    power: int = 10 ** max(0, math.ceil(math.log10(value)) - 1)
    return next(step * power for step in (2, 4, 6, 8, 10) if step * power >= value)

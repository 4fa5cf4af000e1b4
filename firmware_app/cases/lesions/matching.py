"""Which mark of one frame is the same lesion as which mark of another: by overlap, position and look.

The likeness of two marks is the mean of three numbers from 0 to 1:

* overlap: intersection over union of the boxes;
* position: 1 where the middles meet, 0 where they are farther apart than a box is long;
* look: 1 less the mean difference of the marks' look numbers, or without them the smaller area over the larger.

Marks of different findings count less, not nothing: frames may contradict each other about what a lesion is.  The most
alike pair is taken first (as the trackers by overlap do, Bochinski et al. 2017, doi:10.1109/AVSS.2017.8078516), so that
no library for assignments is needed for a handful of marks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from firmware_app.core.lesion import Lesion, overlap

LEAST_LIKENESS: Final = 0.4
"""Below it two marks are not one lesion: equal boxes that are shifted by 0.85 of their side reach it just not."""
OTHER_FINDING: Final = 0.8
"""What the likeness of marks of different findings is multiplied by."""
SMALL: Final = 0.03
"""Of the picture's longer side: as far the middle of a lesion may move that is smaller than that."""


def paired(before: Sequence[Lesion], now: Sequence[Lesion], least: float = LEAST_LIKENESS) -> list[tuple[int, int]]:
    """Places in *before* and in *now* of marks that are one lesion, each at most once, the most alike pair first."""
    alike = [
        (likeness(one, other), at, to)
        for at, one in enumerate(before)
        for to, other in enumerate(now)
        if _may_touch(one, other)
    ]
    taken: list[tuple[int, int]] = []
    used_before: set[int] = set()
    used_now: set[int] = set()
    for value, at, to in sorted(alike, key=lambda one: (-one[0], one[1], one[2])):
        if value >= least and at not in used_before and to not in used_now:
            taken.append((at, to))
            used_before.add(at)
            used_now.add(to)
    return taken


def likeness(one: Lesion, other: Lesion) -> float:
    """How alike two marks are, from 0 to 1 (see the module)."""
    mean = (overlap(one.box, other.box) + nearness(one, other) + look(one, other)) / 3
    same = one.finding == other.finding or not one.finding or not other.finding
    return mean if same else OTHER_FINDING * mean


def nearness(one: Lesion, other: Lesion) -> float:
    """1 where the middles of the boxes meet, 0 from `_reach` on."""
    return max(0.0, 1.0 - math.dist(one.middle, other.middle) / _reach(one, other))


def look(one: Lesion, other: Lesion) -> float:
    """How alike the marks look, from 0 to 1; by their sizes where no look was taken."""
    if one.look and len(one.look) == len(other.look):
        apart = sum(abs(a - b) for a, b in zip(one.look, other.look, strict=True)) / len(one.look)
        return max(0.0, 1.0 - apart)
    small, large = sorted((_area(one), _area(other)))
    return small / large


def _reach(one: Lesion, other: Lesion) -> float:
    """The mean of the boxes' longer sides; for small ones a share of the picture, where that is known."""
    sides = (_longer(one) + _longer(other)) / 2
    return max(sides, SMALL * max(one.picture)) if one.picture is not None else sides


def _may_touch(one: Lesion, other: Lesion) -> bool:
    """False for boxes so far apart that they cannot be alike; most pairs are, and this is quick."""
    reach = _reach(one, other)
    (x, y), (to_x, to_y) = one.middle, other.middle
    return abs(x - to_x) <= reach and abs(y - to_y) <= reach


def _longer(one: Lesion) -> float:
    x0, y0, x1, y1 = one.box
    return max(x1 - x0, y1 - y0)


def _area(one: Lesion) -> float:
    x0, y0, x1, y1 = one.box
    return (x1 - x0) * (y1 - y0)

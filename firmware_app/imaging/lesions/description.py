"""A mark with its sizes, its description, and the numbers by which it is known again in another frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from firmware_app.core.lesion import Lesion
from firmware_app.imaging.lesions import features, outlines
from firmware_app.imaging.lesions.features import Greys
from firmware_app.imaging.lesions.measures import measured
from firmware_app.imaging.morphology import Mask, Points
from firmware_app.imaging.pixel_size import SQUARE, Scale, aspect_of, scale_at, squared

MOST_DESCRIBED: Final = 8
"""Of a frame's marks, the strongest ones, which a person looks at; the others keep their long axis alone: thousands
of marks in a clip still fit a message (`core.children.wire`)."""
_LEFT_OUT: Final[dict[str, Any]] = dict.fromkeys(
    ("area_mm2", "volume_px3", "volume_mm3", "short_axis_px", "short_axis_mm")
)
MOST_CORNERS: Final = 48
"""Of an outline that is kept and drawn.  Sizes are measured on all of them."""


def described(
    marks: Sequence[Lesion],
    greys: Greys,
    size: tuple[int, int],
    view: Sequence[int] | None = None,
    scales: Sequence[Scale] = (),
    aspect: float = SQUARE,
) -> tuple[Lesion, ...]:
    """*marks* of one frame with what can be computed of each; nothing that a model gave is overwritten.

    *greys*: (h, w) float32, what the model saw, which is *view* (x0, y0, x1, y1; None: all) of a frame of *size*
    (columns, rows).  *scales* are the parts of the frame whose pixel size is known; *aspect* is
    the height of a pixel over its width.
    """
    strongest = set(sorted(range(len(marks)), key=lambda at: -marks[at].score)[:MOST_DESCRIBED])
    return tuple(
        _described(mark, greys, size, view or (0, 0, *size), scale_at(scales, mark.box), aspect, whole=at in strongest)
        for at, mark in enumerate(marks)
    )


def _described(
    mark: Lesion,
    greys: Greys,
    size: tuple[int, int],
    view: Sequence[int],
    mm: tuple[float, float] | None,
    aspect: float,
    *,
    whole: bool,
) -> Lesion:
    aspect = aspect if mm is None else aspect_of(mm)
    mark = _sized(mark, mm, aspect)
    if not whole:
        return replace(mark, outline=(), axes=(), **_LEFT_OUT)
    greys, seen = _around(greys, _within(list(mark.outline) or _corners(mark), greys, view))
    parts = features.parts_of(seen, greys.shape[0], greys.shape[1])
    mark = replace(mark, picture=size, look=mark.look or _look(greys, *parts[1:]))
    if not mark.outline:
        return mark
    known = {feature.name for feature in mark.features}
    told = [*features.of_outline(list(mark.outline), mm or squared(aspect)), *features.of_greys(greys, seen, parts)]
    more = tuple(feature for feature in told if feature.name not in known)
    outline = outlines.thinned([(round(x, 1), round(y, 1)) for x, y in mark.outline], MOST_CORNERS)
    return replace(mark, features=(*mark.features, *more), outline=tuple(outline))


def _sized(mark: Lesion, mm: tuple[float, float] | None, aspect: float) -> Lesion:
    """The sizes in pixels, and in millimetres where the scale is known; sizes that a model gave stay.

    Lengths are in pixels as a person sees them, all of them square; an area is the number of pixels of the frame.
    """
    found = measured(list(mark.outline), squared(aspect))
    sizes: dict[str, float] = {}
    if found is not None:
        sizes = {"long_axis_px": found.long, "short_axis_px": found.short, "volume_px3": found.volume}
        mark = mark if mark.axes else replace(mark, axes=(found.long_axis, found.short_axis))
        mark = mark if mark.area_px is not None else replace(mark, area_px=round(found.area / max(squared(aspect))))
    scaled = measured(list(mark.outline), mm) if found is not None and mm is not None else None
    if scaled is not None:
        more = {"long_axis_mm": scaled.long, "short_axis_mm": scaled.short, "volume_mm3": scaled.volume}
        sizes |= more | {"area_mm2": scaled.area}
    return replace(mark, **{name: round(size, 2) for name, size in sizes.items() if getattr(mark, name) is None})  # type: ignore[arg-type]


def _corners(mark: Lesion) -> Points:
    x0, y0, x1, y1 = mark.box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _within(outline: Points, greys: Greys, view: Sequence[int]) -> Points:
    """An outline in pixels of the frame → in pixels of what the model saw."""
    x0, y0, x1, y1 = view
    down, across = greys.shape[0] / (y1 - y0), greys.shape[1] / (x1 - x0)
    return [((x - x0) * across, (y - y0) * down) for x, y in outline]


def _around(greys: Greys, outline: Points) -> tuple[Greys, Points]:
    """The part of the picture that is looked at: as far around the outline as it is long; and the outline in it."""
    (left, right), (top, bottom) = ((min(sides), max(sides)) for sides in zip(*outline, strict=True))
    reach = max(right - left, bottom - top) + 8
    x, y = max(0, int(left - reach)), max(0, int(top - reach))
    part = greys[y : max(0, int(bottom + reach)) + 1, x : max(0, int(right + reach)) + 1]
    return part, [(at - x, down - y) for at, down in outline]


def _look(greys: Greys, inside: Mask, ring: Mask) -> tuple[float, ...]:
    """Mean and spread of the greys inside and around, from 0 to 1; empty where there is no picture of it."""
    parts = [greys[part] for part in (inside, ring)]
    if not all(len(part) for part in parts):
        return ()
    return tuple(round(float(np.clip(value, 0.0, 1.0)), 3) for part in parts for value in (part.mean(), 2 * part.std()))

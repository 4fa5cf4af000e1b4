"""Describe a lesion in the terms of the BI-RADS ultrasound lexicon (ACR BI-RADS Atlas, 5th edition, 2013).

The description is computed from outline and greys; the limits are our own definitions of words that the lexicon leaves
to the eye.  A confidence is 0.5 at a limit and rises to 1 with the distance from it.  Greys are (h, w) float32 from 0
to 1, bright is dense.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.lesion import Feature, Lesion
from firmware_app.imaging import lesion_outlines
from firmware_app.imaging.lesion_outlines import measure_outline
from firmware_app.imaging.pixel_operations import Mask, Points, dilate, erode, fill_polygon
from firmware_app.imaging.pixel_size import SQUARE, Scale, find_scale, pixel_aspect, square_pixel_size

Greys = NDArray[np.float32]

SHAPE, ORIENTATION, MARGIN = "shape", "orientation", "margin"
ECHO, POSTERIOR = "echo_pattern", "posterior_features"
TERMS: Final = {
    SHAPE: ("oval", "round", "irregular"),
    ORIENTATION: ("parallel", "not_parallel"),
    MARGIN: ("circumscribed", "not_circumscribed"),
    ECHO: ("anechoic", "hypoechoic", "isoechoic", "hyperechoic"),
    POSTERIOR: ("none", "enhancement", "shadowing"),
}
"""Each feature with its terms.  Not computed: complex or heterogeneous echoes, combined posterior features."""

IRREGULAR: Final = 0.1
"""The share of an outline beside the ellipse of the same moments from which it is irregular; three gentle undulations
of a tenth of the radius, which the lexicon still calls oval, have 0.05."""
ROUND: Final = 0.85
"""The short over the long axis of that ellipse from which an even outline is round."""
CLEAR_MARGIN: Final = 0.75
"""The share of the margin across which the greys change abruptly, from which it is circumscribed."""
MARGIN_WIDTH: Final = 0.04
"""How wide a sharp margin may be, against the square root of the lesion's area, at least a pixel and a half."""
ABRUPT: Final = 0.6
"""Of the whole step from inside to outside, what must be taken within the width of the margin."""
ALIKE: Final = 0.5
"""The difference from the surroundings, in their standard deviations, below which a lesion is isoechoic."""
BLACK: Final = 0.1
"""The mean grey below which there are no echoes."""
CHANGED: Final = 0.08
"""The difference in grey, below a lesion against beside it, from which it casts a shadow or enhances."""
_GRID: Final = 96
_POINTS: Final = 64
_LEAST_PX: Final = 12
"""Fewer pixels than this carry no texture."""


def describe_outline(outline: Points, scale: tuple[float, float]) -> Iterator[Feature]:
    """Shape and orientation of an *outline*; *scale* is a pixel's size (down, across), in any unit."""
    down, across = scale
    points = [(x * across, y * down) for x, y in outline]
    residual, ratio = _compare_with_ellipse(points)
    uneven, full = _confidence(residual, IRREGULAR, 0.025), _confidence(ratio, ROUND, 0.04)
    if residual >= IRREGULAR:
        yield Feature(SHAPE, "irregular", uneven, round(residual, 4))
    else:
        yield Feature(SHAPE, "round" if ratio >= ROUND else "oval", min(uneven, full), round(residual, 4))
    (left, right), (top, bottom) = ((min(values), max(values)) for values in zip(*points, strict=True))
    wide = (right - left) / (bottom - top)
    # The skin is taken to be level in the picture.  “Not parallel” includes round ones, as the lexicon has it.
    term = "parallel" if wide > 1.0 else "not_parallel"
    yield Feature(ORIENTATION, term, _confidence(math.log(wide), 0.0, 0.1), round(wide, 3))


def describe_greys(greys: Greys, outline: Points, parts: tuple[Mask, Mask, Mask] | None = None) -> Iterator[Feature]:
    """Margin, echo pattern and posterior features of an *outline* in pixels of *greys*, as far as they can be seen.

    *parts* are its `lesion_parts`, if the caller has them.
    """
    mask, inside, ring = parts or lesion_parts(outline, greys.shape[0], greys.shape[1])
    if int(inside.sum()) < _LEAST_PX or int(ring.sum()) < _LEAST_PX:
        return
    mean, around, spread = float(greys[inside].mean()), float(greys[ring].mean()), float(greys[ring].std())
    if spread <= 0.0:
        return
    step = (mean - around) / spread
    yield _describe_echo(mean, step)
    if abs(step) >= ALIKE and (clear := _clear_margin_share(greys, outline, mean, around)) is not None:
        term = "circumscribed" if clear >= CLEAR_MARGIN else "not_circumscribed"
        yield Feature(MARGIN, term, _confidence(clear, CLEAR_MARGIN, 0.08), round(clear, 3))
    if (change := _posterior_change(greys, mask)) is not None:
        term = "none" if abs(change) < CHANGED else "enhancement" if change > 0 else "shadowing"
        yield Feature(POSTERIOR, term, _confidence(abs(change), CHANGED, 0.025), round(change, 3))


def lesion_parts(outline: Points, rows: int, columns: int) -> tuple[Mask, Mask, Mask]:
    """The lesion, the lesion without its margin, and the tissue around it: a ring of a quarter of its width."""
    mask = fill_outline(outline, rows, columns)
    wide = math.sqrt(float(mask.sum()))
    margin, reach = max(1, round(0.04 * wide)), max(2, round(0.25 * wide))
    inside = erode(mask, margin)
    return mask, (inside if bool(inside.any()) else mask), dilate(mask, margin + reach) & ~dilate(mask, margin)


def fill_outline(outline: Points, rows: int, columns: int) -> Mask:
    """The pixels of a (rows, columns) picture that an *outline* (x, y from its upper left corner) holds or passes."""
    return fill_polygon([(x - 0.5, y - 0.5) for x, y in outline], rows, columns)


def _confidence(value: float, limit: float, spread: float) -> float:
    """The confidence that *value* lies on its side of *limit*: 0.5 there, 0.73 a *spread* away, 0.95 three of them."""
    return round(1.0 / (1.0 + math.exp(-min(abs(value - limit) / spread, 50.0))), 3)


def _compare_with_ellipse(points: Points) -> tuple[float, float]:
    """1 - Dice of a polygon with the ellipse of the same first and second moments, and that ellipse's axis ratio."""
    left, top = (min(values) for values in zip(*points, strict=True))
    side = max(max(values) - least for values, least in zip(zip(*points, strict=True), (left, top), strict=True))
    cell = side / (_GRID - 4)
    mask = fill_outline([((x - left) / cell + 2, (y - top) / cell + 2) for x, y in points], _GRID, _GRID)
    y, x = np.nonzero(mask)
    if len(x) < _LEAST_PX:
        return 0.0, 1.0
    spread = np.cov(np.stack([x, y]).astype(np.float64), bias=True)
    short, long = (math.sqrt(max(float(one), 1e-9)) for one in np.linalg.eigvalsh(spread))
    grid_y, grid_x = np.mgrid[0:_GRID, 0:_GRID]
    away = np.stack([grid_x - x.mean(), grid_y - y.mean()]).reshape(2, -1)
    # An even ellipse has a quarter of its semi-axes' squares for variances, so its rim lies at a distance of 2.
    ellipse = ((away * np.linalg.solve(spread, away)).sum(axis=0) <= 4.0).reshape(_GRID, _GRID)
    return 1.0 - 2.0 * float((mask & ellipse).sum()) / float(mask.sum() + ellipse.sum()), short / long


def _describe_echo(mean: float, step: float) -> Feature:
    sure = _confidence(abs(step), ALIKE, 0.2)
    if step <= -ALIKE and mean < BLACK:
        return Feature(ECHO, "anechoic", min(sure, _confidence(mean, BLACK, 0.03)), round(mean, 3))
    term = "isoechoic" if abs(step) < ALIKE else "hypoechoic" if step < 0 else "hyperechoic"
    return Feature(ECHO, term, sure, round(step, 3))


def _clear_margin_share(greys: Greys, outline: Points, mean: float, around: float) -> float | None:
    """The share of the margin across which the greys take at least `ABRUPT` of the step from inside to outside.

    Greys are means along the normal, from half the margin's width to one and a half of it on either side.  The margin
    is looked for up to its width beside the outline, which need not be exact.  None where most of it lies outside the
    picture.
    """
    width = max(1.5, MARGIN_WIDTH * math.sqrt(abs(lesion_outlines.polygon_area(outline))))
    places, normals = _points_and_normals(outline)
    reached = {at: _sample_greys(greys, places + at * width / 2 * normals) for at in range(-5, 6)}
    steps = [
        np.mean([reached[shift + at] for at in (1, 2, 3)], axis=0)
        - np.mean([reached[shift - at] for at in (1, 2, 3)], axis=0)
        for shift in (-2, 0, 2)
    ]
    taken = np.stack(steps) / (around - mean)
    known = np.isfinite(taken).all(axis=0)
    return float((taken[:, known].max(axis=0) >= ABRUPT).mean()) if 2 * int(known.sum()) >= _POINTS else None


def _points_and_normals(outline: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`_POINTS` places evenly along an outline, and the normals there, which point outwards: (n, 2) each."""
    corners = np.array(outline)
    if lesion_outlines.polygon_area(outline) < 0.0:
        corners = corners[::-1]
    closed = np.vstack([corners, corners[:1]])
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    wanted = (np.arange(_POINTS) + 0.5) * lengths[-1] / _POINTS
    places = np.stack([np.interp(wanted, lengths, closed[:, axis]) for axis in (0, 1)], axis=1)
    tangents = np.roll(places, -2, axis=0) - np.roll(places, 2, axis=0)
    normals = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1)
    return places, normals / np.maximum(np.hypot(*normals.T), 1e-9)[:, np.newaxis]


def _sample_greys(greys: Greys, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The grey of the pixel at each place (x, y); nan outside the picture."""
    column, row = (np.floor(places[:, axis]).astype(int) for axis in (0, 1))
    within = (row >= 0) & (row < greys.shape[0]) & (column >= 0) & (column < greys.shape[1])
    found = np.full(len(places), np.nan)
    found[within] = greys[row[within], column[within]]
    return found


def _posterior_change(greys: Greys, mask: Mask) -> float | None:
    """The mean grey below the lesion less that beside it at the same depth; None where there is too little picture.

    Below: the middle six tenths of its width, to a depth of its height.  Beside: half its width on either side.
    """
    rows, columns = np.nonzero(mask)
    left, right, bottom = int(columns.min()), int(columns.max()) + 1, int(rows.max()) + 1
    wide, high = right - left, bottom - int(rows.min())
    gap = max(1, round(0.1 * wide))
    depth = slice(bottom + max(1, round(0.1 * high)), bottom + high + 1)
    inner = slice(left + round(0.2 * wide), right - round(0.2 * wide))
    outer = (slice(max(0, left - gap - wide // 2), max(0, left - gap)), slice(right + gap, right + gap + wide // 2))
    below = _visible_greys(greys[depth, inner])
    beside = np.concatenate([_visible_greys(greys[depth, side]) for side in outer])
    enough = 0.5 * 0.6 * wide * 0.9 * high
    if len(below) < max(enough, _LEAST_PX) or len(beside) < max(enough, _LEAST_PX):
        return None
    return float(below.mean() - beside.mean())


def _visible_greys(part: Greys) -> NDArray[np.float32]:
    """The greys of a part, unless it is black: then it lies outside the sector, or in the bars beside the film."""
    return part[part > 0.0] if 2 * int((part > 0.0).sum()) >= part.size else part[:0, 0] if part.ndim == 2 else part[:0]


MOST_DESCRIBED: Final = 8
"""Of a frame's marks, the strongest ones, which a person looks at; the others keep their long axis alone: thousands
of marks in a clip still fit a message (`core.child_messages`)."""
_LEFT_OUT: Final[dict[str, Any]] = dict.fromkeys(
    ("area_mm2", "volume_px3", "volume_mm3", "short_axis_px", "short_axis_mm")
)
MOST_CORNERS: Final = 48
"""Of an outline that is kept and drawn.  Sizes are measured on all of them."""


def describe_lesions(
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
        _describe_lesion(
            mark,
            greys,
            size,
            view=view or (0, 0, *size),
            mm=find_scale(scales, mark.box),
            aspect=aspect,
            whole=at in strongest,
        )
        for at, mark in enumerate(marks)
    )


def _describe_lesion(
    mark: Lesion,
    greys: Greys,
    size: tuple[int, int],
    view: Sequence[int],
    mm: tuple[float, float] | None,
    aspect: float,
    *,
    whole: bool,
) -> Lesion:
    aspect = aspect if mm is None else pixel_aspect(mm)
    mark = _add_sizes(mark, mm, aspect)
    if not whole:
        return replace(mark, outline=(), axes=(), **_LEFT_OUT)
    greys, seen = _surroundings(greys, _to_view(list(mark.outline) or _outline_corners(mark), greys, view))
    parts = lesion_parts(seen, greys.shape[0], greys.shape[1])
    mark = replace(mark, picture=size, look=mark.look or _grey_summary(greys, *parts[1:]))
    if not mark.outline:
        return mark
    known = {feature.name for feature in mark.features}
    told = [*describe_outline(list(mark.outline), mm or square_pixel_size(aspect)), *describe_greys(greys, seen, parts)]
    more = tuple(feature for feature in told if feature.name not in known)
    outline = lesion_outlines.thin_corners([(round(x, 1), round(y, 1)) for x, y in mark.outline], MOST_CORNERS)
    return replace(mark, features=(*mark.features, *more), outline=tuple(outline))


def _add_sizes(mark: Lesion, mm: tuple[float, float] | None, aspect: float) -> Lesion:
    """The sizes in pixels, and in millimetres where the scale is known; sizes that a model gave stay.

    Lengths are in pixels as a person sees them, all of them square; an area is the number of pixels of the frame.
    """
    found = measure_outline(list(mark.outline), square_pixel_size(aspect))
    sizes: dict[str, float] = {}
    if found is not None:
        sizes = {"long_axis_px": found.long, "short_axis_px": found.short, "volume_px3": found.volume}
        if not mark.axes:
            mark = replace(mark, axes=(found.long_axis, found.short_axis))
        if mark.area_px is None:
            mark = replace(mark, area_px=round(found.area / max(square_pixel_size(aspect))))
    scaled = measure_outline(list(mark.outline), mm) if found is not None and mm is not None else None
    if scaled is not None:
        more = {"long_axis_mm": scaled.long, "short_axis_mm": scaled.short, "volume_mm3": scaled.volume}
        sizes |= more | {"area_mm2": scaled.area}
    return replace(mark, **{name: round(size, 2) for name, size in sizes.items() if getattr(mark, name) is None})  # type: ignore[arg-type]


def _outline_corners(mark: Lesion) -> Points:
    x0, y0, x1, y1 = mark.box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _to_view(outline: Points, greys: Greys, view: Sequence[int]) -> Points:
    """An outline in pixels of the frame → in pixels of what the model saw."""
    x0, y0, x1, y1 = view
    down, across = greys.shape[0] / (y1 - y0), greys.shape[1] / (x1 - x0)
    return [((x - x0) * across, (y - y0) * down) for x, y in outline]


def _surroundings(greys: Greys, outline: Points) -> tuple[Greys, Points]:
    """The part of the picture that is looked at: as far around the outline as it is long; and the outline in it."""
    (left, right), (top, bottom) = ((min(sides), max(sides)) for sides in zip(*outline, strict=True))
    reach = max(right - left, bottom - top) + 8
    x, y = max(0, int(left - reach)), max(0, int(top - reach))
    part = greys[y : max(0, int(bottom + reach)) + 1, x : max(0, int(right + reach)) + 1]
    return part, [(at - x, down - y) for at, down in outline]


def _grey_summary(greys: Greys, inside: Mask, ring: Mask) -> tuple[float, ...]:
    """Mean and spread of the greys inside and around, from 0 to 1; empty where there is no picture of it."""
    parts = [greys[part] for part in (inside, ring)]
    if not all(len(part) for part in parts):
        return ()
    return tuple(round(float(np.clip(value, 0.0, 1.0)), 3) for part in parts for value in (part.mean(), 2 * part.std()))

"""Marks that the modality wrote into an ultrasound picture: callipers, dotted lines, arrows, letters, ticks of a ruler.

A beam is several pixels wide, so tissue is not bright over one or two pixels across and dark on both sides of them, and
a pen is.  A stroke begins where a white top-hat across is high, and is followed along what is thin in depth alone.
Thin lines of full colour are strokes too.  Limits and figures: docs/decisions/explanation.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging import pixel_operations
from firmware_app.imaging.pixel_operations import Mask

SIDE_PER_PX: Final = 240
"""Pixels of the longer side for each pixel of reach; strokes up to ``2 * reach`` pixels wide are found."""
SEED: Final = 50.0
"""Levels of 255 by which a pixel rises above the opening across, to begin a stroke."""
FOLLOWED: Final = 30.0
"""Levels by which a pixel rises, across or in depth, to continue one."""
GRAIN: Final = 5.0
"""How many times as high as the grain of the tissue a stroke begins at least."""
FEWEST: Final = 8
"""Fewer beginnings, times the reach, near each other are specks."""
NEAR: Final = 0.025
"""Side of the blocks, as a share of the longer side, in which they are counted, with the eight blocks around."""
FARTHEST_PX: Final = 12
"""Pixels, times the reach, over which a stroke is followed: more than half the arm of a cross."""

_BLACK: Final = 8
_OF_PIXELS: Final = 0.95
_LEAST_TISSUE: Final = 0.25  # of the picture; what is missing of it counts as smooth
_STEP: Final = 2  # the grain is measured on every second pixel
_AROUND_PX: Final = (8, 24)  # blocks in which the greys that cover a stroke are averaged: near it, else farther
_ENOUGH: Final = 0.05  # share of clean pixels that makes a mean

_Levels = NDArray[np.uint8]


def find_strokes(grey: NDArray[np.float32], rgb: NDArray[np.unsignedinteger[Any]] | None = None) -> Mask:
    """The marks in a frame: (H, W) greys of any range, and 8-bit (H, W, 3) *rgb* if it has colours → (H, W) bool."""
    levels = np.clip(pixel_operations.to_levels(grey), 0, 255).astype(np.uint8)
    reach = max(1, round(max(levels.shape) / SIDE_PER_PX))
    across, down = _top_hat(levels, reach, 1), _top_hat(levels, reach, 0)
    coarse = max(1.0, GRAIN * _grain(levels, across) / SEED)
    found = _drop_lone_seeds(across >= SEED * coarse, reach)
    if found.any():
        found = _follow_strokes(found, np.maximum(across, down) >= FOLLOWED * coarse, FARTHEST_PX * reach)
    return found if rgb is None else found | _find_colour_lines(rgb, reach)


def paint_over(planes: NDArray[np.float32], marks: Mask) -> NDArray[np.float32]:
    """*planes*, (…, H, W), with the mean of the greys around *marks*, (H, W), in their place."""
    wide = pixel_operations.dilate(marks, 1)
    if wide.all():
        return np.zeros_like(planes)
    out, clean = planes.copy(), (~wide).astype(np.float32)
    near, far = (_spread_means(clean, side) for side in _AROUND_PX)
    for plane in out.reshape(-1, *marks.shape):
        left, mean = plane * clean, float(plane[~wide].mean())
        by_far = np.where(
            far >= _ENOUGH, _spread_means(left, _AROUND_PX[1]) / np.maximum(far, _ENOUGH), np.float32(mean)
        )
        by_near = np.where(near >= _ENOUGH, _spread_means(left, _AROUND_PX[0]) / np.maximum(near, _ENOUGH), by_far)
        plane[wide] = by_near[wide]
    return out


def _spread_means(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The means of blocks of *side* pixels, smoothly from one to the next."""
    image = Image.fromarray(plane)
    return np.asarray(image.reduce(side).resize(image.size, Image.Resampling.BILINEAR), np.float32)


def _top_hat(levels: _Levels, reach: int, axis: int) -> _Levels:
    """How far each pixel rises above the opening with a line of ``2 * reach + 1`` pixels along *axis*."""
    opened = _rank_filter(_rank_filter(levels, reach, axis, np.minimum), reach, axis, np.maximum)
    return np.asarray(levels - opened)


def _rank_filter(levels: _Levels, reach: int, axis: int, of: Callable[..., Any]) -> _Levels:
    """The least or greatest level within *reach* pixels along *axis*, edges repeated."""
    padded = np.pad(levels, [(reach, reach) if at == axis else (0, 0) for at in (0, 1)], mode="edge")
    side, out = levels.shape[axis], levels.copy()
    for start in range(2 * reach + 1):
        of(out, padded[start : start + side] if axis == 0 else padded[:, start : start + side], out=out)
    return out


def _grain(levels: _Levels, across: _Levels) -> float:
    """How far tissue rises by itself: one in twenty of the pixels that are not black rises further."""
    seen = across[::_STEP, ::_STEP][levels[::_STEP, ::_STEP] > _BLACK]
    most = max(seen.size, _LEAST_TISSUE * across.size / _STEP**2)
    rising = np.cumsum(np.bincount(seen, minlength=256)[::-1])[::-1]  # how many rise by so many levels or more
    return float(np.searchsorted(-rising, -(1 - _OF_PIXELS) * most))


def _drop_lone_seeds(seeds: Mask, reach: int) -> Mask:
    """Those of *seeds* that have others near them."""
    side = max(2, round(NEAR * max(seeds.shape)))
    y, x = (at // side for at in np.nonzero(seeds))
    counts = np.zeros((seeds.shape[0] // side + 3, seeds.shape[1] // side + 3), np.int64)
    np.add.at(counts, (y + 1, x + 1), 1)
    near = sum(
        counts[dy : dy + counts.shape[0] - 2, dx : dx + counts.shape[1] - 2] for dy in range(3) for dx in range(3)
    )
    kept = np.zeros_like(seeds)
    kept[seeds] = np.asarray(near)[y, x] >= FEWEST * reach
    return kept


def _follow_strokes(seeds: Mask, along: Mask, steps: int) -> Mask:
    """*seeds* and what is connected with them in *along*, over *steps* pixels."""
    rows, columns = np.flatnonzero(seeds.any(axis=1)), np.flatnonzero(seeds.any(axis=0))
    near = (
        slice(max(0, int(rows[0]) - steps), int(rows[-1]) + steps + 1),
        slice(max(0, int(columns[0]) - steps), int(columns[-1]) + steps + 1),
    )
    way, found = (along | seeds)[near].view(np.uint8), np.array(seeds[near]).view(np.uint8)
    for _ in range(steps):
        wider = _rank_filter(_rank_filter(found, 1, 0, np.maximum), 1, 1, np.maximum) & way
        if np.array_equal(wider, found):
            break
        found = wider
    whole = np.zeros_like(seeds)
    whole[near] = found.view(np.bool_)
    return whole


def _find_colour_lines(rgb: NDArray[np.unsignedinteger[Any]], reach: int) -> Mask:
    """Thin lines of full colour."""
    full = np.asarray(pixel_operations.channel_spread(rgb) > pixel_operations.COLOURED_LEVELS)
    return np.asarray(full & ~pixel_operations.open_mask(full, reach)) if full.any() else full

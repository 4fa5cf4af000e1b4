"""The sector of an ultrasound picture: the area with echoes, without rulers, text and the maker's frame.

It comes from the header's regions if they are plausible, else from the pixels: what differs from the flat background,
in a clip also what moves.  Strokes are removed, the largest piece is kept, and its convex hull is the sector, minus the
area above the arc of a curved probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging import pixel_operations
from firmware_app.imaging.pixel_operations import Mask, box_mean

if TYPE_CHECKING:  # the inference child prepares golden images without pydicom
    from firmware_app.imaging.ultrasound_regions import Region

SIDE_PX: Final = 256
"""The longer side of the small picture in which sectors are detected: letters are two to four pixels wide in it."""
LEAST_SHARE: Final = 0.06
"""The least share of the picture; anything smaller is a logo or a colour bar."""
WHOLE_SHARE: Final = 0.98
"""From this share on, the picture was already cut to its sector."""

_Origin = Literal["header", "movement", "texture"]
_FLAT_SHARE: Final = 0.03  # share of pixels with exactly the same grey, as only a background has
_DARKEST_LEVELS: Final = 64  # of 256; the background is one of them
_BY_HALF_A_LEVEL: Final = 0.5
_BY_COMPRESSION: Final = 3.5  # levels of JPEG noise around letters on a black background
_CLEAN: Final = 0.05
_FRAME_SPREAD: Final = 1.0  # levels: the bars of a maker's frame have one even colour
_FRAME_BRIGHTER: Final = 20.0
_MOVES_BY: Final = 1.5  # levels of standard deviation over time
_STROKE_PX: Final = 4  # reach: strokes up to 2 × 4 pixels wide are removed
_STROKE_IN_MOTION_PX: Final = 3
_DIP_PX: Final = 2.0
_DIP_FITS_PX: Final = 1.5
_BESIDE_STILL: Final = 0.2  # largest share of the moving area outside the texture that is joined with it
_MOST_MORE: Final = 3.0  # largest ratio of texture to moving area; more is a screen full of letters

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Sector:
    """A sector: `mask` is (rows, columns), true inside; `box` is x0, y0, x1, y1 around it, x1 and y1 exclusive."""

    mask: Mask
    box: Box
    derived_from: _Origin

    @property
    def outside(self) -> Mask:
        """(rows, columns), true outside: text, rulers, the maker's frame and the empty background."""
        return ~self.mask

    @property
    def share(self) -> float:
        """The sector's share of the whole picture."""
        return float(self.mask.mean())

    def crop(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """*frame* within `box`."""
        x0, y0, x1, y1 = self.box
        return frame[y0:y1, x0:x1]


def sector_from_regions(regions: Sequence[Region], rows: int, columns: int) -> Sector | None:
    """The sector from a header's regions: all its 2D planes (a comparison shows two side by side)."""
    mask = np.zeros((rows, columns), np.bool_)
    for region in regions:
        if region.plane:
            mask[region.y0 : region.y1, region.x0 : region.x1] = True
    return _sector(mask, "header")


def detect_sector(frame: NDArray[np.float32]) -> Sector | None:
    """The sector of one frame, (H, W) greys of any range; None where none is detected."""
    return _grow_to_picture(_largest_piece(_foreground_mask(pixel_operations.to_levels(frame))), frame.shape, "texture")


class SectorDetector:
    """Detects the sector of a clip from frames given one at a time; keeps three small pictures."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = self._squares = np.zeros((1, 1))
        self._texture = np.zeros((1, 1), np.int64)
        self._shape = (0, 0)

    def add_frame(self, frame: NDArray[np.float32]) -> None:
        """Add a frame, (H, W) greys; all frames have one shape."""
        levels = pixel_operations.to_levels(frame)
        small = _downscale(levels).astype(np.float64)
        if self._count == 0:
            self._shape = (frame.shape[0], frame.shape[1])
            self._sum, self._squares = np.zeros_like(small), np.zeros_like(small)
            self._texture = np.zeros(small.shape, np.int64)
        self._count += 1
        self._sum += small
        self._squares += small * small
        self._texture += _foreground_mask(levels)

    def sector(self) -> Sector | None:
        """The area that moved, with the connected texture around it; None before the first frame."""
        if self._count == 0:
            return None
        mean = self._sum / self._count
        spread = np.sqrt(np.maximum(self._squares / self._count - mean * mean, 0.0))
        moving = _largest_piece(spread > _MOVES_BY, _STROKE_IN_MOTION_PX)
        still = _largest_piece(2 * self._texture > self._count)
        if moving.mean() < LEAST_SHARE:  # a frozen picture stored as a clip
            return _grow_to_picture(still, self._shape, "texture")
        if (
            moving & ~_fill_hull(still)
        ).sum() <= _BESIDE_STILL * moving.sum() and still.sum() <= _MOST_MORE * moving.sum():
            moving = moving | still
        return _grow_to_picture(moving, self._shape, "movement")


def measure_colour_share(rgb: NDArray[np.unsignedinteger[Any]], sector: Sector | None) -> float:
    """The share of the sector, or of the whole picture, that is drawn in colour; a large share means Doppler.

    A pixel is coloured where its channels differ by more than a fifth of the range; tinted greys and JPEG's chroma
    noise are below that (docs/decisions/clips.md).
    """
    shown = pixel_operations.channel_spread(rgb) > pixel_operations.COLOURED_LEVELS
    if sector is not None:
        shown = shown[sector.mask]
    return float(shown.mean()) if shown.size else 0.0


def _foreground_mask(levels: NDArray[np.float32]) -> Mask:
    """A mask of the small picture, true where a pixel differs from the background and is not part of an even bar."""
    counts = np.bincount(np.rint(levels).astype(np.uint8).reshape(-1), minlength=256)
    ground = int(counts[:_DARKEST_LEVELS].argmax())
    if counts[ground] < _FLAT_SHARE * levels.size:
        return np.ones(_downscale(levels).shape, np.bool_)
    beside, next_but_one = counts[ground + 1], counts[ground + 2]
    clean = beside < _CLEAN * counts[ground] or next_but_one < _CLEAN * beside
    differs = np.abs(levels - np.float32(ground)) > (_BY_HALF_A_LEVEL if clean else _BY_COMPRESSION)
    small = _downscale(levels).astype(np.float64)
    mean = box_mean(small, 2)
    even = box_mean(small * small, 2) - mean * mean < _FRAME_SPREAD**2
    bars = pixel_operations.open_mask(pixel_operations.dilate(even & (small > ground + _FRAME_BRIGHTER), 2), 2)
    return np.asarray((_downscale(differs.astype(np.float32)) > 0.5) & ~bars, dtype=np.bool_)


def _largest_piece(mask: Mask, stroke: int = _STROKE_PX) -> Mask:
    """The largest piece of *mask* after the removal of strokes."""
    return pixel_operations.largest_component(pixel_operations.open_mask(pixel_operations.close_mask(mask, 1), stroke))


def _fill_hull(mask: Mask) -> Mask:
    return pixel_operations.fill_polygon(pixel_operations.mask_hull(mask), *mask.shape)


def _grow_to_picture(piece: Mask, shape: tuple[int, ...], derived_from: _Origin) -> Sector | None:
    """The hull of a *piece* of the small picture, scaled to a sector of the whole picture."""
    hull = _cut_probe_arc(_fill_hull(piece), piece)
    if hull.mean() >= WHOLE_SHARE:
        hull = np.ones_like(hull)
    size = (shape[1], shape[0])
    return _sector(np.array(Image.fromarray(hull).resize(size, Image.Resampling.NEAREST), dtype=np.bool_), derived_from)


def _cut_probe_arc(hull: Mask, piece: Mask) -> Mask:
    """*hull* without the area above the arc of a curved probe, if a parabola fits the upper edge."""
    columns = np.flatnonzero(hull.any(axis=0))
    if len(columns) < 16:
        return hull
    top, edge = hull.argmax(axis=0), np.where(piece.any(axis=0), piece.argmax(axis=0), -1)
    chord = columns[(top[columns] <= top[columns].min() + 2) & (edge[columns] >= 0)]
    if len(chord) < 16:
        return hull
    x, y = chord.astype(np.float64), edge[chord].astype(np.float64)
    fit = np.polynomial.Polynomial.fit(x, y, 2)
    dips = float(fit(x).max() - max(fit(x[0]), fit(x[-1])))
    if dips < _DIP_PX or np.median(np.abs(fit(x) - y)) > _DIP_FITS_PX or dips > 0.25 * hull.shape[0]:
        return hull
    limit = np.zeros(hull.shape[1])
    limit[chord] = np.floor(np.minimum(fit(x), y))
    return hull & (np.arange(hull.shape[0])[:, np.newaxis] >= limit)


def _downscale(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Block means with a longer side of `SIDE_PX`; a smaller picture is returned unchanged."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    scale = SIDE_PX / max(image.size)
    if scale >= 1:
        return values
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float32)


def _sector(mask: Mask, derived_from: _Origin) -> Sector | None:
    if mask.mean() < LEAST_SHARE:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Sector(mask, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), derived_from)

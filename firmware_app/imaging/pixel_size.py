"""What is known of a pixel's size.  This module has no pydicom; `spacing` reads the values from a header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# The viewer has a sentence for each (`web.labels`).
PATIENT: Final = "spacing.patient"
CALIBRATED: Final = "spacing.calibrated"
AT_DETECTOR: Final = "spacing.at_detector"
ESTIMATED: Final = "spacing.estimated"
SCANNED: Final = "spacing.scanned"
UNCALIBRATED: Final = "spacing.uncalibrated"
UNKNOWN: Final = "spacing.unknown"


SQUARE: Final = 1.0
_SQUARE_WITHIN: Final = 0.01  # rounding in headers; nobody sees a circle that is wider by so little
_LONGEST: Final = 8.0  # a header that says more is wrong


@dataclass(frozen=True, slots=True)
class Spacing:
    """`mm`: (down, across) in the patient, or None.  `nominal_mm`: the header's value, with the meaning in `label`."""

    label: str
    mm: tuple[float, float] | None = None
    nominal_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """A part of a frame, the pixels x0 ≤ x < x1 and y0 ≤ y < y1, and the size of its pixels in the patient, in mm.

    A size of None is unknown: lengths there are in pixels.  `first`: it owns the pixels that it shares with another.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    mm_down: float | None
    mm_across: float | None
    first: bool = False


def pixel_aspect(size: tuple[float, float] | None) -> float:
    """A pixel's height over its width, of its *size* (down, across) in any unit; `SQUARE` where that cannot be."""
    aspect = size[0] / size[1] if size is not None and size[1] > 0 else SQUARE
    return aspect if is_aspect(aspect) and abs(aspect - SQUARE) > _SQUARE_WITHIN else SQUARE


def is_aspect(aspect: float) -> bool:
    """Whether pixels can have it."""
    return 1 / _LONGEST <= aspect <= _LONGEST


def square_pixel_size(aspect: float) -> tuple[float, float]:
    """The size (down, across) of a pixel of this *aspect* in square pixels as wide as its shorter side."""
    return max(aspect, 1.0), max(1 / aspect, 1.0)


def find_scale(scales: Sequence[Scale], box: Sequence[float]) -> tuple[float, float] | None:
    """The pixel size (down, across) where the whole of *box* (x0, y0, x1, y1) lies in one part; None elsewhere.

    Of several parts one of high priority, then the smallest, as in the viewer (`web/static/ruler.js`; PS3.3 C.8.5.5).
    """
    x0, y0, x1, y1 = box
    one, other = _find_part(scales, x0, y0), _find_part(scales, x1, y1)
    if one is None or one != other or one.mm_down is None or one.mm_across is None:
        return None
    return one.mm_down, one.mm_across


def _find_part(scales: Sequence[Scale], x: float, y: float) -> Scale | None:
    holding = [scale for scale in scales if scale.x0 <= x <= scale.x1 and scale.y0 <= y <= scale.y1]
    return min(holding, key=lambda one: (not one.first, (one.x1 - one.x0) * (one.y1 - one.y0)), default=None)

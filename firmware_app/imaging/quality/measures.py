"""One number for each possible fault of a picture.  Larger is worse; every measure is a pure function.

Numbers have no unit unless stated.  Lengths are in pixels of the 128-pixel look, so 1 pixel is 1/128 of the frame's
side; finer detail is lost to a model of 224 pixels too.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.grey import channels
from firmware_app.imaging.quality.look import SIDE_PX, Look, Small, middle
from firmware_app.imaging.ultrasound.lee1980 import box_mean

_WINDOW: Final = np.outer(np.hanning(SIDE_PX), np.hanning(SIDE_PX))
_DOWN: Final = np.fft.fftfreq(SIDE_PX)[:, np.newaxis]
_ACROSS: Final = np.fft.rfftfreq(SIDE_PX)[np.newaxis, :]
_CYCLES: Final = np.hypot(_DOWN, _ACROSS)  # per pixel
_ANGLE: Final = np.arctan2(_DOWN, _ACROSS)
_COARSE: Final = (_CYCLES > 0.05) & (_CYCLES < 0.12)
_FINE: Final = (_CYCLES > 0.2) & (_CYCLES < 0.45)
_DIRECTIONS: Final = tuple(
    np.abs((_ANGLE - turn + np.pi / 2) % np.pi - np.pi / 2) < np.pi / 8 for turn in np.arange(4) * np.pi / 4
)
_LEAST_POWER: Final = 1e-12
_AN_END: Final = 0.02  # share of the range that counts as its end
_SURROUNDINGS_PX: Final = 8  # to each side
_STANDS_OUT: Final = 0.3  # of the range, above its surroundings
_TINTED: Final = 8  # levels of 255 between the channels; JPEG's rounding leaves 3
_COLOURED: Final = 51


def fall_off(look: Look) -> tuple[float, float, float, float]:
    """The loss of power from coarse (0.05 to 0.12 cycles per pixel) to fine (0.2 to 0.45), as a natural logarithm, in
    four directions: across, and every further 45 degrees.

    The amplitude spectra of sharp pictures have similar slopes; those of blurred ones are steeper (Field & Brady 1997,
    Vision Research 37:3367).
    """
    greys = look.greys.astype(np.float64)
    power = np.abs(np.fft.rfft2((greys - greys.mean()) * _WINDOW)) ** 2
    across, up, down, back = (
        math.log(
            (float(power[turn & _COARSE].mean()) + _LEAST_POWER) / (float(power[turn & _FINE].mean()) + _LEAST_POWER)
        )
        for turn in _DIRECTIONS
    )
    return across, up, down, back


def blur(look: Look) -> float:
    """The smallest fall-off of the four directions: a blurred picture is blurred in all of them."""
    return min(fall_off(look))


def motion(look: Look) -> float:
    """The largest fall-off minus the smallest: motion smears one direction and not the one across it."""
    losses = fall_off(look)
    return max(losses) - min(losses)


def noise(look: Look) -> float:
    """The standard deviation of grain as a share of the range (Immerkær 1996, CVIU 64:300, equation 7)."""
    x = look.greys
    corners = x[:-2, :-2] + x[:-2, 2:] + x[2:, :-2] + x[2:, 2:]
    sides = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]
    return float(np.abs(corners - 2 * sides + 4 * x[1:-1, 1:-1]).mean()) * math.sqrt(math.pi / 2) / 6


def pale(look: Look) -> float:
    """The median grey of the middle, 0 to 1."""
    return float(np.median(middle(look.greys)))


def dark(look: Look) -> float:
    """1 minus the median grey of the middle."""
    return 1.0 - pale(look)


def burnt_white(look: Look) -> float:
    """The share of the middle within a fiftieth of the brightest grey of the whole frame."""
    return _share(middle(look.levels) >= 1.0 - _AN_END)


def burnt_black(look: Look) -> float:
    """The share of the middle within a fiftieth of the darkest grey of the whole frame."""
    return _share(middle(look.levels) <= _AN_END)


def metal(look: Look) -> float:
    """The share of the middle that is brighter than its surroundings (17 pixels square) by 0.3 of the range."""
    greys: Small = look.greys
    above = greys - box_mean(greys.astype(np.float64), _SURROUNDINGS_PX)
    return _share(middle(np.asarray(above, dtype=np.float32)) > _STANDS_OUT)


def tint(rgb: NDArray[np.uint8]) -> float:
    """The share of pixels whose channels differ by more than 8 of 255 levels: greys from a machine differ by none."""
    return _share(_between_channels(rgb) > _TINTED)


def colour(rgb: NDArray[np.uint8]) -> float:
    """The share of pixels whose channels differ by more than a fifth of the range."""
    return _share(_between_channels(rgb) > _COLOURED)


def _between_channels(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) → the difference between the channels of every n-th pixel; a share needs no more pixels."""
    step = max(1, min(rgb.shape[:2]) // (2 * SIDE_PX))
    some = rgb[::step, ::step]
    return np.asarray(channels.spread(some), dtype=np.uint8)


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean())

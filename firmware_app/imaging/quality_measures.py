"""Quality measures of a frame: one number for each possible fault.  Larger is worse; every measure is a pure function.

Measures are computed on `ReducedFrame`, close to the size of a model's input.  Three are learnt from frontal chest
radiographs: products of templates with a 16 × 16 thumbnail (``python -m converters.shipped_packs.chest_templates``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging import pixel_operations
from firmware_app.imaging.model_input import squash, stretch
from firmware_app.imaging.pixel_operations import box_mean

SmallGreys = NDArray[np.float32]

SIDE_PX: Final = 128
THUMBNAIL_PX: Final = 16
_LOW_PERCENTILE, _HIGH_PERCENTILE = 0.5, 99.5


@dataclass(frozen=True, slots=True)
class ReducedFrame:
    """`greys` is (128, 128) float32, the frame resized and stretched between two percentiles to 0 … 1; `levels` is the
    same between the darkest and the brightest grey, so that clipping at either end is visible."""

    greys: SmallGreys
    levels: SmallGreys

    @classmethod
    def from_frame(cls, frame: NDArray[np.float32]) -> ReducedFrame:
        """*frame*: (H, W) float32 greys of any range, finite, bright is dense."""
        small = squash(frame, SIDE_PX, SIDE_PX)
        low, high = (float(limit) for limit in np.percentile(small, (_LOW_PERCENTILE, _HIGH_PERCENTILE)))
        return cls(stretch(small, low, high), stretch(small, float(small.min()), float(small.max())))

    @property
    def thumbnail(self) -> NDArray[np.float64]:
        """(16, 16), with mean 0 and length 1, so that dot products are Pearson's correlations."""
        block = SIDE_PX // THUMBNAIL_PX
        means = self.greys.reshape(THUMBNAIL_PX, block, THUMBNAIL_PX, block).mean((1, 3), dtype=np.float64)
        means -= means.mean()
        return np.asarray(means / max(float(np.linalg.norm(means)), 1e-9), dtype=np.float64)


def central_part(small: SmallGreys) -> SmallGreys:
    """The middle part, 0.6 of each side: the patient, rarely markers or the empty edge."""
    edge = round(0.2 * SIDE_PX)
    return small[edge:-edge, edge:-edge]


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


def spectral_fall_off(look: ReducedFrame) -> tuple[float, float, float, float]:
    """The loss of power from coarse (0.05 to 0.12 cycles per pixel) to fine (0.2 to 0.45), as a natural logarithm.

    In four directions: across, and every further 45 degrees (after Field & Brady 1997, Vision Research 37:3367).
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


def measure_blur(look: ReducedFrame) -> float:
    """The smallest fall-off of the four directions: a blurred picture is blurred in all of them."""
    return min(spectral_fall_off(look))


def measure_motion(look: ReducedFrame) -> float:
    """The largest fall-off minus the smallest: motion smears one direction and not the one across it."""
    losses = spectral_fall_off(look)
    return max(losses) - min(losses)


def measure_noise(look: ReducedFrame) -> float:
    """The standard deviation of grain as a share of the range (Immerkær 1996, CVIU 64:300, equation 7)."""
    x = look.greys
    corners = x[:-2, :-2] + x[:-2, 2:] + x[2:, :-2] + x[2:, 2:]
    sides = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]
    return float(np.abs(corners - 2 * sides + 4 * x[1:-1, 1:-1]).mean()) * math.sqrt(math.pi / 2) / 6


def measure_paleness(look: ReducedFrame) -> float:
    """The median grey of the middle, 0 to 1."""
    return float(np.median(central_part(look.greys)))


def measure_darkness(look: ReducedFrame) -> float:
    """1 minus the median grey of the middle."""
    return 1.0 - measure_paleness(look)


def measure_burnt_white(look: ReducedFrame) -> float:
    """The share of the middle within a fiftieth of the brightest grey of the whole frame."""
    return _share(central_part(look.levels) >= 1.0 - _AN_END)


def measure_burnt_black(look: ReducedFrame) -> float:
    """The share of the middle within a fiftieth of the darkest grey of the whole frame."""
    return _share(central_part(look.levels) <= _AN_END)


def measure_metal(look: ReducedFrame) -> float:
    """The share of the middle that is brighter than its surroundings (17 pixels square) by 0.3 of the range."""
    greys: SmallGreys = look.greys
    above = greys - box_mean(greys.astype(np.float64), _SURROUNDINGS_PX)
    return _share(central_part(np.asarray(above, dtype=np.float32)) > _STANDS_OUT)


def measure_tint(rgb: NDArray[np.uint8]) -> float:
    """The share of pixels whose channels differ by more than 8 of 255 levels: greys from a machine differ by none."""
    return _share(_channel_differences(rgb) > _TINTED)


def measure_colour(rgb: NDArray[np.uint8]) -> float:
    """The share of pixels whose channels differ by more than a fifth of the range."""
    return _share(_channel_differences(rgb) > pixel_operations.COLOURED_LEVELS)


def _channel_differences(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) → the difference between the channels of every n-th pixel; a share needs no more pixels."""
    step = max(1, min(rgb.shape[:2]) // (2 * SIDE_PX))
    some = rgb[::step, ::step]
    return np.asarray(pixel_operations.channel_spread(some), dtype=np.uint8)


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean())


TEMPLATES_FILE: Final = "chest.npz"
TEMPLATE_ARRAYS: Final = ("upright", "cut", "means")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ChestTemplates:
    """`upright` is (256,); `cut` (4, 257), for left, right, top, bottom, the last column a constant; `means` (M, 256),
    average films of length 1."""

    upright: Floats
    cut: Floats
    means: Floats

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, upright=self.upright, cut=self.cut, means=self.means)

    @classmethod
    def load(cls, path: Path) -> ChestTemplates:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return cls(*(np.asarray(kept[name], np.float32) for name in TEMPLATE_ARRAYS))


@cache
def load_shipped_templates() -> ChestTemplates:
    """The templates shipped with the box."""
    return ChestTemplates.load(Path(__file__).with_name(TEMPLATES_FILE))


def measure_turn(look: ReducedFrame, by: ChestTemplates | None = None) -> float:
    """How much more upright the film looks when turned by a quarter, a half or three quarters than as it is.

    In log odds: 0 means equally likely; an upright film is below 0.
    """
    template = (by or load_shipped_templates()).upright
    as_it_lies, *others = (float(turn.reshape(-1) @ template) for turn in quarter_turns(look.thumbnail))
    return max(others) - as_it_lies


def measure_cut_off(look: ReducedFrame, by: ChestTemplates | None = None) -> float:
    """Log odds that a quarter or more of the film is missing at one side, for the worst side; learnt from equal numbers
    of cut and whole films."""
    thumbnail = np.append(look.thumbnail.reshape(-1), 1.0)
    return float(((by or load_shipped_templates()).cut @ thumbnail).max())


def measure_unlikeness(look: ReducedFrame, by: ChestTemplates | None = None) -> float:
    """1 minus the correlation with the nearest average film, in any orientation and mirrored: 0 to 2."""
    lying = [array for turn in quarter_turns(look.thumbnail) for array in (turn, turn[:, ::-1])]
    return 1.0 - float(((by or load_shipped_templates()).means @ np.stack(lying).reshape(len(lying), -1).T).max())


def quarter_turns(thumbnail: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The thumbnail as it is, and turned by one, two and three quarters."""
    return tuple(np.ascontiguousarray(np.rot90(thumbnail, quarters)) for quarters in range(4))

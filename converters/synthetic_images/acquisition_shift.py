"""A film as the machine of another clinic might give it: mild variations that a radiographer would not call a fault.

A pack learns from one archive, whose films are framed, exposed and stored alike; a limit fitted to these films alone
takes every other machine for a strange image (docs/decisions/unfamiliar.md). How far each variation goes:

=============  ========================================  ===============================================================
variation      as far as                                 why
=============  ========================================  ===============================================================
position       3°, 2 % of the side, 4 % larger           nobody lies quite straight, no two collimate alike
exposure       gamma and contrast within 15 %            another tube voltage, another maker's look-up table
sharpness      blur of 0.25 % of the side; half as much  the focus and detector of an old machine; the edges that a new
               edge added again                          one's software raises
noise          1 % of the grey range                     a quarter of the dose doubles a detector's noise
frame          3 % on any side, black or white           a collimator's shutter, a digitised film's rim
storing        JPEG of quality 60 to 95                  what archives and sticks hold
=============  ========================================  ===============================================================

Everything is a pure function of a film in the range 0 to 1, (H, W) float32, bright is dense, and of a seed. They are
made for the chest. A border or an edge says little of what a chest film shows, but speckle *is* what an ultrasound
picture shows, and its sector is cut out of its frame: there they made the pack let strange images through.
"""

import io
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.model_input import stretch

Grey = NDArray[np.float32]

CHANCE = 0.4
"""Of each other variation: two or three of the six together, as two machines seldom differ in one thing only."""

FRAMED = 0.6
"""Of a frame: nothing moves a network's features as far as a straight edge along a side, and what is rare in the fit is
what the limit refuses."""

DEGREES, SHIFT, ZOOM = 3.0, 0.02, 0.04
EXPOSURE = 0.15
BLUR, EDGE = 0.0025, 0.5
NOISE = 0.01
FRAME, BLACK, WHITE = 0.03, 0.0, 1.0
WORST_QUALITY, BEST_QUALITY = 60, 95
RANGE = (0.1, 99.9)
"""Percentiles that are taken for black and white: single dead pixels are no part of the grey range."""


def vary(film: Grey, seed: int, name: str) -> Grey:
    """The film with some of the variations, always the same for a seed and a film's name."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    film = unit(film)
    if rng.random() < CHANCE:
        across, down = rng.uniform(-SHIFT, SHIFT, 2)
        film = move(film, rng.uniform(-DEGREES, DEGREES), float(across), float(down), 1.0 + rng.uniform(-ZOOM, ZOOM))
    if rng.random() < CHANCE:
        film = change_contrast(change_gradient(film, _around_one(rng)), _around_one(rng))
    if rng.random() < CHANCE:
        film = soften(film, rng.uniform(0.0, BLUR)) if rng.random() < 0.5 else add_edge(film, rng.uniform(0.0, EDGE))
    if rng.random() < CHANCE:
        film = add_noise(film, rng.uniform(0.0, NOISE), rng)
    if rng.random() < FRAMED:
        film = frame(film, _sides(rng), BLACK if rng.random() < 0.5 else WHITE)
    if rng.random() < CHANCE:
        film = compress_jpeg(film, int(rng.integers(WORST_QUALITY, BEST_QUALITY + 1)))
    return film


def unit(grey: Grey) -> Grey:
    """(H, W) of any range → 0 to 1, between the percentiles of :data:`RANGE`."""
    low, high = np.percentile(grey, RANGE)
    return stretch(grey, float(low), float(high))


def move(film: Grey, degrees: float, across: float = 0.0, down: float = 0.0, zoom: float = 1.0) -> Grey:
    """Turned about its middle, shifted by shares of its sides and enlarged; its outermost greys go on beyond it."""
    height, width = film.shape
    angle = np.deg2rad(degrees)
    margin = int(np.ceil(0.2 * max(height, width)))
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([across * width, down * height])
    turn = np.array([[cosine, sine], [-sine, cosine]])
    start = middle + margin - turn @ (middle + shift)
    ways = (*turn[0], start[0], *turn[1], start[1])
    wide = Image.fromarray(np.pad(film, margin, mode="edge"))
    framed = wide.transform((width, height), Image.Transform.AFFINE, ways, Image.Resampling.BICUBIC)
    return _within(np.asarray(framed, np.float32))


def change_gradient(film: Grey, gamma: float) -> Grey:
    """Another gamma."""
    return np.asarray(film**gamma, np.float32)


def change_contrast(film: Grey, contrast: float) -> Grey:
    """The middle greys this much steeper (above 1) or flatter, black and white as they are: an S-shaped curve."""
    curve = film * film * (3.0 - 2.0 * film)  # its slope in the middle is 1.5
    return _within(film + 2.0 * (contrast - 1.0) * (curve - film))


def soften(film: Grey, sigma: float) -> Grey:
    """Blurred by a Gaussian of this standard deviation, a share of the film's longer side."""
    pixels = sigma * max(film.shape)
    reach = max(1, int(np.ceil(3.0 * pixels)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(pixels, 1e-3)) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        room = [(reach, reach) if one == axis else (0, 0) for one in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(film, room, mode="edge"), 2 * reach + 1, axis)
        film = np.asarray(windows @ weights, np.float32)
    return film


def add_edge(film: Grey, amount: float) -> Grey:
    """What a blur of :data:`BLUR` takes away, added again this many times: an unsharp mask."""
    return _within(film + amount * (film - soften(film, BLUR)))


def add_noise(film: Grey, sigma: float, rng: np.random.Generator) -> Grey:
    """Add white noise of this standard deviation."""
    return _within(film + sigma * rng.standard_normal(film.shape))


def frame(film: Grey, sides: Sequence[float], grey: float) -> Grey:
    """A frame of one grey laid over it: shares of the height or width that left, top, right and bottom lose."""
    out = film.copy()
    height, width = film.shape
    left, top, right, bottom = (
        round(share * side) for share, side in zip(sides, (width, height, width, height), strict=True)
    )
    out[:top], out[height - bottom :] = grey, grey
    out[:, :left], out[:, width - right :] = grey, grey
    return out


def compress_jpeg(film: Grey, quality: int) -> Grey:
    """Compress to a JPEG of this quality and decode it."""
    kept = io.BytesIO()
    Image.fromarray(np.rint(255.0 * _within(film)).astype(np.uint8)).save(kept, "JPEG", quality=quality)
    with Image.open(kept) as again:
        return np.asarray(again, np.float32) / np.float32(255.0)


def _sides(rng: np.random.Generator) -> list[float]:
    """The widths of the rim: equal on all sides for a digitised film, independent for a collimator's shutters."""
    return [rng.uniform(0.0, FRAME)] * 4 if rng.random() < 0.5 else rng.uniform(0.0, FRAME, 4).tolist()


def _around_one(rng: np.random.Generator) -> float:
    """A factor as often below 1 as above it, and as far."""
    return float((1.0 + EXPOSURE) ** rng.uniform(-1.0, 1.0))


def _within(film: NDArray[np.floating]) -> Grey:  # type: ignore[type-arg]
    return np.clip(film, 0.0, 1.0).astype(np.float32)

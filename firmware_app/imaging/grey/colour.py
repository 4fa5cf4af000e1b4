"""From stored samples to RGB (PS3.3 C.7.6.3.1.2 and C.7.6.3.1.3): layouts and colour models, as pure functions.

Samples are (…, 3) arrays of unsigned words with *bits* stored bits.  Conversions are made in float32, rounded to the
nearest level and clipped to the range of RGB.  YBR_RCT and YBR_ICT exist only within JPEG 2000 streams; the decoder
undoes them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Samples = NDArray[Any]

# Rows give R, G, B; columns take Y, Cb, Cr relative to their zero.  ITU-R BT.601, as in PS3.3 C.7.6.3.1.2.
_KR, _KB = 0.299, 0.114
_KG: Final = 1.0 - _KR - _KB
_FULL: Final = np.array(
    [
        [1.0, 0.0, 2 * (1 - _KR)],
        [1.0, -2 * (1 - _KB) * _KB / _KG, -2 * (1 - _KR) * _KR / _KG],
        [1.0, 2 * (1 - _KB), 0.0],
    ],
    dtype=np.float32,
)
_PARTIAL: Final = _FULL * np.array([255 / 219, 255 / 224, 255 / 224], dtype=np.float32)
_PILLOWS_PX: Final = 50_000


def values(samples: Samples, stored: int, high_bit: int) -> Samples:
    """The *stored* bits up to *high_bit* of every word, without the bits around them (as `pipeline.StoredWords`)."""
    return np.asarray((samples >> (high_bit + 1 - stored)) & (2**stored - 1))


def from_ybr_full(samples: Samples, bits: int = 8) -> Samples:
    """YBR_FULL → RGB; for YBR_FULL_422 call `upsampled` first."""
    if bits == 8 and samples.dtype == np.uint8 and samples.ndim == 3:  # five times as fast, the same within a level
        return _by_pillow(samples)
    return _converted(samples, _FULL, 0.0, bits)


def from_ybr_partial(samples: Samples, bits: int = 8) -> Samples:
    """YBR_PARTIAL_422 and _420, upsampled → RGB: Y from 16 to 235, chroma from 16 to 240 of 255 (studio range)."""
    return _converted(samples, _PARTIAL, 16.0 / 256.0, bits)


def to_ybr_full(samples: Samples, bits: int = 8) -> Samples:
    """RGB → YBR_FULL, the inverse of `from_ybr_full` within a level."""
    inverse = np.linalg.inv(_FULL.astype(np.float64)).astype(np.float32)
    ybr = samples.astype(np.float32) @ inverse.T + np.array([0.0, 2 ** (bits - 1), 2 ** (bits - 1)], np.float32)
    return _level(ybr, samples.dtype, bits)


def planes(data: Samples, rows: int, columns: int, planar: int) -> Samples:
    """Flat native samples of one frame → (rows, columns, 3); *planar* is Planar Configuration (PS3.3 C.7.6.3.1.3)."""
    if planar == 1:
        return np.moveaxis(data.reshape(3, rows, columns), 0, -1)
    return data.reshape(rows, columns, 3)


def upsampled(data: Samples, rows: int, columns: int) -> Samples:
    """Flat native YBR_FULL_422 (Y1 Y2 Cb Cr for two pixels of a row) → (rows, columns, 3), chroma repeated.

    PS3.3 C.7.6.3.1.2 asks for rows of even length.  In odd rows, a pair may span two rows.
    """
    quads = data.reshape(-1, 4)
    out = np.empty((len(quads), 2, 3), data.dtype)
    out[..., 0] = quads[:, :2]
    out[..., 1:] = quads[:, np.newaxis, 2:]
    return out.reshape(rows, columns, 3)


def _by_pillow(samples: Samples) -> Samples:
    """Convert a few rows at a time: Pillow copies the input once and the output twice; small copies stay in cache."""
    rows, columns = samples.shape[:2]
    rgb, at_once = np.empty(samples.shape, np.uint8), max(1, _PILLOWS_PX // columns)
    for first in range(0, rows, at_once):
        some = np.ascontiguousarray(samples[first : first + at_once])
        image = Image.frombytes("YCbCr", (columns, len(some)), some.data)
        rgb[first : first + at_once] = np.asarray(image.convert("RGB"))
    return rgb


def _converted(samples: Samples, matrix: NDArray[np.float32], foot: float, bits: int) -> Samples:
    zero = np.array([foot * 2**bits, 2 ** (bits - 1), 2 ** (bits - 1)], dtype=np.float32)
    return _level(np.asarray((samples.astype(np.float32) - zero) @ matrix.T), samples.dtype, bits)


def _level(values: NDArray[np.floating[Any]], kind: np.dtype[Any], bits: int) -> Samples:
    return np.asarray(np.rint(np.clip(values, 0, 2**bits - 1)).astype(kind))

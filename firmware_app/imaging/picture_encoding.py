"""Encode pictures for the viewer: a 16-bit greyscale PNG, a light JPEG for the screen and a thumbnail.

Radiographs are both smooth and noisy: one fixed row filter (Up) and run-length matching suit them better than a search
for filters and repeated strings.  The screen picture has eight bits and is what a doctor sees first, because the full
frame takes seconds at 5 Mbit/s.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from imagecodecs import PNG, png_encode
from numpy.typing import NDArray
from PIL import Image


def encode_grey16(pixels: NDArray[np.uint16]) -> bytes:
    """(H, W) uint16 → the bytes of a PNG."""
    return bytes(png_encode(pixels, level=1, strategy=PNG.STRATEGY.RLE, filter=PNG.FILTER.UP))


MOST_BYTES: Final = 300_000
THUMB_PX: Final = 160
_SIDES_PX: Final = (1400, 1100, 800, 500)
_QUALITY: Final = 82
_TOP: Final = 65535


def to_eight_bits(greys: NDArray[np.uint16], window: tuple[float, float] | None) -> tuple[Image.Image, float, float]:
    """(H, W) uint16 as shown under *window* (centre, width), and that window; None: all greys that there are.

    As the viewer draws it (PS3.3 C.11.2.1.2, without the half grey that nobody sees).
    """
    if window is None or window[1] <= 0:
        low, high = float(greys.min()), float(greys.max())
        window = ((low + high) / 2, max(1.0, high - low))
    centre, width = window
    table = np.clip((np.arange(_TOP + 1, dtype=np.float32) - (centre - width / 2)) * (255 / width), 0, 255)
    return Image.fromarray(np.rint(table).astype(np.uint8)[greys]), centre, width


def encode_screen_picture(picture: Image.Image) -> tuple[bytes, dict[str, Any]]:
    """*picture* (L or RGB) as a JPEG of at most `MOST_BYTES`, as large as that allows, with its size."""
    data, shown = b"", picture
    for side in _SIDES_PX:
        shown = _reduce(picture, side)
        data = _encode_jpeg(shown)
        if len(data) <= MOST_BYTES:
            break
    return data, {"columns": shown.width, "rows": shown.height}


def encode_thumbnail(picture: Image.Image) -> bytes:
    """*picture* (L or RGB) as a JPEG of a few kilobytes."""
    return _encode_jpeg(_reduce(picture, THUMB_PX))


def _reduce(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _encode_jpeg(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY)
    return encoded.getvalue()

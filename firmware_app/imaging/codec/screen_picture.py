"""The picture of a film that a doctor sees first: eight bits, as large as a screen and light enough for a slow line.

The full frame is a PNG of 16 bits and several megabytes; at 5 Mbit/s it takes seconds.  A picture as light as
`MOST_BYTES` needs none.  The thumbnail stands on the button of an image where a case has several.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_BYTES: Final = 300_000
THUMB_PX: Final = 160
_SIDES_PX: Final = (1400, 1100, 800, 500)
_QUALITY: Final = 82
_TOP: Final = 65535


def eight_bits(greys: NDArray[np.uint16], window: tuple[float, float] | None) -> tuple[Image.Image, float, float]:
    """(H, W) uint16 as shown under *window* (centre, width), and that window; None: all greys that there are.

    As the viewer draws it (PS3.3 C.11.2.1.2, without the half grey that nobody sees).
    """
    if window is None or window[1] <= 0:
        low, high = float(greys.min()), float(greys.max())
        window = ((low + high) / 2, max(1.0, high - low))
    centre, width = window
    table = np.clip((np.arange(_TOP + 1, dtype=np.float32) - (centre - width / 2)) * (255 / width), 0, 255)
    return Image.fromarray(np.rint(table).astype(np.uint8)[greys]), centre, width


def made(picture: Image.Image) -> tuple[bytes, dict[str, Any]]:
    """*picture* (L or RGB) as a JPEG of at most `MOST_BYTES`, as large as that allows, with its size."""
    data, shown = b"", picture
    for side in _SIDES_PX:
        shown = _smaller(picture, side)
        data = _jpeg(shown)
        if len(data) <= MOST_BYTES:
            break
    return data, {"columns": shown.width, "rows": shown.height}


def thumbnail(picture: Image.Image) -> bytes:
    """*picture* (L or RGB) as a JPEG of a few kilobytes."""
    return _jpeg(_smaller(picture, THUMB_PX))


def _smaller(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _jpeg(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY)
    return encoded.getvalue()

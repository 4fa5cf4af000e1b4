"""JPEG without loss, or of 12 bits, through libjpeg-turbo: its samples as they are stored, unconverted.

It knows every predictor, point transform, restart interval and precision of ISO/IEC 10918-1 H, gives an error and no
abort for a broken stream, and takes a quarter of the time of what was here before (docs/decisions/pixels.md).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_decode
from numpy.typing import NDArray

from firmware_app.imaging.jpeg import codestream, lost_data

_UNCONVERTED: Final = {1: "GRAYSCALE", 3: "RGB"}
"""By samples: the one colour space that libjpeg converts to none."""


def decode(stream: bytes, samples: int, allocated: int) -> NDArray[np.generic]:
    """(H, W) or (H, W, 3), unsigned, of *allocated* bits; raises `ValueError` or `RuntimeError` for a *stream* that is
    broken or that has more bits or other *samples* than that, and `Undecodable` for one that lost coded data.
    """
    found = codestream.depth(stream)
    if found is None or found.samples != samples or not 2 <= found.bits <= allocated <= 16:
        raise ValueError("other samples than the header says")
    lost_data.check(stream)
    space = _UNCONVERTED[samples]
    pixels: NDArray[Any] = jpeg8_decode(stream, colorspace=space, outcolorspace=space)
    return pixels.astype(f"<u{allocated // 8}", copy=False)

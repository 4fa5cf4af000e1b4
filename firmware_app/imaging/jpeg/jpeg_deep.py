"""Lossless JPEG and JPEG of 12 bits through libjpeg-turbo: the stored samples, without colour conversion.

It supports every predictor, point transform, restart interval and precision of ISO/IEC 10918-1 H, and reports a broken
stream as an error instead of aborting.  Timings: docs/decisions/pixels.md.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_decode
from numpy.typing import NDArray

from firmware_app.imaging.jpeg import codestream, lost_data

_UNCONVERTED: Final = {1: "GRAYSCALE", 3: "RGB"}
"""By samples: the colour space that libjpeg does not convert."""


def decode(stream: bytes, samples: int, allocated: int) -> NDArray[np.generic]:
    """(H, W) or (H, W, 3), unsigned, of *allocated* bits.

    Raises `ValueError` or `RuntimeError` for a *stream* that is broken, has more bits or another number of *samples*,
    and `Undecodable` for one that lost coded data.
    """
    depth = codestream.depth(stream)
    if depth is None or depth.samples != samples or not 2 <= depth.bits <= allocated <= 16:
        raise ValueError("other samples than the header says")
    lost_data.check(stream)
    space = _UNCONVERTED[samples]
    pixels: NDArray[Any] = jpeg8_decode(stream, colorspace=space, outcolorspace=space)
    return pixels.astype(f"<u{allocated // 8}", copy=False)

"""JPEG of 8 bits, baseline and progressive, through libjpeg-turbo: the stored samples, without colour conversion.

imagecodecs lets it write straight into an array; Pillow uses the same library but copies the pixels twice, which takes
twice as long (docs/decisions/pixels.md).  pydicom is not used: where gdcm is installed it prefers that, and gdcm aborts
the process on a broken stream.
"""

from __future__ import annotations

from typing import Any, Final

from imagecodecs import jpeg8_decode
from numpy.typing import NDArray

from firmware_app.imaging.jpeg import codestream, lost_data

_BITS: Final = 8
_UNCONVERTED: Final = {1: "GRAYSCALE", 3: "YCBCR", 4: "CMYK"}
"""By samples: the colour space given to libjpeg as both input and output, so that it converts nothing.  By itself it
would use JFIF first and then Adobe's segment; the colour model is decided in `photometric`."""


def decode(stream: bytes, samples: int) -> NDArray[Any]:
    """(H, W) or (H, W, *samples*) uint8.

    Raises `ValueError`, `RuntimeError` or `OSError` for a *stream* that is broken or has another number of samples, and
    `Undecodable` for one that lost coded data.
    """
    if codestream.depth(stream) != (_BITS, samples) or samples not in _UNCONVERTED:
        raise ValueError("other samples than the header says")
    lost_data.check(stream)
    space = _UNCONVERTED[samples]
    pixels: NDArray[Any] = jpeg8_decode(stream, colorspace=space, outcolorspace=space)
    return pixels

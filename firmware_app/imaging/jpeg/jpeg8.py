"""JPEG of 8 bits, baseline and progressive, through libjpeg-turbo: its samples as they are stored, unconverted.

imagecodecs has it write straight into an array; Pillow, which asks the same library, copies the pixels twice, and that
takes as long again (docs/decisions/pixels.md).  Not through pydicom, which asks gdcm first where that is installed: it
aborts its process on a broken stream.
"""

from __future__ import annotations

from typing import Any, Final

from imagecodecs import jpeg8_decode
from numpy.typing import NDArray

from firmware_app.imaging.jpeg import codestream, lost_data

_BITS: Final = 8
_UNCONVERTED: Final = {1: "GRAYSCALE", 3: "YCBCR", 4: "CMYK"}
"""By samples: what libjpeg is told that they are and is asked for, so that it converts nothing.  Left to itself it goes
by JFIF first and then by Adobe's segment; which colours they are is judged elsewhere (`photometric`)."""


def decode(stream: bytes, samples: int) -> NDArray[Any]:
    """(H, W) or (H, W, *samples*) uint8; raises `ValueError`, `RuntimeError` or `OSError` for a broken *stream* or one
    of other *samples*, and `Undecodable` for one that lost coded data."""
    if codestream.depth(stream) != (_BITS, samples) or samples not in _UNCONVERTED:
        raise ValueError("other samples than the header says")
    lost_data.check(stream)
    space = _UNCONVERTED[samples]
    pixels: NDArray[Any] = jpeg8_decode(stream, colorspace=space, outcolorspace=space)
    return pixels

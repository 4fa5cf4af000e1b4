"""JPEG of 8 bits, baseline and progressive, through libjpeg-turbo: its samples as they are stored, unconverted.

imagecodecs has it write straight into an array; Pillow, which asks the same library, copies the pixels twice, and that
takes as long again (docs/decisions/pixels.md).  Not through pydicom, which asks gdcm first where that is installed: it
aborts its process on a broken stream.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_decode
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging.jpeg import codestream

_EIGHTH: Final = 8
_BITS: Final = 8
_UNCONVERTED: Final = {1: "GRAYSCALE", 3: "YCBCR", 4: "CMYK"}
"""By samples: what libjpeg is told that they are and is asked for, so that it converts nothing.  Left to itself it goes
by JFIF first and then by Adobe's segment; which colours they are is judged elsewhere (`photometric`)."""


def decode(stream: bytes, samples: int, frames: int = 1) -> NDArray[Any]:
    """(H, W) or (H, W, *samples*) uint8; raises `ValueError`, `RuntimeError` or `OSError` for a broken *stream* or one
    of other *samples*, and `Undecodable` for one that lost coded data.  *frames* are those of its object."""
    if codestream.depth(stream) != (_BITS, samples) or samples not in _UNCONVERTED:
        raise ValueError("other samples than the header says")
    pixels = _decoded(stream, samples)
    codestream.check_runs(pixels, lambda filled: _decoded(filled, samples), stream, levels, frames)
    return pixels


def check(stream: bytes) -> None:
    """Raise `Undecodable` where a picture's *stream* lost coded data, and as `decode` where it is broken."""
    found = codestream.depth(stream)
    if found is not None:
        codestream.check_restarts(stream)
        decode(stream, found.samples)


def _decoded(stream: bytes, samples: int) -> NDArray[Any]:
    space = _UNCONVERTED[samples]
    pixels: NDArray[Any] = jpeg8_decode(stream, colorspace=space, outcolorspace=space)
    return pixels


def levels(stream: bytes) -> NDArray[Any] | None:
    """The greys of *stream* at an eighth of its height and width, which imagecodecs does not offer; None of CMYK."""
    with Image.open(io.BytesIO(stream), formats=("JPEG",)) as image:
        image.draft("L", (image.width // _EIGHTH, image.height // _EIGHTH))
        return np.asarray(image) if image.mode == "L" else None

"""JPEG of 8 bits, baseline and progressive, through Pillow: its samples as they are stored, no colour conversion.

Not through pydicom, which asks gdcm first where that is installed: it aborts its process on a broken stream.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging import codestream, photometric


def decode(stream: bytes, samples: int) -> NDArray[Any]:
    """(H, W) or (H, W, *samples*) uint8; raises `ValueError` or `OSError` for a broken *stream* or one of other
    *samples*, and `Undecodable` for one that lost coded data."""
    pixels = _decoded(stream, samples)
    codestream.check_runs(
        pixels, partial(_decoded, samples=samples), stream, partial(_decoded, samples=samples, divisor=8)
    )
    return pixels


def check(stream: bytes) -> None:
    """Raise `Undecodable` where a picture's *stream* lost coded data, and as `decode` where it is broken."""
    found = codestream.depth(stream)
    if found is not None:
        codestream.check_restarts(stream)
        decode(stream, found.samples)


def _decoded(stream: bytes, samples: int, divisor: int = 1) -> NDArray[Any]:
    with Image.open(io.BytesIO(stream), formats=("JPEG",)) as image:
        # libjpeg turns YCbCr into RGB unless it is asked for YCbCr; and it cannot be asked where RGB is stored.
        as_stored = samples == 3 and photometric.of_stream(stream) != "RGB"
        size = image.width // divisor, image.height // divisor
        image.draft("YCbCr" if as_stored else None, size)
        pixels = np.asarray(image)
    if pixels.ndim != (2 if samples == 1 else 3) or (pixels.ndim == 3 and pixels.shape[2] != samples):
        raise ValueError("other samples than the header says")
    return pixels

"""Whether a JPEG has blocks lighter or darker than any, as it has where coded data before them were lost.

Each block's level is coded as the difference from the one before it (ISO/IEC 10918-1 F.1.1.5.1), so behind a loss they
are off by as much as was lost, often beyond black or white, where the pixels show no more than black or white.  With
its quantizers divided, a stream shows how far beyond; decoding an eighth of its size, only the levels, is quick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging.jpeg import scans
from firmware_app.imaging.jpeg.scans import QUANTIZATION_TABLES, Segments

_DIVISOR: Final = 4
_MIDDLE: Final = 128
_ROUNDING: Final = 3
"""Grey levels: of the quantizers, of the decoder, and one more."""


def are_possible(stream: bytes, segments: Segments, frame: int, eighth: Callable[[bytes], NDArray[Any] | None]) -> bool:
    """Of the 8-bit *stream* whose frame header lies at *frame*; *eighth* decodes its greys to (H/8, W/8), or gives None
    where it has none.

    Of colours only the lightness is looked at: chroma is coded so coarsely that it goes beyond its range in whole ones.
    False may be wrong where it has fewer samples than chroma; True says little of what is whole.
    """
    dimmed, quantizers = _dimmed(stream, segments)
    greys = eighth(dimmed)
    if greys is None:
        return True
    before, after = quantizers.get(stream[frame + 12], (1, 1))
    reach = _MIDDLE * scans.TOLERANCE * after / max(1, before) + _ROUNDING
    return bool(np.abs(greys.astype(np.int16) - _MIDDLE).max() <= reach)


def _dimmed(stream: bytes, segments: Segments) -> tuple[bytes, dict[int, tuple[int, int]]]:
    """*stream* with its quantizers divided, and what the first of each table was and is."""
    pieces, at, firsts = [], 0, dict[int, tuple[int, int]]()
    for marker, first in segments:
        if marker == QUANTIZATION_TABLES:
            body = b""
            for number, each, values in scans.quantizers_of(stream, first):
                less = [max(1, value // _DIVISOR) for value in values]
                body += bytes([(each - 1) << 4 | number]) + b"".join(value.to_bytes(each, "big") for value in less)
                firsts[number] = values[0], less[0]
            pieces += [stream[at : first + 4], body]
            at = first + 4 + len(body)
    return b"".join([*pieces, stream[at:]]), firsts

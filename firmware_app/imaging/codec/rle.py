"""RLE Lossless (PS3.5 Annex G): each segment is one byte plane in PackBits, the most significant plane first.

Pillow unpacks PackBits in C and reports a segment that ends early.  So a truncated frame is an error, never grey.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.core.errors import Undecodable

HEADER: Final = struct.Struct("<16L")
_MOST_SEGMENTS: Final = 15
_ONE_ROW_PX: Final = 1 << 28


def planes(stream: bytes, pixels: int, count: int) -> NDArray[np.uint8]:
    """(count, pixels) uint8, the *count* byte planes of a frame of *pixels* pixels; raises `Undecodable`."""
    if len(stream) < HEADER.size:
        raise Undecodable(detail="an RLE frame without its header")
    segments, *offsets = HEADER.unpack_from(stream)
    if segments != count or count > _MOST_SEGMENTS or not 0 < pixels <= _ONE_ROW_PX:
        raise Undecodable(detail=f"{segments} RLE segments where {count} are needed")
    bounds = [*offsets[:count], len(stream)]
    if bounds[0] < HEADER.size or any(later <= earlier for earlier, later in pairwise(bounds)):
        raise Undecodable(detail="its RLE segments lie where they cannot")
    unpacked = np.empty((count, pixels), np.uint8)
    for number in range(count):
        segment = stream[bounds[number] : bounds[number + 1]]
        try:
            row = Image.frombytes("L", (pixels, 1), segment, "packbits", "L")
        except ValueError:
            raise Undecodable(detail=f"RLE segment {number + 1} of {count} is cut short or broken") from None
        unpacked[number] = np.frombuffer(row.tobytes(), np.uint8)
    return unpacked


def words(stream: bytes, rows: int, columns: int, samples: int, allocated: int) -> NDArray[np.generic]:
    """(rows, columns) or (rows, columns, samples) little-endian unsigned words of *allocated* bits."""
    size = allocated // 8
    unpacked = planes(stream, rows * columns, samples * size)
    if size == 1:
        frame: NDArray[np.generic] = unpacked.reshape(samples, rows, columns)
    else:
        joined = unpacked.reshape(samples, size, rows * columns)[:, ::-1].transpose(0, 2, 1)
        frame = np.ascontiguousarray(joined).view(f"<u{size}").reshape(samples, rows, columns)
    return frame[0] if samples == 1 else np.ascontiguousarray(frame.transpose(1, 2, 0))

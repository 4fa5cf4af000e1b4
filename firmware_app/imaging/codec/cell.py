"""The pixel cell (PS3.5 8.1.1): puts the samples of a code stream where the header says that a value lies in its word.

A stream may have fewer bits than are stored, because its encoder left the value alone; or more, because it took the
whole word with what lies above the value: an embedded overlay or nothing that means anything.  After this every frame
has the layout of a native one, so bits outside the value are dropped and overlays found in one place for all.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import PixelsUnsupported
from firmware_app.imaging.grey.pipeline import taken
from firmware_app.imaging.jpeg.codestream import Precision
from firmware_app.imaging.source import PixelSource

_MOST_BITS: Final = 16
_MOST_PLANES: Final = 4
_REACH: Final = 8
"""A lossy value may lie beyond the stored bits by this part of their range; what lies farther was set there."""


def laid(samples: NDArray[Any], of_stream: Precision, source: PixelSource) -> NDArray[Any]:
    """*samples*, as a decoder gives them, in the words of *source*.

    Raises `PixelsUnsupported` where the stream has more bits than a word: the highest would be cut off.
    """
    bits, unused = of_stream.bits, source.high_bit + 1 - source.stored
    if bits > source.allocated:
        raise PixelsUnsupported(detail=f"a stream of {bits} bits, and {source.allocated} bits in a word")
    if of_stream.lossy and source.stored < bits <= _MOST_BITS and samples.dtype.itemsize <= 2:
        samples = _within(samples, bits, source)
    size = source.allocated // 8
    words = samples.astype(f"{samples.dtype.kind}{size}", copy=False).view(f"u{size}")
    if source.signed and not of_stream.signed and bits <= source.stored and bits < source.allocated:
        sign = words.dtype.type(1 << (bits - 1))
        words = (words ^ sign) - sign
    if unused and bits <= source.high_bit:  # it has its value in the lowest bits
        words = words << unused
    return words.view(f"{'i' if source.signed else 'u'}{size}")


def _within(samples: NDArray[Any], bits: int, source: PixelSource) -> NDArray[Any]:
    """*samples* of a lossy stream with more *bits* than are stored, those just beyond the value's range moved to its
    end, from where they would turn from white to black; with the overlays' bits set or not, whichever is nearer."""
    unused = source.high_bit + 1 - source.stored if bits > source.high_bit else 0
    words = np.arange(1 << bits, dtype=np.int64)
    if source.signed:
        words -= (words >> (bits - 1)) << bits
    low = -(1 << source.stored - 1) if source.signed else 0
    high = low + (1 << source.stored) - 1
    nearest, least = words, np.full(len(words), np.iinfo(np.int64).max)
    for overlay in (0,) if source.signed else _overlays(source, bits):
        value = np.clip((words - overlay) >> unused, low, high)
        away = np.abs(((words - overlay) >> unused) - value)
        nearest = np.where(away < least, overlay + (value << unused), nearest)
        least = np.minimum(away, least)
    index = samples.view(f"u{samples.dtype.itemsize}") & np.asarray((1 << bits) - 1, f"u{samples.dtype.itemsize}")
    if taken(least * _REACH > 1 << source.stored, index).any():
        return samples
    return taken(nearest.astype(samples.dtype), index)


def _overlays(source: PixelSource, bits: int) -> list[int]:
    """What the overlays that the header places above the value can add to a word; 0 first."""
    places = {
        int(source.header[tag].value)
        for tag in source.header.keys()  # noqa: SIM118 - iterating the data set itself would decode every value
        if 0x6000 <= tag.group <= 0x60FF and tag.element == 0x0102 and isinstance(source.header[tag].value, int)
    }
    ones = [1 << place for place in sorted(places) if source.high_bit < place < bits][:_MOST_PLANES]
    return [sum(some) for count in range(len(ones) + 1) for some in combinations(ones, count)]

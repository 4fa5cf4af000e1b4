"""The runs of Huffman-coded data in a JPEG, each up to a restart marker or to the segment behind its scan.

libjpeg fills what is missing of a run with zeros and says so only in a warning that no Python library passes on, and it
guesses its way past restart markers that are missing.  Both are therefore found here: the markers are counted before a
decoder sees them, and a stream is decoded once more with other bits behind each run.  What is whole never reads those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.errors import Undecodable

# Written so that it begins with one fixed byte, for which the search is several times faster.
_RESTART: Final = re.compile(rb"\xff\xff*([\xd0-\xd7])")
_START_OF_SCAN: Final = 0xDA
_RESTART_INTERVAL: Final = 0xDD
# The first bit is not the zero that libjpeg puts there, and no byte is FF, which would begin a marker.
_FILLER: Final = b"\xaa" * 64
_BLOCK_PX: Final = 8

Segments = Iterable[tuple[int, int]]
"""(marker, where) of a stream, as `codestream` goes over them."""


def check_restarts(stream: bytes, segments: Segments, frame: int, *, lossless: bool) -> None:
    """Raise `Undecodable` unless each scan has its restart markers, all of them and in order (ISO/IEC 10918-1 E.1.4).

    *frame* is where the frame header lies.
    """
    interval = 0
    for marker, first, end in _with_ends(stream, segments):
        if marker == _RESTART_INTERVAL:
            interval = int.from_bytes(stream[first + 4 : first + 6], "big")
        elif marker == _START_OF_SCAN:
            wanted = (_units(stream, frame, first, lossless=lossless) - 1) // interval if interval else 0
            begin = first + 2 + int.from_bytes(stream[first + 2 : first + 4], "big")
            count = 0
            for found in _RESTART.finditer(stream, begin, end):
                if count == wanted or found[1][0] != 0xD0 + count % 8:
                    raise Undecodable(detail="restart markers of the compressed frame are missing or out of order")
                count += 1
            if count != wanted:
                raise Undecodable(detail=f"{count} restart markers in the compressed frame, {wanted} promised")


def check_whole(
    pixels: NDArray[Any], decode: Callable[[bytes], NDArray[Any]], stream: bytes, segments: Segments
) -> None:
    """Raise `Undecodable` where *pixels*, which *decode* made of *stream*, hold any that no coded data stand for."""
    if not np.array_equal(pixels, decode(_filled(stream, segments))):
        raise Undecodable(detail="coded data are missing in the compressed frame")


def _filled(stream: bytes, segments: Segments) -> bytes:
    """*stream* with filler behind each run; decoders pass over it when the run before it is whole."""
    pieces, at = [], 0
    for marker, first, end in _with_ends(stream, segments):
        if marker == _START_OF_SCAN:
            begin = first + 2 + int.from_bytes(stream[first + 2 : first + 4], "big")
            runs = stream[begin:end].rstrip(b"\xff")  # fill bytes belong to the marker behind them (B.1.1.2)
            pieces += [stream[at:begin], _RESTART.sub(lambda found: _FILLER + found[0], runs), _FILLER]
            at = end
    return b"".join([*pieces, stream[at:]])


def _with_ends(stream: bytes, segments: Segments) -> Iterable[tuple[int, int, int]]:
    """(marker, where, where the next one is)"""
    last: tuple[int, int] | None = None
    for segment in segments:
        if last is not None:
            yield *last, segment[1]
        last = segment
    if last is not None:
        yield *last, len(stream)


def _units(stream: bytes, frame: int, scan: int, *, lossless: bool) -> int:
    """The MCUs of a scan (A.2): a restart interval is so many of them."""
    side = 1 if lossless else _BLOCK_PX
    try:
        rows, columns = (int.from_bytes(stream[frame + at : frame + at + 2], "big") for at in (5, 7))
        parts = [frame + 10 + 3 * number for number in range(stream[frame + 9])]
        factors: dict[int, tuple[int, int]] = {stream[at]: (stream[at + 1] & 15, stream[at + 1] >> 4) for at in parts}
        tallest, widest = max(tall for tall, _ in factors.values()), max(wide for _, wide in factors.values())
        if stream[scan + 4] > 1:  # interleaved
            return -(-rows // (side * tallest)) * -(-columns // (side * widest))
        tall, wide = factors[stream[scan + 5]]
        own_rows, own_columns = -(-rows * tall // tallest), -(-columns * wide // widest)
        return -(-own_rows // side) * -(-own_columns // side)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):
        raise Undecodable(detail="the headers of the compressed frame are broken") from None

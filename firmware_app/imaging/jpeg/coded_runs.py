"""Whether the coded data of a JPEG are whole, for which libjpeg is no judge.

It fills what is missing of a run with zeros and says so only in a warning that no Python library passes on, and it
guesses its way past restart markers that are missing.  So the markers are counted before a decoder sees them, and then
the codes, where that does not take too long.  Where it does, the stream is decoded once more with other bits behind
each run, which a whole one never reads, and an eighth of its size for the levels of its blocks.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.errors import PixelsUnsupported, Undecodable
from firmware_app.imaging.jpeg import block_levels, code_count, scans
from firmware_app.imaging.jpeg.scans import HUFFMAN_TABLES, NO_MARKER, RESTART, START_OF_SCAN, Segments, Table

_PROGRESSIVE: Final = 0xC2
_BASELINE_EXTENDED: Final = (0xC0, 0xC1)
# The work of counting is in bytes of coded data of a baseline frame, ten million a second or more.  A byte of a
# progressive scan, whose codes are gone along one by one, is as much as eight of them; a block of each scan as much as
# four, a restart as 256, and a table as 32 K.
_PROGRESSIVE_WORK: Final = 8
_BLOCK_WORK: Final = 4
_RESTART_WORK: Final = 256
_TABLE_WORK: Final = 32 << 10
_BLOCK_PX: Final = 8
MOST_WORK: Final = 8 << 20
"""Up to which a frame's codes are counted, about a second; what is more are films of 16 megapixels and of the finest
quality."""
_MOST_WORK_OF_ALL: Final = 256 << 20
"""Of all frames of an object, about half a minute where somebody made them for that."""
MOST_RUNS: Final = 1 << 19
"""Of all scans together: 32 megapixels of grey, the largest film, have as many blocks in a baseline scan.  An encoder
may be told to write more, in several scans with a restart behind each block, and such a film is not read."""
_MOST_FRAMES_READ: Final = 320
"""Of a clip, however long it is, by a model and for people (`keyframes.MOST_LOOKED`, `display`)."""
# By chance, so that what is missing becomes neither flat nor all black or white, where other bits would not show; no
# byte is FF, which would begin a marker, and the first bit is not the zero that libjpeg puts there.
_FILLER: Final = b"\xb5" + bytes(random.Random(10918).choices(range(255), k=63))
# Fill bytes belong to the marker behind them (B.1.1.2), and are taken from the first one on, so that each is seen once.
_MARKED_RESTART: Final = re.compile(rb"\xff(?<!\xff\xff)\xff*+([\xd0-\xd7])")
_FILLED_RESTART: Final = _FILLER.replace(b"\\", b"\\\\") + b"\xff\\1"
_LENGTHS: Final = 16
_MOST_SYMBOLS: Final = 256
_UNUSED: Final = 8
"""A symbol that stands for 8 bits of a value in every kind of scan."""


def check_restarts(stream: bytes, segments: Segments, frame: int, *, lossless: bool) -> None:
    """Raise `Undecodable` unless each scan has its restart markers, all of them and in order (ISO/IEC 10918-1 E.1.4).

    *frame* is where the frame header lies.  Nor may a scan hold what ends it for libjpeg, or the stream no scan.
    """
    runs = 0
    for scan in scans.scans(stream, segments, frame, lossless=lossless):
        runs += scan.runs
        if runs > MOST_RUNS:
            raise PixelsUnsupported(detail=f"a JPEG with more than {MOST_RUNS} restarts")
        if NO_MARKER.search(stream, scan.begin, scan.end):
            raise Undecodable(detail="the coded data of the compressed frame are broken")
        count, wanted = 0, scan.runs - 1
        for found in RESTART.finditer(stream, scan.begin, scan.end):
            if count == wanted or found[1][0] != 0xD0 + count % 8:
                raise Undecodable(detail="restart markers of the compressed frame are missing or out of order")
            count += 1
        if count != wanted:
            raise Undecodable(detail=f"{count} restart markers in the compressed frame, {wanted} promised")
    if not runs:
        raise Undecodable(detail="the compressed frame has no coded data")


def check(
    pixels: NDArray[Any],
    decode: Callable[[bytes], NDArray[Any]],
    stream: bytes,
    segments: Segments,
    header: tuple[int, int],
    eighth: Callable[[bytes], NDArray[Any] | None] | None,
    frames: int,
) -> None:
    """Raise `Undecodable` where *pixels*, which *decode* made of *stream*, are more than it has data for.

    *header* is the frame header's marker and where it lies; *eighth*, of a stream of 8 bits, decodes its greys to an
    eighth of the height and the width; *frames* are those of the object, which share the time that there is.
    """
    kind, frame = header
    progressive = kind == _PROGRESSIVE
    is_counted = progressive or kind in _BASELINE_EXTENDED
    cost = work(stream, segments, frame, progressive=progressive) if is_counted else 0
    most = min(MOST_WORK, _MOST_WORK_OF_ALL // min(max(frames, 1), _MOST_FRAMES_READ))
    counted = is_counted and cost <= most
    if counted and code_count.comes_out(stream, segments, frame, progressive=progressive):
        return
    if not np.array_equal(pixels, decode(_filled(stream, segments))):
        raise Undecodable(detail="coded data are missing in the compressed frame")
    if counted or eighth is None or kind not in _BASELINE_EXTENDED or min(pixels.shape[:2]) < _BLOCK_PX:
        return
    if not block_levels.are_possible(stream, segments, frame, eighth) and cost <= MOST_WORK:
        code_count.comes_out(stream, segments, frame, progressive=False)


def work(stream: bytes, segments: Segments, frame: int, *, progressive: bool) -> int:
    """What counting the codes of the frame whose header lies at *frame* costs, by its headers and the length of its
    scans; what lies before and behind them counts for nothing, for phones put a film of a second there."""
    tables = sum(len(list(scans.tables_of(stream, at))) for marker, at in segments if marker == HUFFMAN_TABLES)
    coded = blocks = runs = 0
    for scan in scans.scans(stream, segments, frame):
        coded += max(0, scan.end - scan.begin)
        blocks += scan.units * len(scan.parts)
        runs += scan.runs
    coded *= _PROGRESSIVE_WORK if progressive else 1
    return coded + blocks * _BLOCK_WORK + runs * _RESTART_WORK + tables * _TABLE_WORK


def _filled(stream: bytes, segments: Segments) -> bytes:
    """*stream* with filler behind each run and a meaning for codes that have none; nothing whole has use for either."""
    pieces, at = [], 0
    for marker, first, end in scans.with_ends(stream, segments):
        if marker == HUFFMAN_TABLES:
            body = b"".join(bytes([number]) + _full(table) for number, table in scans.tables_of(stream, first))
            pieces += [stream[at : first + 2], (len(body) + 2).to_bytes(2), body]
            at = first + 2 + int.from_bytes(stream[first + 2 : first + 4], "big")
        elif marker == START_OF_SCAN:
            begin = first + 2 + int.from_bytes(stream[first + 2 : first + 4], "big")
            pieces.append(stream[at:begin])
            runs = _MARKED_RESTART.sub(_FILLED_RESTART, stream[begin:end])
            pieces += [runs.rstrip(b"\xff"), _FILLER]
            at = end
    return b"".join([*pieces, stream[at:]])


def _full(table: Table) -> Table:
    """*table* with symbols behind its last code as far as there is room, but for the code of ones alone (C.2)."""
    counts, code = list(table[:_LENGTHS]), 0
    longest = max((length for length in range(_LENGTHS) if counts[length]), default=_LENGTHS)
    for length in range(_LENGTHS):
        code = (code << 1) + counts[length]
        if length >= longest:
            free = max(0, min((2 << length) - 1 - code, _MOST_SYMBOLS - sum(counts)))
            counts[length] += free
            code += free
    return bytes(counts) + table[_LENGTHS:] + bytes([_UNUSED]) * (sum(counts) - sum(table[:_LENGTHS]))

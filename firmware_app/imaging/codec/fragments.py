"""The fragments of an encapsulated object (PS3.5 A.4): where each frame lies, and the frames of RLE Lossless.

Only item headers are read to locate a frame, up to the sequence delimiter: a truncated object is refused even if its
first frames are complete.  Two numbers are kept per item, so memory does not grow with the size of the frames.
"""

from __future__ import annotations

import io
import struct
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.core.errors import Undecodable
from firmware_app.imaging.errors import PixelsUnsupported

MOST_ITEMS: Final = 250_000
_ITEM: Final = struct.Struct("<HHL")
_END: Final = (0xFFFE, 0xE0DD)
_START: Final = (0xFFFE, 0xE000)
_UNDEFINED: Final = 0xFFFFFFFF
# ISO/IEC 10918-1 EOI and ISO/IEC 15444-1 EOC are the same two bytes; only padding may follow them.
_END_OF_STREAM: Final = b"\xff\xd9"
_TAIL_BYTES: Final = 16
_SIGNATURES: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0c")  # JPEG and JPEG-LS, JPEG 2000, JP2


@dataclass(frozen=True, slots=True)
class Fragments:
    """The items after the offset table: the start and length of each value, and the first item of each frame.

    `left` counts the frames after the last one that the header announces.
    """

    starts: array[int]
    lengths: array[int]
    firsts: array[int]
    left: int = 0

    def frame(self, stream: BinaryIO, index: int) -> bytes:
        """The compressed bytes of frame *index*, its fragments joined."""
        last = self.firsts[index + 1] if index + 1 < len(self.firsts) else len(self.starts)
        pieces = []
        for number in range(self.firsts[index], last):
            stream.seek(self.starts[number])
            pieces.append(stream.read(self.lengths[number]))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def locate_fragments(
    stream: BinaryIO, offset: int, frames: int, extended: bytes = b"", *, rle_segments: int = 0
) -> Fragments:
    """The *frames* frames of the encapsulated value at *offset*; *extended* is the Extended Offset Table, or empty.

    *rle_segments*: how many segments a frame of RLE has; 0 for other syntaxes.  PS3.5 A.4.2 wants such a frame in one
    fragment, but some machines split it.  Raises `Undecodable`.
    """
    table, starts, lengths = _read_items(stream, offset, frames)
    if len(starts) < frames:
        raise Undecodable(detail=f"{frames} frames promised, {len(starts)} fragments present")
    if len(starts) == frames:
        return Fragments(starts, lengths, array("L", range(frames)))
    firsts = array("L")
    if frames > 1:
        firsts = _split_by_offsets(starts, _offsets(extended, "Q"), frames)
        firsts = firsts or _split_by_offsets(starts, _offsets(table, "L"), frames)
    firsts = firsts or _split_by_streams(stream, starts, lengths, rle_segments)
    others = [number for number in firsts[frames:] if _begins_stream(stream, starts[number], rle_segments)]
    if len(firsts) < frames or (frames > 1 and len(others) < len(firsts) - frames):
        raise Undecodable(detail=f"its {len(starts)} fragments cannot be told apart into {frames} frames")
    end = others[0] if others else len(starts)
    return Fragments(starts[:end], lengths[:end], firsts[:frames], len(others))


def _offsets(table: bytes, kind: str) -> tuple[int, ...]:
    count = len(table) // struct.calcsize(f"<{kind}")
    return struct.unpack_from(f"<{count}{kind}", table)


def _begins_stream(stream: BinaryIO, start: int, rle_segments: int) -> bool:
    """Whether a code stream begins at *start*; one of RLE begins with the number and places of its segments (G.5)."""
    stream.seek(start)
    if not rle_segments:
        return stream.read(4).startswith(_SIGNATURES)
    head = stream.read(RLE_HEADER.size)
    if len(head) < RLE_HEADER.size:
        return False
    count, *places = RLE_HEADER.unpack(head)
    used = [RLE_HEADER.size, *places[:rle_segments]]
    return count == rle_segments and used[1] == used[0] and used[1:] == sorted(set(used))


def _read_items(stream: BinaryIO, offset: int, frames: int) -> tuple[bytes, array[int], array[int]]:
    """The offset table, and the start and length of every fragment after it."""
    size = stream.seek(0, io.SEEK_END)
    starts, lengths, table = array("Q"), array("Q"), b""
    position, is_table = offset, True
    while True:
        stream.seek(position)
        head = stream.read(_ITEM.size)
        if len(head) < _ITEM.size:
            raise Undecodable(detail=f"it ends behind fragment {len(starts)}")
        group, number, length = _ITEM.unpack(head)
        if (group, number) == _END:
            return table, starts, lengths
        if (group, number) != _START or length == _UNDEFINED:
            raise Undecodable(detail=f"what follows fragment {len(starts)} is none")
        if position + _ITEM.size + length > size:
            raise Undecodable(detail=f"it ends inside fragment {len(starts) + 1}")
        if is_table:
            table = stream.read(min(length, 4 * frames + 4))  # a longer table names other frames than the header
            is_table = False
        else:
            starts.append(position + _ITEM.size)
            lengths.append(length)
            if len(starts) > MOST_ITEMS:
                raise PixelsUnsupported(detail=f"more than {MOST_ITEMS} fragments")
        position += _ITEM.size + length


def _split_by_offsets(starts: array[int], offsets: tuple[int, ...], frames: int) -> array[int]:
    """The item of each offset, counted from the first item after the table; empty where the table is unusable."""
    firsts = array("L")
    if len(offsets) != frames:
        return firsts
    origin = starts[0] - _ITEM.size
    for offset in offsets:
        wanted = origin + offset + _ITEM.size
        number = bisect_left(starts, wanted)
        if number == len(starts) or starts[number] != wanted or (firsts and number <= firsts[-1]):
            return array("L")
        firsts.append(number)
    return firsts if firsts[0] == 0 else array("L")


def _split_by_streams(stream: BinaryIO, starts: array[int], lengths: array[int], rle_segments: int) -> array[int]:
    """The first item of each frame, without a table: a frame ends with the fragment that ends a code stream.

    RLE marks no end, only the beginning.
    """
    firsts = array("L", [0])
    for number in range(1, len(starts)):
        if rle_segments:
            begins = _begins_stream(stream, starts[number], rle_segments)
        else:
            tail = min(lengths[number - 1], _TAIL_BYTES)
            stream.seek(starts[number - 1] + lengths[number - 1] - tail)
            begins = _END_OF_STREAM in stream.read(tail)
        if begins:
            firsts.append(number)
    return firsts


class JoinedFragments(io.RawIOBase):
    """All fragments as one seekable file, since a video's bit stream may be split anywhere (PS3.5 8.2.5)."""

    def __init__(self, stream: BinaryIO, fragments: Fragments) -> None:
        super().__init__()
        self._stream, self._fragments = stream, fragments
        self._begins = array("Q", [0])  # where each fragment begins in the joined file, and where the last ends
        for length in fragments.lengths:
            self._begins.append(self._begins[-1] + length)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._begins[-1]}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._begins[-1] if size < 0 else min(self._at + size, self._begins[-1])
        pieces = []
        while self._at < end:
            number = bisect_right(self._begins, self._at) - 1
            here = min(end, self._begins[number + 1]) - self._at
            self._stream.seek(self._fragments.starts[number] + self._at - self._begins[number])
            piece = self._stream.read(here)
            if not piece:
                break
            pieces.append(piece)
            self._at += len(piece)
        return b"".join(pieces)


RLE_HEADER: Final = struct.Struct("<16L")
_MOST_SEGMENTS: Final = 15


def _unpack_rle_planes(stream: bytes, pixels: int, count: int) -> NDArray[np.uint8]:
    """(count, pixels) uint8: the byte planes of a frame, the most significant first (PS3.5 Annex G), in PackBits.

    Pillow unpacks in C and reports a segment that ends early.  Raises `Undecodable`.
    """
    segments, *offsets = RLE_HEADER.unpack_from(stream)
    if segments != count or count > _MOST_SEGMENTS:
        raise Undecodable(detail=f"{segments} RLE segments where {count} are needed")
    bounds = [*offsets[:count], len(stream)]
    if bounds[0] < RLE_HEADER.size or any(later <= earlier for earlier, later in pairwise(bounds)):
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


def decode_rle_words(stream: bytes, rows: int, columns: int, samples: int, allocated: int) -> NDArray[np.generic]:
    """(rows, columns) or (rows, columns, samples) little-endian unsigned words of *allocated* bits."""
    size = allocated // 8
    unpacked = _unpack_rle_planes(stream, rows * columns, samples * size)
    if size == 1:
        frame: NDArray[np.generic] = unpacked.reshape(samples, rows, columns)
    else:
        joined = unpacked.reshape(samples, size, rows * columns)[:, ::-1].transpose(0, 2, 1)
        frame = np.ascontiguousarray(joined).view(f"<u{size}").reshape(samples, rows, columns)
    return frame[0] if samples == 1 else np.ascontiguousarray(frame.transpose(1, 2, 0))

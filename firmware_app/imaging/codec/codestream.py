"""The size that a compressed frame announces and whether it is complete, read from its marker segments alone.

The size is compared with the DICOM header before decoding, because a stream of 1 kB can announce hundreds of megabytes.
The end is checked because most decoders silently fill the missing part of a truncated stream with grey.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from firmware_app.core.errors import Undecodable

_SOI: Final = b"\xff\xd8"
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE: Final = b"\x00\x00\x00\x0cjP"
# ISO/IEC 10918-1 table B.1: frame headers are FFC0..FFCF without DHT, JPG, DAC; ISO/IEC 14495-1 adds SOF55 (FFF7).
FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
START_OF_SCAN: Final = 0xDA
# Within coded data, FF is followed by 00 (JPEG), by a byte below 80 (JPEG-LS) or by a restart marker (B.1.1.5).
_MARKER_IN_SCAN: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
EOI: Final = 0xD9
_SOT: Final = b"\xff\x90"
_EOC: Final = b"\xff\xd9"
_COD: Final = 0x52
_SOD: Final = 0x93
_TILE_BYTES: Final = 14  # the SOT segment and the SOD marker of a tile (ISO/IEC 15444-1 A.4.2)
_IRREVERSIBLE: Final = b"\0"
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
# Bytes between segments are skipped, as in libjpeg.  After a scan, however, they are the rest of a lost segment.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_MOST_SEGMENTS: Final = 10_000
"""More than any encoder writes: scans with their tables, a colour profile, a camera's metadata."""
_MOST_BETWEEN: Final = 1 << 16
"""The most bytes between two segments."""
_FILL: Final = b"\xff\xff"
_MOST_FILL: Final = 1 << 15
"""The most pairs of fill bytes (B.1.1.2) before one marker: Pillow scans millions of them repeatedly.  A scan with more
in all may consist of fill bytes by two thirds, as with three before each restart and a restart after each flat block.
"""
ARITHMETIC: Final = frozenset(range(0xC9, 0xD0))
PROGRESSIVE: Final = frozenset((0xC2, 0xC6))
LOSSLESS: Final = frozenset((0xC3, 0xC7))
_JPEG_LS: Final = 0xF7
WITHOUT_LOSS: Final = LOSSLESS | frozenset((0xCB, 0xCF, _JPEG_LS))  # with arithmetic coding too
MOST_SCANS: Final = 128
"""A progressive JPEG has about ten scans; for each one the decoder goes over the whole frame again."""
_MOST_COMPONENTS: Final = 4
# PS3.5 Annex G: PackBits turns two bytes into at most 128.
_RLE_GAIN: Final = 64


Segments = Sequence[tuple[int, int]]
"""(marker, offset) of each segment of a stream, as `iterate_segments` yields them."""


class SamplePrecision(NamedTuple):
    """How many *samples* a pixel has, their *bits*, whether they are *signed*, whether their compression is lossy."""

    samples: int
    bits: int
    signed: bool
    lossy: bool


def read_precision(stream: bytes) -> SamplePrecision | None:
    """The precision that a JPEG, JPEG-LS or JPEG 2000 *stream* gives; of several components the greatest."""
    if not stream.startswith(_SOI):
        return _jpeg2000_precision(stream)
    segments = list(iterate_segments(stream))
    kind, at = find_frame_header(segments)
    if at + 10 > len(stream):
        return None
    near = 0
    if kind == _JPEG_LS:  # NEAR is the last but two of a scan header's bytes (ISO/IEC 14495-1 C.2.3)
        scan = next((at for marker, at in segments if marker == START_OF_SCAN), len(stream))
        behind = scan + 2 + _number(stream, scan + 2, 2)
        near = int.from_bytes(stream[behind - 3 : behind - 2], "big")
    return SamplePrecision(
        stream[at + 9], stream[at + 4], False, near > 0 if kind == _JPEG_LS else kind not in WITHOUT_LOSS
    )


def read_size(stream: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 *stream* announces; None when it is none of these."""
    if stream.startswith(_SOI):
        _, at = find_frame_header(iterate_segments(stream))
        return (_number(stream, at + 5, 2), _number(stream, at + 7, 2)) if 0 < at <= len(stream) - 9 else None
    start = stream.find(_SOC_SIZ, 0, 4096) if stream.startswith(_JP2_SIGNATURE) else 0
    if start >= 0 and stream.startswith(_SOC_SIZ, start) and len(stream) >= start + 24:
        # ISO/IEC 15444-1 A.5.1: Lsiz, Rsiz, then Xsiz, Ysiz, XOsiz, YOsiz
        x, y, x0, y0 = (_number(stream, start + at, 4) for at in (8, 12, 16, 20))
        return y - y0, x - x0
    return None


def check_stream(stream: bytes, rows: int, columns: int, *, rle: bool, frame_bytes: int) -> None:
    """Raise `Undecodable` unless *stream* can be a frame of *rows* × *columns* (*frame_bytes* when decoded)."""
    if rle:
        if len(stream) < 64 or len(stream) * _RLE_GAIN < frame_bytes:
            raise Undecodable(detail=f"{len(stream)} bytes of RLE cannot hold {columns} × {rows} pixels")
        return
    shape = read_size(stream)
    if shape is None:
        raise Undecodable(detail="the compressed frame has no header")
    if shape != (rows, columns):
        raise Undecodable(detail=f"the compressed frame is {shape[1]} × {shape[0]}, its header says {columns} × {rows}")
    if not stream.startswith(_SOI):
        end = _end_of_tiles(stream, stream.find(_SOC_SIZ, 0, 4096))
        if end is None or end > len(stream):  # some encoders omit the end marker behind the tile-parts
            raise Undecodable(detail="the compressed frame is cut short")
        _check_jpeg2000_work(stream, rows, columns)
        return
    segments = list(iterate_segments(stream))  # parsed once: a clip has thousands of streams
    _check_jpeg_work(stream, segments, rows, columns)
    check_end(segments)


def check_end(segments: Segments) -> None:
    """Raise `Undecodable` where a JPEG or JPEG-LS stream of these *segments* has no header or no end."""
    if not find_frame_header(segments)[0]:
        raise Undecodable(detail="the compressed frame has no header")
    if segments[-1][0] != EOI:
        raise Undecodable(detail="the compressed frame is cut short")


def check_work(stream: bytes, rows: int, columns: int) -> None:
    """Raise `Undecodable` where *stream* is too short for *rows* × *columns*, or repeats scans far too often."""
    if stream.startswith(_SOI):
        _check_jpeg_work(stream, list(iterate_segments(stream)), rows, columns)
    else:
        _check_jpeg2000_work(stream, rows, columns)


def _check_jpeg_work(stream: bytes, segments: Segments, rows: int, columns: int) -> None:
    scans = sum(marker == START_OF_SCAN for marker, _ in segments)
    if scans > MOST_SCANS:
        raise Undecodable(detail=f"the compressed frame goes over the image {scans} times")
    # Only the scans count: a phone may append a one-second video to its picture.
    coded = sum(max(0, end - at) for marker, at, end in segments_with_ends(stream, segments) if marker == START_OF_SCAN)
    if coded * 8 < _fewest_bits(find_frame_header(segments)[0], rows, columns):
        raise Undecodable(detail=f"{coded} bytes of JPEG cannot hold {columns} × {rows} pixels")


def _check_jpeg2000_work(stream: bytes, rows: int, columns: int) -> None:
    components = _jpeg2000_components(stream)
    if not 1 <= components <= _MOST_COMPONENTS:
        raise Undecodable(detail=f"{components} samples in a pixel")
    if len(stream) < _tiles(stream, max(0, stream.find(_SOC_SIZ, 0, 4096))) * _TILE_BYTES:
        raise Undecodable(detail=f"{len(stream)} bytes of JPEG 2000 cannot hold {columns} × {rows} pixels")


def find_frame_header(segments: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The marker of the first frame header and its offset; 0 where there is none."""
    return next((segment for segment in segments if segment[0] in FRAME_HEADERS), (0, 0))


def _fewest_bits(kind: int, rows: int, columns: int) -> int:
    """The fewest bits of a frame of this *kind* (the marker of its frame header).

    A Huffman code has at least one bit (ISO/IEC 10918-1 C).  A lossless frame needs one code per sample, a progressive
    one a code for the first coefficient of each block, the others one more for the end of each block.  JPEG-LS ends a
    run with each line.
    """
    blocks = -(-rows // 8) * -(-columns // 8)
    if kind in ARITHMETIC:
        return 0
    if kind == _JPEG_LS:
        return rows
    return rows * columns if kind in LOSSLESS else blocks if kind in PROGRESSIVE else 2 * blocks


def iterate_segments(stream: bytes) -> Iterator[tuple[int, int]]:
    """(marker, offset) of each segment and scan up to the end-of-image marker; the content of segments is skipped."""
    at, count, scanned = 2, 0, False
    while (match := _MARKER.search(stream, at)) is not None:
        if scanned and stream[at] != 0xFF:
            return
        if match.start() > at + _MOST_BETWEEN:
            raise Undecodable(detail=f"{match.start() - at} bytes between two segments of the compressed frame")
        at, marker = match.start(), match[0][1]
        if marker in _STANDALONE:
            at += 2
            continue
        count += 1
        if count > _MOST_SEGMENTS:
            raise Undecodable(detail=f"the compressed frame has more than {_MOST_SEGMENTS} segments")
        yield marker, at
        if marker == EOI:
            return
        at += 2 + _number(stream, at + 2, 2)
        if marker == START_OF_SCAN:
            following, scanned = _MARKER_IN_SCAN.search(stream, at), True
            if following is None:
                return
            if _is_mostly_fill(stream, at, following.start()):
                raise Undecodable(detail="the coded data of the compressed frame are mostly fill bytes")
            at = following.start()


def segments_with_ends(stream: bytes, segments: Segments) -> Iterator[tuple[int, int, int]]:
    """(marker, offset, offset of the next one) of each segment."""
    ends = [at for _, at in segments[1:]] + [len(stream)]
    for (marker, at), end in zip(segments, ends, strict=True):
        yield marker, at, end


def _is_mostly_fill(stream: bytes, begin: int, end: int) -> bool:
    pairs = stream.count(_FILL, begin, end)
    return pairs > _MOST_FILL and (3 * pairs > end - begin or stream.find(_FILL * _MOST_FILL, begin, end) >= 0)


def has_end_marker(stream: bytes) -> bool:
    """Whether the end marker of a bare JPEG 2000 *stream* directly follows its last tile-part."""
    end = _end_of_tiles(stream, 0)
    return end is not None and stream[end : end + 2] == _EOC


def _end_of_tiles(stream: bytes, start: int) -> int | None:
    """The offset after the last tile-part, by their lengths (ISO/IEC 15444-1 A.4.2); None where one is missing.

    Every tile must have a tile-part: decoders fill a tile without one with black, and allocate memory for it.
    """
    position = start + 2
    while stream[position : position + 2] != _SOT:
        if position + 4 > len(stream) or stream[position] != 0xFF:
            return None
        position += 2 + _number(stream, position + 2, 2)
    wanted, seen = _tiles(stream, start), set()
    while stream[position : position + 2] == _SOT:
        if position + 12 > len(stream):
            return None
        seen.add(_number(stream, position + 4, 2))
        length = _number(stream, position + 6, 4)
        if length == 0:  # the last one may omit its length; then only the marker shows its end
            position = stream.rfind(_EOC, position)
            break
        position += max(length, 12)
    return position if position > 0 and len(seen) == wanted else None


def _jpeg2000_components(stream: bytes) -> int:
    """Csiz of the SIZ segment (A.5.1)."""
    start = max(0, stream.find(_SOC_SIZ, 0, 4096))
    return _number(stream, start + 40, 2)


def _jpeg2000_precision(stream: bytes) -> SamplePrecision | None:
    """Ssiz of the components (A.5.1), and whether the wavelet of COD is the irreversible one (A.6.1, table A.20)."""
    start = stream.find(_SOC_SIZ, 0, 4096)
    depths = stream[start + 42 : start + 42 + 3 * _jpeg2000_components(stream) : 3] if start >= 0 else b""
    if not depths:
        return None
    coding = next((content for marker, content in iterate_header_segments(stream, start) if marker == _COD), b"")
    bits = max((depth & 0x7F) + 1 for depth in depths)
    return SamplePrecision(len(depths), bits, bool(depths[0] & 0x80), coding[9:10] == _IRREVERSIBLE)


def _tiles(stream: bytes, start: int) -> int:
    """How many tiles the image has: Xsiz … YTOsiz of the SIZ segment (A.5.1, B.3)."""
    x, y, _, _, width, height, left, top = (_number(stream, at, 4) for at in range(start + 8, start + 40, 4))
    if not width or not height:
        return -1
    return -(-(x - left) // width) * -(-(y - top) // height)


def _number(stream: bytes, at: int, size: int) -> int:
    return int.from_bytes(stream[at : at + size], "big")


def iterate_header_segments(stream: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment before the first coded data."""
    position = start + 2
    while position + 4 <= len(stream) and stream[position] == 0xFF and stream[position + 1] != _SOD:
        length = _number(stream, position + 2, 2)
        yield stream[position + 1], stream[position + 4 : position + 2 + length]
        position += 2 + length

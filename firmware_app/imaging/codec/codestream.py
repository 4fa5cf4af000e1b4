"""The size that a compressed frame announces and whether it is complete, read from its marker segments alone.

A 1 kB JPEG 2000 whose DICOM header says 64 × 64 while its stream says 12000 × 12000 costs 400 MB in a decoder.  So the
stream's size is compared with the DICOM header before decoding.  Most decoders silently fill the missing part of a
truncated stream with grey; so the end of the stream is checked too.

`fewest_bytes` gives the fewest bytes that a JPEG 2000 stream needs for the image in its header; only tiles and packets
are counted.  A ratio of bytes to pixels is no test: an all-black frame of 16 megapixels has fewer than 250 bytes.  But
every tile has its own header, and every packet at least one byte, even when empty (ISO/IEC 15444-1 A.4.2, B.10.3).  So
a header with more tiles or precincts than the stream has bytes for is false, and a decoder would allocate memory for
all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
_WITHOUT_LOSS: Final = LOSSLESS | frozenset((0xCB, 0xCF))  # with arithmetic coding too
_JPEG_LS: Final = 0xF7
MOST_SCANS: Final = 128
"""A progressive JPEG has about ten scans; for each one the decoder goes over the whole frame again."""
_MOST_COMPONENTS: Final = 4
# PS3.5 Annex G: PackBits turns two bytes into at most 128.
_RLE_GAIN: Final = 64


Segments = Sequence[tuple[int, int]]
"""(marker, offset) of each segment of a stream, as `iterate_segments` yields them."""


class SampleDepth(NamedTuple):
    """The sample format in a JPEG's frame header (ISO/IEC 10918-1 B.2.2): *bits* per sample, *samples* per pixel."""

    bits: int
    samples: int


def read_depth(stream: bytes) -> SampleDepth | None:
    """The depth in the first frame header of a JPEG or JPEG-LS *stream*; None where there is no header."""
    at = next((at for marker, at in iterate_segments(stream) if marker in FRAME_HEADERS), len(stream))
    return SampleDepth(stream[at + 4], stream[at + 9]) if at + 10 <= len(stream) else None


class SamplePrecision(NamedTuple):
    """The samples of a stream: their *bits*, whether they are *signed*, whether compression changed them."""

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
        behind = scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4], "big")
        near = int.from_bytes(stream[behind - 3 : behind - 2], "big")
    return SamplePrecision(stream[at + 4], False, near > 0 if kind == _JPEG_LS else kind not in _WITHOUT_LOSS)


def read_size(stream: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 *stream* announces; None when it is none of these."""
    if stream.startswith(_SOI):
        return _jpeg_size(stream)
    start = stream.find(_SOC_SIZ, 0, 4096) if stream.startswith(_JP2_SIGNATURE) else 0
    if start >= 0 and stream.startswith(_SOC_SIZ, start) and len(stream) >= start + 24:
        # ISO/IEC 15444-1 A.5.1: Lsiz, Rsiz, then Xsiz, Ysiz, XOsiz, YOsiz
        x, y, x0, y0 = (int.from_bytes(stream[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
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
        if not _jpeg2000_ends(stream, stream.find(_SOC_SIZ, 0, 4096)):
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
    start = max(0, stream.find(_SOC_SIZ, 0, 4096))
    if len(stream) - start < fewest_bytes(stream, start, _tiles(stream, start)):
        raise Undecodable(detail=f"{len(stream)} bytes of JPEG 2000 cannot hold {columns} × {rows} pixels")


def find_frame_header(segments: Segments) -> tuple[int, int]:
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
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
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


def _jpeg2000_ends(stream: bytes, start: int) -> bool:
    """Whether all tile-parts are complete in *stream*; some encoders omit the end marker after them."""
    end = _end_of_tiles(stream, start)
    return end is not None and end <= len(stream)


def _end_of_tiles(stream: bytes, start: int) -> int | None:
    """The offset after the last tile-part, by their lengths (ISO/IEC 15444-1 A.4.2); None where one is missing.

    Every tile must have a tile-part: decoders fill a tile without one with black, and allocate memory for it.
    """
    position = start + 2
    while stream[position : position + 2] != _SOT:
        if position + 4 > len(stream) or stream[position] != 0xFF:
            return None
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    wanted, seen = _tiles(stream, start), set()
    while stream[position : position + 2] == _SOT:
        if position + 12 > len(stream):
            return None
        seen.add(int.from_bytes(stream[position + 4 : position + 6], "big"))
        length = int.from_bytes(stream[position + 6 : position + 10], "big")
        if length == 0:  # the last one may omit its length; then only the marker shows its end
            position = stream.rfind(_EOC, position)
            break
        position += max(length, 12)
    return position if position > 0 and len(seen) == wanted else None


def _jpeg2000_components(stream: bytes) -> int:
    """Csiz of the SIZ segment (A.5.1)."""
    start = max(0, stream.find(_SOC_SIZ, 0, 4096))
    return int.from_bytes(stream[start + 40 : start + 42], "big")


def _jpeg2000_precision(stream: bytes) -> SamplePrecision | None:
    """Ssiz of the components (A.5.1), and whether the wavelet of COD is the irreversible one (A.6.1, table A.20)."""
    start = stream.find(_SOC_SIZ, 0, 4096)
    depths = stream[start + 42 : start + 42 + 3 * _jpeg2000_components(stream) : 3] if start >= 0 else b""
    if not depths:
        return None
    coding = next((content for marker, content in iterate_header_segments(stream, start) if marker == _COD), b"")
    bits = max((depth & 0x7F) + 1 for depth in depths)
    return SamplePrecision(bits, bool(depths[0] & 0x80), coding[9:10] == _IRREVERSIBLE)


def _tiles(stream: bytes, start: int) -> int:
    """How many tiles the image has: Xsiz … YTOsiz of the SIZ segment (A.5.1, B.3)."""
    numbers = [int.from_bytes(stream[at : at + 4], "big") for at in range(start + 8, start + 40, 4)]
    x, y, _, _, width, height, left, top = numbers
    if not width or not height:
        return -1
    return -(-(x - left) // width) * -(-(y - top) // height)


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    at = next((at for marker, at in iterate_segments(stream) if marker in FRAME_HEADERS), len(stream))
    if at + 9 > len(stream):
        return None
    return int.from_bytes(stream[at + 5 : at + 7], "big"), int.from_bytes(stream[at + 7 : at + 9], "big")


_SOT_MARKER, _SOD_MARKER, _COD_MARKER, _COC_MARKER = 0x90, 0x93, 0x52, 0x53
_TILE_BYTES: Final = 14  # its SOT segment and its SOD marker
_WHOLE: Final = 0xFF  # the default: precincts of 2^15 × 2^15 samples
_OWN_PRECINCTS: Final = 1


@dataclass(slots=True)
class _Coding:
    """Layers, and the precinct exponents of each resolution, lowest first, by component (None: all the others)."""

    layers: int = 1
    precincts: dict[int | None, bytes] = field(default_factory=dict)


def fewest_bytes(stream: bytes, start: int, tiles: int) -> int:
    """The fewest bytes of the code stream at *start* with this number of *tiles* and the coding in its header."""
    coding = _coding(stream, start, tiles)
    packets = sum(
        _precincts(stream, start, component, coding.precincts.get(component, coding.precincts.get(None, b"")))
        for component in range(int.from_bytes(stream[start + 40 : start + 42], "big"))
    )
    # Tiles split precincts and never join them; and each tile has at least one packet in a layer.
    return tiles * _TILE_BYTES + coding.layers * max(tiles, packets)


def _coding(stream: bytes, start: int, tiles: int) -> _Coding:
    """The coding in the main header and, with a single tile, in the tile's header; several tiles may differ."""
    coding, in_tile = _Coding(), False
    for marker, segment in iterate_header_segments(stream, start):
        if marker == _SOT_MARKER:
            in_tile = True
        elif marker in (_COD_MARKER, _COC_MARKER) and in_tile and tiles > 1:
            return _Coding()
        elif marker == _COD_MARKER and len(segment) >= 10:  # A.6.1
            if in_tile:
                coding.precincts.clear()
            coding.layers = max(1, int.from_bytes(segment[2:4], "big"))
            coding.precincts[None] = _exponents(segment[0], segment[5:])
        elif marker == _COC_MARKER and len(segment) >= 7:  # A.6.2
            coding.precincts[segment[0]] = _exponents(segment[1], segment[2:])
    return coding


def _exponents(style: int, parameters: bytes) -> bytes:
    """One byte for each resolution (A.6.1, table A.21)."""
    resolutions = min(parameters[0], 32) + 1
    exponents = parameters[5 : 5 + resolutions] if style & _OWN_PRECINCTS else b""
    return exponents.ljust(resolutions, bytes([_WHOLE]))


def _precincts(stream: bytes, start: int, component: int, exponents: bytes) -> int:
    """How many precincts *component* has in all its resolutions, the image being one tile (B.6)."""
    x, y, left, top = (int.from_bytes(stream[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
    steps = stream[start + 43 + 3 * component : start + 45 + 3 * component]
    if len(steps) < 2 or not all(steps):
        return 0
    count = 0
    for down, exponent in enumerate(reversed(exponents)):
        across = _cells(left, x, steps[0] << down, exponent & 15)
        count += across * _cells(top, y, steps[1] << down, exponent >> 4)
    return count


def _cells(begin: int, end: int, step: int, exponent: int) -> int:
    first, last = -(-begin // step), -(-end // step)
    return -(-last >> exponent) - (first >> exponent) if last > first else 0


def iterate_header_segments(stream: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment before the first coded data."""
    position = start + 2
    while position + 4 <= len(stream) and stream[position] == 0xFF and stream[position + 1] != _SOD_MARKER:
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        yield stream[position + 1], stream[position + 4 : position + 2 + length]
        position += 2 + length

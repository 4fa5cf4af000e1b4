"""Decode JPEG of up to 16 bits, with loss and without, and check that it lost no coded data.

libjpeg-turbo gives the stored samples, without colour conversion: through imagecodecs, because Pillow copies the pixels
twice and pydicom may prefer gdcm, which aborts the process on a broken stream.  It fills missing data with grey and
only warns; simplejpeg raises its warnings as errors, so `check_lost_data` decodes a copy of the stream once more, at an
eighth of its size where its kind allows.  What is detected and missed is measured in docs/decisions/pixels.md.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_decode
from numpy.typing import NDArray
from simplejpeg import decode_jpeg

from firmware_app.core.errors import Undecodable
from firmware_app.imaging.codec import codestream
from firmware_app.imaging.codec.codestream import Segments

_BITS: Final = 8
_UNCONVERTED: Final = {1: "GRAYSCALE", 3: "RGB"}
"""By samples: a colour space that libjpeg does not convert; `colour_models` decides on the real one."""


def decode_jpeg_samples(stream: bytes, samples: int, allocated: int) -> NDArray[Any]:
    """(H, W) or (H, W, 3), unsigned, of *allocated* bits.

    Raises `ValueError`, `RuntimeError` or `OSError` for a *stream* that is broken, has more bits or another number of
    *samples*, and `Undecodable` for one that lost coded data.
    """
    depth = codestream.read_precision(stream)
    if depth is None or depth.samples != samples or not 2 <= depth.bits <= allocated <= 16:
        raise ValueError("other samples than the header says")
    check_lost_data(stream)
    space = _UNCONVERTED[samples]
    pixels: NDArray[Any] = jpeg8_decode(stream, colorspace=space, outcolorspace=space)
    return pixels.astype(f"<u{allocated // 8}", copy=False)


_INKS: Final = 4
_HUFFMAN_TABLES: Final = 0xC4
_QUANTIZATION_TABLES: Final = 0xDB
_RESTART_INTERVAL: Final = 0xDD
_TABLES: Final = (_HUFFMAN_TABLES, _QUANTIZATION_TABLES, _RESTART_INTERVAL)
_WHOLE_BLOCKS: Final = bytes((0, 63, 0))
"""The last bytes of a sequential scan's header.  Some encoders write other values; decoders ignore them."""
_COEFFICIENTS: Final = 64
_LENGTHS: Final = 16
_MOST_TABLE_BYTES: Final = 2 + 8 * (1 + _LENGTHS + 256)
"""The largest segment of tables: the most tables with the most symbols (ISO/IEC 10918-1 B.2.4)."""
_PADDING: Final = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_MOST_PADDING: Final = 6
"""The most extraneous bytes, as libjpeg counts them: it counts the zero after an FF too."""
_PADDING_BYTES: Final = b"\0\xff"
_ZEROS: Final = bytes(128)
"""A run of zeros, as a lost disk sector leaves it."""
_DIVISOR: Final = 4
_DIVIDED: Final = bytes(max(1, value // _DIVISOR) for value in range(256))
_MIDDLE: Final = 128
_TOLERANCE: Final = 1.25
"""How far beyond black and white a block's level may be in an intact stream: some encoders round badly."""
_ROUNDING: Final = 3
"""Allowed rounding in grey levels: one for the quantizers, one for the decoder, one spare."""


def check_lost_data(stream: bytes) -> None:
    """Raise `Undecodable` where the JPEG *stream* has no end or lost coded data.

    Not checked are arithmetic coding, where the encoder may drop zeros at the end (D.1.8), and sampling factors that
    simplejpeg does not support.
    """
    segments = list(codestream.iterate_segments(stream))
    codestream.check_end(segments)
    kind, frame = codestream.find_frame_header(segments)
    if kind in codestream.ARITHMETIC:
        return
    # The copy below handles one frame header, and a truncated header has no number of samples.
    if sum(marker in codestream.FRAME_HEADERS for marker, _ in segments) != 1 or frame + 10 > len(stream):
        raise Undecodable(detail="the compressed frame has no header, or more than one")
    if not any(marker == codestream.START_OF_SCAN for marker, _ in segments):
        raise Undecodable(detail="the compressed frame has no coded data")
    lossless, samples = kind in codestream.LOSSLESS, stream[frame + 9]
    copy, share = _copy_for_check(stream, segments, kind)
    try:
        levels = _decode_copy(copy, samples, lossless)
    except ValueError as warning:
        if "subsampling" in str(warning):
            return
        if not _is_padding(str(warning), stream[: segments[-1][1]]):
            raise Undecodable(detail="coded data are missing in the compressed frame") from None
        return
    if lossless:
        return
    _check_zeros(stream, segments, kind)
    if stream[frame + 4] == _BITS and samples < _INKS:
        reach = _MIDDLE * _TOLERANCE * share + _ROUNDING
        if np.abs(levels.astype(np.int16) - _MIDDLE).max() > reach:
            raise Undecodable(detail="coded data are missing in the compressed frame: a block is lighter than white")


def _decode_copy(copy: bytes, samples: int, lossless: bool) -> NDArray[Any]:
    """*copy* as libjpeg decodes it; raises `ValueError` with its first warning.

    A lossless stream must not be scaled: libjpeg-turbo 3.1 decodes it in full size all the same and writes beyond the
    end of the smaller array.
    """
    colours = "CMYK" if samples == _INKS else "RGB" if lossless and samples > 1 else "GRAY"
    smaller = {} if lossless else {"min_height": 1, "min_width": 1, "min_factor": 8}
    pixels: NDArray[Any] = decode_jpeg(copy, colorspace=colours, **smaller)
    return pixels


def _copy_for_check(stream: bytes, segments: Segments, kind: int) -> tuple[bytes, float]:
    """A copy of *stream* for the check, as 8 bits and with divided quantizers, and the largest share that remains.

    Only the segments that a decoder needs are copied: others, and bytes between segments, would raise warnings too.
    The codes are the same for every precision; with more than 8 bits the values are wrong, and only the warnings count.
    Each block's level is coded as the difference from the block before (F.1.1.5.1), so after a loss all later levels
    are off, often beyond black or white.  The divided quantizers keep such levels from being clipped.
    """
    pieces, shares = [b"\xff\xd8"], [0.0]
    for marker, at, end in codestream.segments_with_ends(stream, segments):
        behind = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if behind < at + 4 and marker != codestream.EOI:  # libjpeg must see the same segments as this loop
            raise Undecodable(detail="a segment of the compressed frame has no length")
        if marker in _TABLES:
            if behind - at > _MOST_TABLE_BYTES:
                raise Undecodable(detail=f"a segment of tables has {behind - at} bytes, more than any can have")
            table, share = (
                _divide_tables(stream[at:behind]) if marker == _QUANTIZATION_TABLES else (stream[at:behind], 0.0)
            )
            pieces.append(table)
            shares.append(share)
        elif marker in codestream.FRAME_HEADERS:
            pieces += [stream[at : at + 4], bytes([_BITS]), stream[at + 5 : behind]]
        elif marker == codestream.START_OF_SCAN and kind in codestream.PROGRESSIVE:
            pieces.append(stream[at:end])
        elif marker == codestream.START_OF_SCAN:
            how = stream[behind - 3 : behind - 2] + b"\0\0" if kind in codestream.LOSSLESS else _WHOLE_BLOCKS
            pieces += [stream[at : behind - 3], how, stream[behind:end]]
    return b"".join([*pieces, b"\xff\xd9"]), max(shares)


def _divide_tables(segment: bytes) -> tuple[bytes, float]:
    """The tables of a DQT *segment* (B.2.4.1) with all values divided, and the largest remaining share of a table's
    first value, which scales the block levels.  Tables with two bytes per value are not changed."""
    pieces, shares, step = [segment[:4]], [0.0], 1 + _COEFFICIENTS
    for position in range(4, len(segment) - 1, step):
        if segment[position] >> 4:
            return segment, 1.0
        pieces += [segment[position : position + 1], segment[position + 1 : position + step].translate(_DIVIDED)]
        shares.append(_DIVIDED[segment[position + 1]] / max(1, segment[position + 1]))
    return b"".join(pieces), max(shares)


def _is_padding(warning: str, stream: bytes) -> bool:
    """Whether *warning* is only about a few bytes of FF or 00 at the end of *stream*, written by some encoders."""
    match = _PADDING.match(warning)
    left = len(stream) - len(stream.rstrip(_PADDING_BYTES))
    return match is not None and int(match[1]) <= min(_MOST_PADDING, left)


def _check_zeros(stream: bytes, segments: Segments, kind: int) -> None:
    """Raise `Undecodable` for a long run of zeros that cannot be codes.

    The all-zero code is the first in its table.  If its symbol ends a block, zeros are flat blocks.  Otherwise they
    would be many blocks with the same negative coefficient at each place, which no picture has.
    """
    firsts = dict[int, int]()
    for marker, at, end in codestream.segments_with_ends(stream, segments):
        if marker == _HUFFMAN_TABLES:
            firsts |= _first_symbols(stream[at + 4 : at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")])
        elif marker == codestream.START_OF_SCAN and _ZEROS in stream[at:end]:
            count = stream[at + 4]
            _, last, approximation = stream[at + 5 + 2 * count : at + 8 + 2 * count]
            used = {0x10 | stream[at + 6 + 2 * number] & 15 for number in range(count)}
            is_first = kind not in codestream.PROGRESSIVE or (last > 0 and approximation < 1 << 4)
            if is_first and any(firsts.get(table, 0) & 15 for table in used):
                raise Undecodable(detail="coded data are missing in the compressed frame: zeros instead of them")


def _first_symbols(tables: bytes) -> dict[int, int]:
    """The symbol of the first code of each Huffman table in a segment (B.2.4.2), by table class and number."""
    firsts, position = dict[int, int](), 0
    while position + 1 + _LENGTHS < len(tables):
        firsts[tables[position]] = tables[position + 1 + _LENGTHS]
        position += 1 + _LENGTHS + sum(tables[position + 1 : position + 1 + _LENGTHS])
    return firsts

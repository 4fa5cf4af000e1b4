"""Whether the coded data of a JPEG are just those that its blocks need, by going along its Huffman codes.

A decoder that lost its place in them finds it again soon, but blocks too early or too late: it comes out with data left
over, or too few, or runs into a code that there is not.  libjpeg says none of it.
"""

from __future__ import annotations

from typing import Final

from firmware_app.errors import Undecodable
from firmware_app.imaging.jpeg import progressive_codes, scans, sequential_codes
from firmware_app.imaging.jpeg.code_tables import Lost, Run, Short, given
from firmware_app.imaging.jpeg.scans import Scan, Segments

_PADDING_BYTES: Final = 3
"""What may be left behind the byte with the last code where all of it is of one kind: an encoder filled up its word."""
_ZEROS: Final = bytes(128)
"""As where a sector of a disk is gone."""
_LENGTHS: Final = 16
_FLAT: Final = (b"\x00", b"\xf0")
"""Symbols: a block's end, and 16 zeros."""


def comes_out(stream: bytes, segments: Segments, frame: int, *, progressive: bool) -> bool:
    """Whether each run has just the codes of its blocks; raises `Undecodable` where they come out wrong.

    False is no verdict: data that end too early may be those of an encoder that left away what makes no difference.
    """
    codes = progressive_codes.Codes()
    try:
        for scan in scans.scans(stream, segments, frame):
            runs = scans.runs(stream, scan)
            if len(runs) != scan.runs:
                return False
            if progressive:
                codes.begin(scan)
            for number, coded in enumerate(runs):
                if not progressive:
                    _check_zeros(scan, coded)
                first = number * scan.interval
                run = Run(coded, first, min(scan.interval or scan.units, scan.units - first))
                end = codes.end_of(scan, run) if progressive else sequential_codes.end_of(scan, run)
                _check_end(coded, end)
    except Lost as lost:
        raise Undecodable(detail=f"coded data are missing in the compressed frame: {lost}") from None
    except (Short, ValueError):
        return False
    return True


def _check_zeros(scan: Scan, coded: bytes) -> None:
    """The code of zeros alone comes first in a table.  Where it ends a block, zeros are flat blocks; else they are
    blocks with the same negative coefficient at each place, several one after the other, as no picture has them."""
    if _ZEROS in coded and any(given(part.ac)[_LENGTHS : _LENGTHS + 1] not in _FLAT for part in scan.parts):
        raise Lost("zeros instead of them")


def _check_end(coded: bytes, end: int) -> None:
    """What is left of the byte with the last code is padding whatever its bits are.  With whole bytes behind it, all of
    it is of one kind, as it is to the end of a word; or ones and then a zero, for an even number of bytes."""
    if end > 8 * len(coded):
        raise Short
    last, behind = (end + 7) >> 3, coded[(end + 7) >> 3 :]
    if not behind:
        return
    ones = (1 << 8 * last - end) - 1
    padding = coded[last - 1] & ones
    zeros = padding in (0, ones) and not behind.strip(b"\0")
    if len(behind) > _PADDING_BYTES or not (zeros or (padding == ones and not behind.strip(b"\xff"))):
        raise Lost("more of them than blocks need")

"""Whether the coded data of a JPEG are just those that its blocks need, by going along its Huffman codes.

A decoder that lost its place in them finds it again soon, but blocks too early or too late: it comes out with data left
over, or too few, or runs into a code that there is not.  libjpeg says none of it.
"""

from __future__ import annotations

from typing import Final

from firmware_app.errors import Undecodable
from firmware_app.imaging import jpeg_scans, progressive_codes, sequential_codes
from firmware_app.imaging.code_tables import Lost, Run, Short, words
from firmware_app.imaging.jpeg_scans import Segments

_PADDING_BITS: Final = 31
"""What may be left behind the last code where all of it is of one kind: an encoder filled up its word."""


def comes_out(stream: bytes, segments: Segments, frame: int, *, progressive: bool) -> bool:
    """Whether each run has just the codes of its blocks; raises `Undecodable` where they come out wrong.

    False is no verdict: data that end too early may be those of an encoder that left away what makes no difference.
    """
    codes = progressive_codes.Codes()
    try:
        for scan in jpeg_scans.scans(stream, segments, frame):
            runs = jpeg_scans.runs(stream, scan)
            if len(runs) != scan.runs:
                return False
            if progressive:
                codes.begin(scan)
            for number, coded in enumerate(runs):
                first = number * scan.interval
                run = Run(words(coded), 8 * len(coded), first, min(scan.interval or scan.units, scan.units - first))
                end = codes.end_of(scan, run) if progressive else sequential_codes.end_of(scan, run)
                _check_end(coded, end)
    except Lost as lost:
        raise Undecodable(detail=f"coded data are missing in the compressed frame: {lost}") from None
    except (Short, ValueError):
        return False
    return True


def _check_end(coded: bytes, end: int) -> None:
    left = 8 * len(coded) - end
    if left < 0:
        raise Short
    if left >= 8:
        rest = int.from_bytes(coded[end >> 3 :], "big") & (1 << left) - 1
        if left > _PADDING_BITS or rest not in (0, (1 << left) - 1):
            raise Lost("more of them than blocks need")

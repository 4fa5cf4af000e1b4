"""Data elements as they are written (PS3.5 7): value representations, byte orders, and where a value lies."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from struct import Struct
from typing import Final

Buffer = bytes | mmap.mmap

PIXEL_DATA: Final = 0x7FE00010

# PS3.5 Table 7.1-1 and 7.1-2: these VRs carry a 32-bit length after two reserved bytes, the others a 16-bit one.
LONG_VRS: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
SHORT_VRS: Final = frozenset(
    (
        b"AE",
        b"AS",
        b"AT",
        b"CS",
        b"DA",
        b"DS",
        b"DT",
        b"FD",
        b"FL",
        b"IS",
        b"LO",
        b"LT",
        b"PN",
        b"SH",
        b"SL",
        b"SS",
        b"ST",
        b"TM",
        b"UI",
        b"UL",
        b"US",
    )
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the elements of a data set are written."""

    explicit: bool
    big_endian: bool


IMPLICIT_LITTLE: Final = Encoding(explicit=False, big_endian=False)
EXPLICIT_LITTLE: Final = Encoding(explicit=True, big_endian=False)
EXPLICIT_BIG: Final = Encoding(explicit=True, big_endian=True)
IMPLICIT_BIG: Final = Encoding(explicit=False, big_endian=True)


class Layout:
    """The Structs of one byte order: tag, VR and short length; tag and long length; a 32-bit length alone."""

    def __init__(self, order: str) -> None:
        self.explicit = Struct(order + "HH2sH")
        self.implicit = Struct(order + "HHL")
        self.length = Struct(order + "L")


LITTLE, BIG = Layout("<"), Layout(">")


@dataclass(frozen=True, slots=True)
class Element:
    """Position and length of an element's value; `fragments` holds the spans of an encapsulated one.

    A sequence of undefined length has length 0 here: only its presence is known.
    """

    tag: int
    start: int
    length: int
    fragments: tuple[tuple[int, int], ...] | None = None


def tag_name(tag: int) -> str:
    """``(7FE0,0010)``: how PS3.5 writes a tag, in any language."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"

"""The scans of a JPEG with Huffman codes: which blocks each one codes, with which tables, and its runs of coded data.

A run goes up to a restart marker or to the segment behind the scan (ISO/IEC 10918-1 B.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from firmware_app.errors import Undecodable

# Each begins with one fixed byte, for which the search is several times faster, and takes one more and no run of them,
# so that a megabyte of FF is gone over once.
RESTART: Final = re.compile(rb"\xff([\xd0-\xd7])")
NO_MARKER: Final = re.compile(rb"\xff[\x01-\x7f]")
"""What libjpeg takes for the end of coded data, and no encoder writes (ISO/IEC 10918-1 B.1.1.2)."""
HUFFMAN_TABLES: Final = 0xC4
QUANTIZATION_TABLES: Final = 0xDB
START_OF_SCAN: Final = 0xDA
RESTART_INTERVAL: Final = 0xDD
_LENGTHS: Final = 16
_BLOCK_PX: Final = 8
_COEFFICIENTS: Final = 64
# At most four components, and ten blocks in an MCU (B.2.3): libjpeg has no room for more.
_MOST_COMPONENTS: Final = 4
_MOST_FACTOR: Final = 4
_MOST_BLOCKS: Final = 10
# The most tables that a segment can name, of the most symbols or of two bytes each; and of all scans that a stream may
# have (`codestream.MOST_SCANS`) with all of their tables anew.
_LONGEST_HUFFMAN: Final = 2 + 8 * (1 + _LENGTHS + 256)
_LONGEST_QUANTIZATION: Final = 2 + 4 * (1 + 2 * _COEFFICIENTS)
_MOST_TABLE_BYTES: Final = 128 * (_LONGEST_HUFFMAN + _LONGEST_QUANTIZATION)
_HIGHEST_DC: Final = 1024
"""Of 8 bits, times its quantizer: what the lightest block has, and the darkest below zero (A.3.3)."""
TOLERANCE: Final = 1.25
"""How far beyond it a whole stream may go, for encoders that do not round as they should."""

Segments = Sequence[tuple[int, int]]
"""(marker, where) of a stream, as `codestream` goes over them."""
Table = bytes
"""As DHT has it (B.2.4.2): how many codes there are of each length from 1 to 16, then their symbols."""


class Part(NamedTuple):
    """A block of an MCU: its component, the tables of its DC and AC codes, and the highest DC coefficient that it may
    have."""

    component: int
    dc: Table | None
    ac: Table | None
    highest: int


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan; *parts* are the blocks of an MCU in their order, and `first` to `approximation` Ss, Se, Ah and Al
    (B.2.3)."""

    begin: int
    end: int
    interval: int
    units: int
    parts: tuple[Part, ...]
    first: int
    last: int
    refined: int
    approximation: int

    @property
    def runs(self) -> int:
        """How many it must have."""
        return -(-self.units // self.interval) if self.interval else 1


def scans(stream: bytes, segments: Segments, frame: int, *, lossless: bool = False) -> Iterator[Scan]:
    """Those of the frame whose header lies at *frame*; raises `Undecodable` where a header is broken."""
    interval, tables, quantizers, table_bytes = 0, dict[int, Table](), dict[int, int](), 0
    try:
        for marker, first, end in with_ends(stream, segments):
            if marker in (HUFFMAN_TABLES, QUANTIZATION_TABLES):
                table_bytes += end - first
                if table_bytes > _MOST_TABLE_BYTES:
                    raise Undecodable(detail=f"{table_bytes} bytes of tables in the compressed frame")
            if marker == RESTART_INTERVAL:
                interval = int.from_bytes(stream[first + 4 : first + 6], "big")
            elif marker == HUFFMAN_TABLES:
                tables |= dict(tables_of(stream, first))
            elif marker == QUANTIZATION_TABLES:
                quantizers |= {number: values[0] for number, _, values in quantizers_of(stream, first)}
            elif marker == START_OF_SCAN:
                components = _components(stream, frame, quantizers)
                yield _scan(stream, frame, (first, end), components, interval, tables, 1 if lossless else _BLOCK_PX)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):
        raise Undecodable(detail="the headers of the compressed frame are broken") from None


def tables_of(stream: bytes, first: int) -> Iterator[tuple[int, Table]]:
    """(class and number, table) of the DHT segment at *first*; raises `Undecodable` where it is longer than any."""
    at, end = _inside(stream, first, _LONGEST_HUFFMAN)
    while at + _LENGTHS < end:
        following = at + 1 + _LENGTHS + sum(stream[at + 1 : at + 1 + _LENGTHS])
        yield stream[at], stream[at + 1 : following]
        at = following


def quantizers_of(stream: bytes, first: int) -> Iterator[tuple[int, int, list[int]]]:
    """(number, bytes of each, all 64) of the DQT segment at *first* (B.2.4.1); as `tables_of`."""
    at, end = _inside(stream, first, _LONGEST_QUANTIZATION)
    while at < end:
        each = 1 + (stream[at] >> 4)
        following = at + 1 + each * _COEFFICIENTS
        values = [int.from_bytes(stream[n : n + each], "big") for n in range(at + 1, following, each)]
        yield stream[at] & 15, each, values
        at = following


def _inside(stream: bytes, first: int, longest: int) -> tuple[int, int]:
    """Where the tables of the segment at *first* begin and end."""
    length = int.from_bytes(stream[first + 2 : first + 4], "big")
    if length > longest:
        raise Undecodable(detail=f"a segment of tables has {length} bytes, which is more than any can have")
    return first + 4, first + 2 + length


def with_ends(stream: bytes, segments: Segments) -> Iterator[tuple[int, int, int]]:
    """(marker, where, where the next one is)"""
    last: tuple[int, int] | None = None
    for segment in segments:
        if last is not None:
            yield *last, segment[1]
        last = segment
    if last is not None:
        yield *last, len(stream)


def runs(stream: bytes, scan: Scan) -> list[bytes]:
    """The coded data of *scan* run by run, with the bytes stuffed into them taken out (F.1.2.3)."""
    coded = RESTART.split(stream[scan.begin : scan.end])[::2]
    # Fill bytes belong to the marker behind them (B.1.1.2).
    return [run.rstrip(b"\xff").replace(b"\xff\0", b"\xff") for run in coded]


class _Component(NamedTuple):
    number: int
    tall: int
    wide: int
    highest: int


def _components(stream: bytes, frame: int, quantizers: dict[int, int]) -> dict[int, _Component]:
    """Those of the frame header at *frame* (B.2.2), by their identifiers."""
    found, highest = dict[int, _Component](), _HIGHEST_DC * TOLERANCE * (1 << max(0, stream[frame + 4] - 8))
    if stream[frame + 9] > _MOST_COMPONENTS:
        raise ValueError("more components than there can be")
    for number in range(stream[frame + 9]):
        name, factors, table = stream[frame + 10 + 3 * number : frame + 13 + 3 * number]
        tall, wide, quantizer = factors & 15, factors >> 4, quantizers.get(table, 0) or 1
        if not (1 <= tall <= _MOST_FACTOR and 1 <= wide <= _MOST_FACTOR):
            raise ValueError("a sampling factor that there is not")
        found[name] = _Component(number, tall, wide, int(highest / quantizer) + 1)
    return found


def _scan(
    stream: bytes,
    frame: int,
    where: tuple[int, int],
    components: dict[int, _Component],
    interval: int,
    tables: dict[int, Table],
    side: int,
) -> Scan:
    at, end = where
    rows, columns = (int.from_bytes(stream[frame + at : frame + at + 2], "big") for at in (5, 7))
    tallest, widest = max(each.tall for each in components.values()), max(each.wide for each in components.values())
    chosen = [(components[stream[at + 5 + 2 * n]], stream[at + 6 + 2 * n]) for n in range(stream[at + 4])]
    if not 1 <= len(chosen) <= _MOST_COMPONENTS:
        raise ValueError("more components than there can be")
    if len(chosen) > 1:  # interleaved (A.2.3)
        if sum(each.tall * each.wide for each, _ in chosen) > _MOST_BLOCKS:
            raise ValueError("more blocks in an MCU than there can be")
        units = -(-rows // (side * tallest)) * -(-columns // (side * widest))
    else:
        alone = chosen[0][0]
        own_rows, own_columns = -(-rows * alone.tall // tallest), -(-columns * alone.wide // widest)
        units = -(-own_rows // side) * -(-own_columns // side)
    parts = [
        Part(each.number, tables.get(used >> 4), tables.get(0x10 | used & 15), each.highest)
        for each, used in chosen
        for _ in range(each.tall * each.wide if len(chosen) > 1 else 1)
    ]
    last = at + 5 + 2 * len(chosen)
    begin = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    bits = stream[last + 2]
    return Scan(begin, end, interval, units, tuple(parts), stream[last], stream[last + 1], bits >> 4, bits & 15)

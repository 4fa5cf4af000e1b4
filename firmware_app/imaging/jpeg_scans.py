"""The scans of a JPEG with Huffman codes: which blocks each one codes, with which tables, and its runs of coded data.

A run goes up to a restart marker or to the segment behind the scan (ISO/IEC 10918-1 B.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from firmware_app.errors import Undecodable

# Written so that it begins with one fixed byte, for which the search is several times faster.
RESTART: Final = re.compile(rb"\xff\xff*([\xd0-\xd7])")
HUFFMAN_TABLES: Final = 0xC4
QUANTIZATION_TABLES: Final = 0xDB
START_OF_SCAN: Final = 0xDA
RESTART_INTERVAL: Final = 0xDD
_LENGTHS: Final = 16
_BLOCK_PX: Final = 8
_COEFFICIENTS: Final = 64
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
    interval, tables, quantizers = 0, dict[int, Table](), dict[int, int]()
    try:
        for marker, first, end in with_ends(stream, segments):
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
    """(class and number, table) of the DHT segment at *first*."""
    at, end = first + 4, first + 2 + int.from_bytes(stream[first + 2 : first + 4], "big")
    while at + _LENGTHS < end:
        following = at + 1 + _LENGTHS + sum(stream[at + 1 : at + 1 + _LENGTHS])
        yield stream[at], stream[at + 1 : following]
        at = following


def quantizers_of(stream: bytes, first: int) -> Iterator[tuple[int, int, list[int]]]:
    """(number, bytes of each, all 64) of the DQT segment at *first* (B.2.4.1)."""
    at, end = first + 4, first + 2 + int.from_bytes(stream[first + 2 : first + 4], "big")
    while at < end:
        each = 1 + (stream[at] >> 4)
        following = at + 1 + each * _COEFFICIENTS
        yield (
            stream[at] & 15,
            each,
            [int.from_bytes(stream[n : n + each], "big") for n in range(at + 1, following, each)],
        )
        at = following


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
    coded = stream[scan.begin : scan.end].rstrip(b"\xff")  # fill bytes belong to the marker behind them (B.1.1.2)
    return [run.replace(b"\xff\0", b"\xff") for run in RESTART.split(coded)[::2]]


class _Component(NamedTuple):
    number: int
    tall: int
    wide: int
    highest: int


def _components(stream: bytes, frame: int, quantizers: dict[int, int]) -> dict[int, _Component]:
    """Those of the frame header at *frame* (B.2.2), by their identifiers."""
    found, highest = dict[int, _Component](), _HIGHEST_DC * TOLERANCE * (1 << max(0, stream[frame + 4] - 8))
    for number in range(stream[frame + 9]):
        name, factors, table = stream[frame + 10 + 3 * number : frame + 13 + 3 * number]
        quantizer = quantizers.get(table, 0) or 1
        found[name] = _Component(number, factors & 15, factors >> 4, int(highest / quantizer) + 1)
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
    if len(chosen) > 1:  # interleaved (A.2.3)
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

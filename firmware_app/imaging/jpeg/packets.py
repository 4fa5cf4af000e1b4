"""The fewest bytes that a JPEG 2000 stream needs for the image in its header; only tiles and packets are counted.

A ratio of bytes to pixels is no test: an all-black frame of 16 megapixels has fewer than 250 bytes.  But every tile has
its own header, and every packet at least one byte, even when empty (ISO/IEC 15444-1 A.4.2, B.10.3).  So a header with
more tiles or precincts than the stream has bytes for is false, and a decoder would allocate memory for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_SOT, _SOD, _COD, _COC = 0x90, 0x93, 0x52, 0x53
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
    for marker, segment in segments(stream, start):
        if marker == _SOT:
            in_tile = True
        elif marker in (_COD, _COC) and in_tile and tiles > 1:
            return _Coding()
        elif marker == _COD and len(segment) >= 10:  # A.6.1
            if in_tile:
                coding.precincts.clear()
            coding.layers = max(1, int.from_bytes(segment[2:4], "big"))
            coding.precincts[None] = _exponents(segment[0], segment[5:])
        elif marker == _COC and len(segment) >= 7:  # A.6.2
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


def segments(stream: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment before the first coded data."""
    position = start + 2
    while position + 4 <= len(stream) and stream[position] == 0xFF and stream[position + 1] != _SOD:
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        yield stream[position + 1], stream[position + 4 : position + 2 + length]
        position += 2 + length

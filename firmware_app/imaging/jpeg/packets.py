"""How few bytes a JPEG 2000 can have for what its header claims: its tiles and packets are counted, nothing is decoded.

No gain in pixels says anything here: an all-black frame of 16 megapixels has fewer than 250 bytes.  But every tile
has its own header, and every packet has at least one byte, also when it is empty (ISO/IEC 15444-1 A.4.2, B.10.3).  So
a header that claims more tiles or precincts than there are bytes for is a lie, and a decoder would set up all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_SOT, _SOD, _COD, _COC = 0x90, 0x93, 0x52, 0x53
_TILE_BYTES: Final = 14  # its SOT segment and its SOD marker
_WHOLE: Final = 0xFF  # precincts of 2^15 samples each way, unless the header says otherwise
_OWN_PRECINCTS: Final = 1


@dataclass(slots=True)
class _Coding:
    """Layers, and the precinct exponents of each resolution, lowest first, by component (None: of all the others)."""

    layers: int = 1
    precincts: dict[int | None, bytes] = field(default_factory=dict)


def fewest_bytes(stream: bytes, start: int, tiles: int) -> int:
    """Bytes that the code stream at *start* has at least, if its image has so many *tiles* and is coded as it says."""
    coding = _coding(stream, start, tiles)
    packets = sum(
        _precincts(stream, start, component, coding.precincts.get(component, coding.precincts.get(None, b"")))
        for component in range(int.from_bytes(stream[start + 40 : start + 42], "big"))
    )
    # Tiles cut precincts and never join them; and each tile has a sample, so at least one packet in a layer.
    return tiles * _TILE_BYTES + coding.layers * max(tiles, packets)


def _coding(stream: bytes, start: int, tiles: int) -> _Coding:
    """From the main header and, where there is one tile only, its own; of several tiles each may have its own."""
    coding, in_tile = _Coding(), False
    for marker, segment in _segments(stream, start):
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
    told = parameters[5 : 5 + resolutions] if style & _OWN_PRECINCTS else b""
    return told.ljust(resolutions, bytes([_WHOLE]))


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


def _segments(stream: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment before the first coded data."""
    at = start + 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != _SOD:
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        yield stream[at + 1], stream[at + 4 : at + 2 + length]
        at += 2 + length

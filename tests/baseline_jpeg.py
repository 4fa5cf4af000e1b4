"""Baseline JPEG (ISO/IEC 10918-1 F.1) with codes as the test wants them: what no encoder at hand writes.

Grey, of blocks that lie 32 to a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BLOCKS_A_ROW: Final = 32
START: Final = {0: "0", 4: "10", 8: "110"}
"""Codes of the differences between blocks, by how many bits follow; 111 is none."""
REST: Final = {0x00: "0", 0x01: "100", 0xF0: "101", 0xF1: "110"}
"""Codes of coefficients, by their symbols: the block's end, 1 bit at once, 16 zeros, 1 bit behind 15; 111 is none."""
FLAT: Final = START[0] + REST[0]


def step(by: int) -> str:
    """The code of a flat block that is 8 to 15, or 128 to 255, more or less than the one before it."""
    size = abs(by).bit_length()
    return START[size] + f"{by if by > 0 else by + (1 << size) - 1:0{size}b}" + REST[0]


def encoded(blocks: Sequence[str], quantizer: int = 8, behind: bytes = b"") -> bytes:
    """A frame of *blocks*, each the bits of its codes; *behind* comes before the end of the image."""
    bits = "".join(blocks)
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    rows = 8 * (len(blocks) // BLOCKS_A_ROW)
    frame = bytes([8]) + rows.to_bytes(2) + (8 * BLOCKS_A_ROW).to_bytes(2) + bytes([1, 1, 0x11, 0])
    return (
        b"\xff\xd8"
        + _segment(0xDB, bytes([0]) + bytes([quantizer]) * 64)
        + _segment(0xC0, frame)
        + _segment(0xC4, bytes([0]) + _table(START) + bytes([0x10]) + _table(REST))
        + _segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))
        + coded
        + behind
        + b"\xff\xd9"
    )


def _table(codes: dict[int, str]) -> bytes:
    lengths = [len(code) for code in codes.values()]
    return bytes(lengths.count(length) for length in range(1, 17)) + bytes(codes)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body

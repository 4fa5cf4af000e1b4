"""JPEG lossless (ISO/IEC 10918-1 H) in the forms that no encoder at hand writes: every predictor, precision and shift.

Each category of differences has a code of five bits, so the streams are longer than they need be and the encoder is
short.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

_HALF: Final = 32_768
_CATEGORIES: Final = 17


def encode_lossless(
    samples: np.ndarray[Any, Any], bits: int, predictor: int = 1, shift: int = 0, lines: int = 0, markers: bytes = b""
) -> bytes:
    """*samples* (H, W) or (H, W, 3) of *bits*, without the lowest *shift* of them, with a restart every *lines* lines.

    *markers* are segments before the frame header.
    """
    planes = np.atleast_3d(samples).astype(np.int64) >> shift
    rows, columns, components = planes.shape
    numbers = range(1, components + 1)
    frame = bytes([bits]) + rows.to_bytes(2) + columns.to_bytes(2) + bytes([components])
    out = b"\xff\xd8" + markers
    out += _segment(0xC3, frame + b"".join(bytes([number, 0x11, 0]) for number in numbers))
    out += _segment(0xC4, bytes([0, 0, 0, 0, 0, _CATEGORIES]) + bytes(11) + bytes(range(_CATEGORIES)))
    out += _segment(0xDD, (lines * columns).to_bytes(2)) if lines else b""
    scan = bytes([components]) + b"".join(bytes([number, 0]) for number in numbers)
    out += _segment(0xDA, scan + bytes([predictor, 0, shift]))
    for number, first in enumerate(range(0, rows, lines or rows)):
        out += bytes([0xFF, 0xD0 + (number - 1) % 8]) if number else b""
        out += _encode_scan(planes[first : first + (lines or rows)], predictor, 1 << (bits - shift - 1))
    return out + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def _encode_scan(planes: np.ndarray[Any, Any], predictor: int, middle: int) -> bytes:
    """The entropy-coded segment of lines that begin anew, by table H.1 and H.1.2.1."""
    rows, columns, components = planes.shape
    code = []
    for y, x, component in np.ndindex(rows, columns, components):
        plane = planes[..., component]
        left = int(plane[y, x - 1]) if x else 0
        above = int(plane[y - 1, x]) if y else 0
        guess = left if x and not y else above if y and not x else middle
        if x and y:
            guess = _predict(predictor, left, above, int(plane[y - 1, x - 1]))
        code.append(_encode_difference((int(plane[y, x]) - guess + _HALF) % (2 * _HALF) - _HALF))
    bits = "".join(code)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")


def _predict(predictor: int, left: int, above: int, corner: int) -> int:
    return (
        left,
        above,
        corner,
        left + above - corner,
        left + ((above - corner) >> 1),
        above + ((left - corner) >> 1),
        (left + above) >> 1,
    )[predictor - 1]


def _encode_difference(value: int) -> str:
    if value == -_HALF:  # category 16 has no further bits
        return f"{16:05b}"
    category = abs(value).bit_length()
    rest = value if value > 0 else value + (1 << category) - 1
    return f"{category:05b}" + (f"{rest:0{category}b}" if category else "")

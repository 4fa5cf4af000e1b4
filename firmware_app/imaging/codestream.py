"""What a compressed frame says of its own size, read from its first marker segments without decoding it.

A 1 kB JPEG 2000 whose DICOM header claims 64 × 64 while its stream claims 12000 × 12000 costs 400 MB in a decoder.  The
stream's own word is therefore compared with the DICOM header before any decoder sees it.
"""

from __future__ import annotations

from typing import Final

from firmware_app.errors import Undecodable

_SOI: Final = b"\xff\xd8"
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE: Final = b"\x00\x00\x00\x0cjP"
# ISO/IEC 10918-1 table B.1: frame headers are FFC0..FFCF without DHT, JPG, DAC; ISO/IEC 14495-1 adds SOF55 (FFF7).
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
# PS3.5 Annex G: PackBits turns two bytes into at most 128.
_RLE_GAIN: Final = 64


def size(stream: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 *stream* announces; None when it is none of these."""
    if stream.startswith(_SOI):
        return _jpeg_size(stream)
    start = stream.find(_SOC_SIZ, 0, 4096) if stream.startswith(_JP2_SIGNATURE) else 0
    if start >= 0 and stream.startswith(_SOC_SIZ, start) and len(stream) >= start + 24:
        # ISO/IEC 15444-1 A.5.1: Lsiz, Rsiz, then Xsiz, Ysiz, XOsiz, YOsiz
        x, y, x0, y0 = (int.from_bytes(stream[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
        return y - y0, x - x0
    return None


def check(stream: bytes, rows: int, columns: int, *, rle: bool, frame_bytes: int) -> None:
    """Raise `Undecodable` unless *stream* can be a frame of *rows* × *columns* (*frame_bytes* when decoded)."""
    if rle:
        if len(stream) < 64 or len(stream) * _RLE_GAIN < frame_bytes:
            raise Undecodable(detail=f"{len(stream)} bytes of RLE cannot hold {columns} × {rows} pixels")
        return
    found = size(stream)
    if found is None:
        raise Undecodable(detail="the compressed frame has no header")
    if found != (rows, columns):
        raise Undecodable(detail=f"the compressed frame is {found[1]} × {found[0]}, its header says {columns} × {rows}")


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker in _FRAME_HEADERS:
            return int.from_bytes(stream[at + 5 : at + 7], "big"), int.from_bytes(stream[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None

"""Pictures that are not DICOM: a film as PNG, JPEG, BMP, TIFF or WebP, known by its first bytes.

Where the format says where it ends, a picture that ends earlier is refused like a cut DICOM object.
"""

from __future__ import annotations

import os
from struct import unpack
from typing import Final

from firmware_app.errors import Truncated

HEAD_BYTES: Final = 16
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_TAIL = 65536  # some cameras append a trailer after the end-of-image marker


def kind(head: bytes) -> str | None:
    """The file suffix of the picture format that *head* begins, or None."""
    if head.startswith(_PNG):
        return ".png"
    if head.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if head.startswith(b"BM") and len(head) >= 14 and head[6:10] == bytes(4):
        return ".bmp"
    if head.startswith((b"II*\0", b"MM\0*")):
        return ".tif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ".webp"
    return None


def check_complete(descriptor: int, suffix: str) -> None:
    """Raise `Truncated` when the picture in *descriptor* ends before its format says it does."""
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, HEAD_BYTES, 0)
    if suffix == ".png":
        whole = _png_reaches_its_end(descriptor, size)
    elif suffix == ".jpg":
        whole = b"\xff\xd9" in os.pread(descriptor, _JPEG_TAIL, max(2, size - _JPEG_TAIL))
    elif suffix == ".bmp":
        whole = len(head) == HEAD_BYTES and size >= int.from_bytes(head[2:6], "little")
    elif suffix == ".webp":
        whole = len(head) == HEAD_BYTES and size >= int.from_bytes(head[4:8], "little") + 8
    else:
        whole = size > HEAD_BYTES  # TIFF: its parts may lie anywhere, only decoding shows what is missing
    if not whole:
        raise Truncated(where=suffix.removeprefix(".").upper())


def _png_reaches_its_end(descriptor: int, size: int) -> bool:
    """Follow the chunk lengths to IEND (ISO/IEC 15948 5.3)."""
    position = len(_PNG)
    while position + 12 <= size:
        length, name = unpack(">L4s", os.pread(descriptor, 8, position))
        position += 12 + length
        if name == b"IEND":
            return bool(position <= size)
    return False

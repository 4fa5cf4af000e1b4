"""Recognises images that are not DICOM by their first bytes: PNG, JPEG, BMP, TIFF, WebP, and MP4, AVI, MPEG clips.

Each format marks its end, so a file that ends earlier is refused like a cut DICOM object.
"""

from __future__ import annotations

import mmap
import os
import re
from struct import unpack
from typing import Final

from firmware_app.core.errors import EndNotMarked, Truncated
from firmware_app.dicom.headers import clip_extent, tiff_extent

HEAD_BYTES: Final = 16
_PNG = b"\x89PNG\r\n\x1a\n"
# Inside the coded data of a JPEG, FF is followed by 00 or by a restart marker (ISO/IEC 10918-1 B.1.1.5).
_MARKER_IN_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_BMP_HEADERS = 14 + 40
_PROGRAM_STREAM: Final = b"\0\0\1\xba"
_UNCOMPRESSED: Final = (0, 3)
# Major brands of HEIF and AVIF (ISO/IEC 23008-12 10.2 and annex B, AV1 Image File Format 6), stills and sequences:
# pictures in the same box format as an MP4 clip.
_PHONE_BRANDS: Final = frozenset(b"mif1 mif2 msf1 heic heix heim heis hevc hevx hevm hevs avif avis".split())


def kind(head: bytes) -> str | None:
    """The file suffix of the format that *head*, a file's first bytes, belongs to; None for an unknown one."""
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
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return ".avi"
    if head.startswith(_PROGRAM_STREAM):
        return ".mpg"
    if head[4:8] == b"ftyp" and not is_of_a_phone(head):
        return ".mp4"  # also QuickTime, which has the same structure (ISO/IEC 14496-12 4.3)
    return None


def is_of_a_phone(head: bytes) -> bool:
    """Whether *head* begins a HEIC or AVIF picture.  The box opens none; the refusal tells people what to do."""
    return head[4:8] == b"ftyp" and head[8:12] in _PHONE_BRANDS


def check_complete(descriptor: int, suffix: str) -> None:
    """Raise `Truncated` (or its subclass `EndNotMarked`) when the picture or clip in *descriptor* is cut.

    The file is mapped into memory, so it must be the box's own copy, which nothing shortens meanwhile.
    """
    size = os.fstat(descriptor).st_size
    if size <= HEAD_BYTES:
        raise Truncated(where=suffix.removeprefix(".").upper())
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as data:
        if suffix == ".png":
            whole = _png_reaches_its_end(data)
        elif suffix == ".jpg":
            whole = _jpeg_reaches_its_end(data)
        elif suffix == ".bmp":
            whole = size >= (int.from_bytes(data[2:6], "little") or _bmp_needs(data))
        elif suffix == ".webp":
            whole = size >= int.from_bytes(data[4:8], "little") + 8
        elif suffix == ".avi":
            whole = clip_extent.avi_reaches_its_end(data)
        elif suffix == ".mp4":
            whole = clip_extent.mp4_reaches_its_end(data)
        elif suffix == ".mpg":
            whole = clip_extent.program_stream_reaches_its_end(data)
        else:
            whole = tiff_extent.reaches_its_end(data)
    if not whole and suffix == ".mpg":
        raise EndNotMarked(where="MPEG")
    if not whole:
        raise Truncated(where=suffix.removeprefix(".").upper())


def _png_reaches_its_end(data: mmap.mmap) -> bool:
    """Follow the chunk lengths to IEND (ISO/IEC 15948 5.3)."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length, name = unpack(">L4s", data[position : position + 8])
        position += 12 + length
        if name == b"IEND":
            return bool(position <= len(data))
    return False


def _jpeg_reaches_its_end(data: mmap.mmap) -> bool:
    """Follow segments and scans to the end-of-image marker; a thumbnail's marker inside a segment does not count."""
    position = 2
    while position + 4 <= len(data) + 2:
        if data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker == _END_OF_IMAGE:
            return True
        if marker == 0xFF or marker in _ALONE:
            position += 1 if marker == 0xFF else 2
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            following = _MARKER_IN_SCAN.search(data, position)
            if following is None:
                return False
            position = following.start()
    return False


def _bmp_needs(data: mmap.mmap) -> int:
    """Bytes that a BMP without a size in its file header needs, from its image header; 0 where that is unknown."""
    if len(data) < _BMP_HEADERS:
        return _BMP_HEADERS
    start, header, width, height, _, bits, compression, stated = unpack("<LLllHHLL", data[10 : 10 + 28])
    if header < 40:
        return 0
    rows = abs(height) * ((abs(width) * bits + 31) // 32 * 4) if compression in _UNCOMPRESSED else stated
    return int(start + rows)

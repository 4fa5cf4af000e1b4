"""Recognise images that are not DICOM by their first bytes, and check that they are complete.

The formats are PNG, JPEG, BMP, TIFF (6.0) and WebP, and clips in MP4 and QuickTime (ISO/IEC 14496-12), AVI (RIFF,
OpenDML) and MPEG program streams (ISO/IEC 11172-1, 13818-1 2.5.3).  Each format marks its end or the lengths of its
parts, so a file that ends earlier is refused like a cut DICOM object.
"""

from __future__ import annotations

import mmap
import os
import re
from struct import Struct, unpack
from typing import Final

from firmware_app.dicom.data_elements import Buffer
from firmware_app.dicom.errors import END_NOT_MARKED, Truncated

HEAD_BYTES: Final = 16
_PNG = b"\x89PNG\r\n\x1a\n"
# Inside the coded data of a JPEG, FF is followed by 00 or by a restart marker (ISO/IEC 10918-1 B.1.1.5).
_MARKER_IN_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_BMP_HEADERS = 14 + 40
_PROGRAM_STREAM: Final = b"\0\0\1\xba"
_BMP_UNCOMPRESSED: Final = (0, 3)
# Major brands of HEIF and AVIF (ISO/IEC 23008-12 10.2 and annex B, AV1 Image File Format 6), stills and sequences:
# pictures in the same box format as an MP4 clip.
_PHONE_BRANDS: Final = frozenset(b"mif1 mif2 msf1 heic heix heim heis hevc hevx hevm hevs avif avis".split())


def detect_format(head: bytes) -> str | None:
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
    if head[4:8] == b"ftyp" and not is_phone_picture(head):
        return ".mp4"  # also QuickTime, which has the same structure (ISO/IEC 14496-12 4.3)
    return None


def is_phone_picture(head: bytes) -> bool:
    """Whether *head* begins a HEIC or AVIF picture.  The box opens none; the refusal tells people what to do."""
    return head[4:8] == b"ftyp" and head[8:12] in _PHONE_BRANDS


def check_complete(descriptor: int, suffix: str) -> None:
    """Raise `Truncated` (or its subclass `END_NOT_MARKED`) when the picture or clip in *descriptor* is cut.

    The file is mapped into memory, so it must be the box's own copy, which nothing shortens meanwhile.
    """
    size = os.fstat(descriptor).st_size
    if size <= HEAD_BYTES:
        raise Truncated(where=suffix.removeprefix(".").upper())
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as data:
        if suffix == ".png":
            whole = _is_complete_png(data)
        elif suffix == ".jpg":
            whole = _is_complete_jpeg(data)
        elif suffix == ".bmp":
            whole = size >= (int.from_bytes(data[2:6], "little") or _bmp_bytes_needed(data))
        elif suffix == ".webp":
            whole = size >= int.from_bytes(data[4:8], "little") + 8
        elif suffix == ".avi":
            whole = is_complete_avi(data)
        elif suffix == ".mp4":
            whole = is_complete_mp4(data)
        elif suffix == ".mpg":
            whole = is_complete_program_stream(data)
        else:
            whole = is_complete_tiff(data)
    if not whole and suffix == ".mpg":
        raise END_NOT_MARKED(where="MPEG")
    if not whole:
        raise Truncated(where=suffix.removeprefix(".").upper())


def _is_complete_png(data: mmap.mmap) -> bool:
    """Follow the chunk lengths to IEND (ISO/IEC 15948 5.3)."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length, name = unpack(">L4s", data[position : position + 8])
        position += 12 + length
        if name == b"IEND":
            return bool(position <= len(data))
    return False


def _is_complete_jpeg(data: mmap.mmap) -> bool:
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


def _bmp_bytes_needed(data: mmap.mmap) -> int:
    """Bytes that a BMP without a size in its file header needs, from its image header; 0 where that is unknown."""
    if len(data) < _BMP_HEADERS:
        return _BMP_HEADERS
    start, header, width, height, _, bits, compression, stated = unpack("<LLllHHLL", data[10 : 10 + 28])
    if header < 40:
        return 0
    rows = abs(height) * ((abs(width) * bits + 31) // 32 * 4) if compression in _BMP_UNCOMPRESSED else stated
    return int(start + rows)


_MOST_BOXES: Final = 200_000
_INDEX, _MEDIA = b"moov", (b"mdat", b"moof")
_MOST_PACKETS: Final = 500_000
_BYTES_OF_A_PACKET: Final = 512
"""One more packet is allowed for each 512 bytes: FFmpeg writes two headers for each 2 KB, and clips may be long."""
_PREFIX: Final = b"\0\0\1"
_END_CODE, _PACK, _SYSTEM_HEADER, _PADDING, _FIRST_VIDEO = 0xB9, 0xBA, 0xBB, 0xBE, 0xE0
_PACKETS: Final = range(0xBB, 0x100)
_VIDEO: Final = range(0xE0, 0xF0)


def is_complete_mp4(data: Buffer) -> bool:
    """Follow the top-level boxes to the last byte; an index and a media box must be among them.

    A box declared as "to the end of the file" looks the same when it is cut, so it is refused; no camera writes it.
    """
    position, names = 0, set()
    for _ in range(_MOST_BOXES):
        if position == len(data):
            return _INDEX in names and any(name in names for name in _MEDIA)
        if position + 8 > len(data):
            return _is_padding(data, position)
        length, name = unpack(">L4s", data[position : position + 8])
        if length == 1 and position + 16 <= len(data):
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if length < 8 or position + length > len(data):
            return False
        names.add(name)
        position += length
    return False


def is_complete_avi(data: Buffer) -> bool:
    """Every RIFF list of the file (long clips have several) lies within it, and the first holds frames."""
    position, has_frames = 0, False
    for _ in range(_MOST_BOXES):
        if position + 12 > len(data):
            break
        if data[position : position + 4] != b"RIFF":
            break  # data that some programs append to the clip
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if length < 4 or position + 8 + length > len(data):
            return False
        has_frames = has_frames or _holds_frames(data, position + 12, position + 8 + length)
        position += 8 + length + length % 2
    return has_frames


def _holds_frames(data: Buffer, position: int, end: int) -> bool:
    """Whether the chunks from *position* fill the list to its *end* and one of them is the list of frames."""
    seen = False
    for _ in range(_MOST_BOXES):
        if position + 8 > end:
            return seen
        name, length = unpack("<4sL", data[position : position + 8])
        if position + 8 + length > end:
            return False
        seen = seen or (name == b"LIST" and data[position + 8 : position + 12] == b"movi")
        position += 8 + length + length % 2
    return False


def is_complete_program_stream(data: Buffer) -> bool:
    """Follow packs and packets to the last byte, to the end code or FFmpeg's substitute for it.

    FFmpeg pads the last pack, and no other, of a film without sound.  When the last pack happens to be full it writes
    neither, and such a stream cannot be told from a cut one.
    """
    position, paddings, code, codes = 0, 0, 0, set[int]()
    for _ in range(_MOST_PACKETS + len(data) // _BYTES_OF_A_PACKET):
        if position == len(data) or code == _END_CODE:
            is_silent = codes <= {_PACK, _SYSTEM_HEADER, _PADDING, _FIRST_VIDEO}
            whole = code == _END_CODE or (code == _PADDING and paddings == 1 and is_silent)
            return whole and not codes.isdisjoint(_VIDEO) and _is_padding(data, position)
        head = data[position : position + 14].ljust(14, b"\0")
        code, length = head[3], 6 + int.from_bytes(head[4:6], "big")
        if code == _PACK:
            length = 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
        elif code == _END_CODE:
            length = 4
        elif code not in _PACKETS or length == 6:  # only other kinds of stream have packets without a length
            return False
        if not head.startswith(_PREFIX) or position + length > len(data):
            return False
        paddings += code == _PADDING
        codes.add(code)
        position += length
    return False


def _is_padding(data: Buffer, position: int) -> bool:
    return not any(data[position:])


_MOST_PAGES: Final = 2_000
"""Twice as many as are opened (`imaging.picture`); a file with more pages is refused in any case."""
_MOST_PIECES: Final = 4_000_000
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SHORT: Final = 3
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
# Where the pixels lie and how long they are: strips, tiles, and the JPEG stream of old files.
_PIECES: Final = ((273, 279), (324, 325), (513, 514))
_TIFF_UNCOMPRESSED: Final = 1

_Entries = dict[int, tuple[int, int, int]]  # tag → (type, count, where its values lie)


def is_complete_tiff(data: Buffer) -> bool:
    """Follow the directories of all pages; False as soon as one of them points beyond the file."""
    order = "<" if data[:2] == b"II" else ">"
    short, long = Struct(order + "H"), Struct(order + "L")
    at: int = long.unpack_from(data, 4)[0]
    seen: set[int] = set()
    while at and at not in seen and len(seen) < _MOST_PAGES:
        seen.add(at)
        if at + 2 > len(data):
            return False
        count = short.unpack_from(data, at)[0]
        end = at + 2 + 12 * count
        if end + 4 > len(data):
            return False
        entries = _entries(data, at + 2, count, order)
        if entries is None or not _has_pixels(data, entries, order):
            return False
        at = long.unpack_from(data, end)[0]
    return bool(seen)


def _entries(data: Buffer, at: int, count: int, order: str) -> _Entries | None:
    """The entries of one directory; None when a value lies beyond the file."""
    entry, long = Struct(order + "HHL"), Struct(order + "L")
    entries: _Entries = {}
    for position in range(at, at + 12 * count, 12):
        tag, kind, number = entry.unpack_from(data, position)
        length = _SIZES.get(kind, 0) * number
        where = position + 8 if length <= 4 else long.unpack_from(data, position + 8)[0]
        if where + length > len(data):
            return None
        entries[tag] = (kind, number, where)
    return entries


def _has_pixels(data: Buffer, entries: _Entries, order: str) -> bool:
    named = False
    for where, how_long in _PIECES:
        starts, lengths = _values(data, entries, where, order), _values(data, entries, how_long, order)
        if not starts:
            continue
        named = True
        if not lengths and len(starts) == 1:  # TIFF 6.0 requires the lengths, but old writers leave them out
            lengths = (_count_page_bytes(data, entries, order),)
        if any(start > len(data) for start in starts):
            return False
        if any(start + length > len(data) for start, length in zip(starts, lengths, strict=False)):
            return False
    return named


def _count_page_bytes(data: Buffer, entries: _Entries, order: str) -> int:
    """Bytes of one strip with the whole page; 1 where it is compressed, because only its start can be checked."""
    width, rows, bits, packed, samples = (
        (_values(data, entries, tag, order) or (1,))[0] for tag in (_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES)
    )
    return (width * bits * samples + 7) // 8 * rows if packed == _TIFF_UNCOMPRESSED else 1


def _values(data: Buffer, entries: _Entries, tag: int, order: str) -> tuple[int, ...]:
    kind, number, where = entries.get(tag, (0, 0, 0))
    if not 0 < number <= _MOST_PIECES or kind not in (3, 4):
        return ()
    return Struct(f"{order}{number}{'H' if kind == _SHORT else 'L'}").unpack_from(data, where)

"""Whether a clip is complete: by its boxes in MP4 and QuickTime (ISO/IEC 14496-12) and AVI (RIFF, OpenDML), by its
packets in MPEG program streams (ISO/IEC 11172-1, 13818-1 2.5.3)."""

from __future__ import annotations

from struct import unpack
from typing import Final

from firmware_app.dicom.headers.element_stream import Buffer

_MOST_BOXES: Final = 200_000
_INDEX, _MEDIA = b"moov", (b"mdat", b"moof")
_MOST_PACKETS: Final = 500_000
_BYTES_OF_A_PACKET: Final = 512
"""One more packet is allowed for each 512 bytes: FFmpeg writes two headers for each 2 KB, and clips may be long."""
_PREFIX: Final = b"\0\0\1"
_END, _PACK, _SYSTEM_HEADER, _PADDING, _FIRST_VIDEO = 0xB9, 0xBA, 0xBB, 0xBE, 0xE0
_PACKETS: Final = range(0xBB, 0x100)
_VIDEO: Final = range(0xE0, 0xF0)


def mp4_reaches_its_end(data: Buffer) -> bool:
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


def avi_reaches_its_end(data: Buffer) -> bool:
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


def program_stream_reaches_its_end(data: Buffer) -> bool:
    """Follow packs and packets to the last byte, to the end code or FFmpeg's substitute for it.

    FFmpeg pads the last pack, and no other, of a film without sound.  When the last pack happens to be full it writes
    neither, and such a stream cannot be told from a cut one.
    """
    position, paddings, code, codes = 0, 0, 0, set[int]()
    for _ in range(_MOST_PACKETS + len(data) // _BYTES_OF_A_PACKET):
        if position == len(data) or code == _END:
            is_silent = codes <= {_PACK, _SYSTEM_HEADER, _PADDING, _FIRST_VIDEO}
            whole = code == _END or (code == _PADDING and paddings == 1 and is_silent)
            return whole and not codes.isdisjoint(_VIDEO) and _is_padding(data, position)
        head = data[position : position + 14].ljust(14, b"\0")
        code, length = head[3], 6 + int.from_bytes(head[4:6], "big")
        if code == _PACK:
            length = 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
        elif code == _END:
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

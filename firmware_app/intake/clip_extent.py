"""Whether a clip is whole, by the lengths of its boxes: MP4 and QuickTime (ISO/IEC 14496-12), AVI (RIFF, OpenDML)."""

from __future__ import annotations

from struct import unpack
from typing import Final

from firmware_app.intake.element_stream import Buffer

_MOST_BOXES: Final = 200_000
_INDEX, _MEDIA = b"moov", (b"mdat", b"moof")


def mp4_reaches_its_end(data: Buffer) -> bool:
    """Follow the top-level boxes to the last byte; index and media must both have been among them.

    A box that runs to the end of the file, however long that is, cannot be told from a cut one: cameras do not end so.
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
            break  # what some programs append behind the clip
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


def _is_padding(data: Buffer, position: int) -> bool:
    return not any(data[position:])

"""Whether a TIFF is complete: every directory, value, strip and tile in it lies within the file (TIFF 6.0)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from firmware_app.dicom.headers.element_stream import Buffer

_MOST_PAGES: Final = 2_000
"""Twice as many as are opened (`imaging.picture`); a file with more pages is refused in any case."""
_MOST_PIECES: Final = 4_000_000
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SHORT: Final = 3
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
# Where the pixels lie and how long they are: strips, tiles, and the JPEG stream of old files.
_PIECES: Final = ((273, 279), (324, 325), (513, 514))
_UNCOMPRESSED: Final = 1

_Entries = dict[int, tuple[int, int, int]]  # tag → (type, count, where its values lie)


def reaches_its_end(data: Buffer) -> bool:
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
        if entries is None or not _pixels_there(data, entries, order):
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


def _pixels_there(data: Buffer, entries: _Entries, order: str) -> bool:
    named = False
    for where, how_long in _PIECES:
        starts, lengths = _values(data, entries, where, order), _values(data, entries, how_long, order)
        if not starts:
            continue
        named = True
        if not lengths and len(starts) == 1:  # TIFF 6.0 requires the lengths, but old writers leave them out
            lengths = (_uncompressed(data, entries, order),)
        if any(start > len(data) for start in starts):
            return False
        if any(start + length > len(data) for start, length in zip(starts, lengths, strict=False)):
            return False
    return named


def _uncompressed(data: Buffer, entries: _Entries, order: str) -> int:
    """Bytes of one strip with the whole page; 1 where it is compressed, because only its start can be checked."""
    width, rows, bits, packed, samples = (
        (_values(data, entries, tag, order) or (1,))[0] for tag in (_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES)
    )
    return (width * bits * samples + 7) // 8 * rows if packed == _UNCOMPRESSED else 1


def _values(data: Buffer, entries: _Entries, tag: int, order: str) -> tuple[int, ...]:
    kind, number, where = entries.get(tag, (0, 0, 0))
    if not 0 < number <= _MOST_PIECES or kind not in (3, 4):
        return ()
    return Struct(f"{order}{number}{'H' if kind == _SHORT else 'L'}").unpack_from(data, where)

"""The folders of an exFAT volume (Microsoft: exFAT file system specification, 2019, sections 6 and 7).

A folder does not begin with itself here as FAT's do, so one whose only block was wiped out looks like an empty one.
What tells is the map of used clusters: an image lies in some of them, and no folder leads to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from struct import unpack_from
from typing import Final

from firmware_app.intake.stick.exfat_volume import MOST_FOLDER, Extent, Lost, Volume
from firmware_app.intake.stick.medium import MOST_ENTRIES, Damage, Medium, Unknown
from firmware_app.intake.stick.search import MOST_DEPTH, is_passed_by

_ENTRY: Final = 32
_SECTOR: Final = 512
_IN_USE, _SECONDARY = 0x80, 0x40  # section 6.2.1
_END, _BITMAP, _TABLE, _LABEL, _FILE, _STREAM, _NAME = 0x00, 0x81, 0x82, 0x83, 0x85, 0xC0, 0xC1
_OF_THE_ROOT: Final = frozenset({_BITMAP, _TABLE, _LABEL})
# Those of section 7, TexFAT's padding and Windows CE's access list; without the bit of use, what was deleted.
_KNOWN: Final = frozenset({*_OF_THE_ROOT, _FILE, 0xA0, 0xA1, _STREAM, _NAME, 0xE0, 0xE1, 0xE2})
_LETTERS: Final = 15  # in an entry of a name
_FOLDER: Final = 0x10
_IN_ONE_PIECE: Final = 2
_MOST_LOST: Final = 1024
_MOST_DELETED: Final = 1 << 14  # a stranger may have marked any number
_DICM: Final = b"DICM"


@dataclass(frozen=True, slots=True)
class _Set:
    """What one set of entries names.  Without a name: the map of used clusters, or the table of upper case letters."""

    kind: int
    extent: Extent
    name: str = ""
    is_folder: bool = False
    is_late: bool = False
    """Whether it stands behind the mark of the folder's end, where nothing may stand."""
    is_deleted: bool = False


@dataclass(slots=True)
class _Folder:
    """A folder to be read (the root has no extent), and how it ends."""

    extent: Extent | None = None
    depth: int = 0
    counts: bool = True
    ends_with_a_sector: bool = False
    """Whether the mark of its end begins a sector, as if what stood there had been wiped out."""


def files(medium: Medium) -> int:
    """How many files the search would find; raises `Damage` or `Unknown`."""
    volume = Volume(medium)
    lost = Lost(volume, _map(volume))
    read = bytearray(-(-volume.end // 8))
    count = entries = 0
    late, deleted, may_hold_more = list[int](), set[Extent](), False
    waiting, walked = [_Folder()], {volume.root}
    while waiting:
        folder = waiting.pop()
        for one in _sets(folder, volume, _once(folder, volume, read, lost)):
            if one.is_deleted:
                if one.extent.first in lost and len(deleted) < _MOST_DELETED:
                    deleted.add(one.extent)
                continue
            entries += 1
            if entries > MOST_ENTRIES:
                raise Unknown
            if one.is_late:
                late.append(one.extent.first)
                continue
            if not one.is_folder:
                lost.take(one.extent)
            seen = folder.counts and not is_passed_by(one.name)
            if one.is_folder and one.extent.size and one.extent.first not in walked:
                walked.add(one.extent.first)
                waiting.append(_Folder(one.extent, folder.depth + 1, seen and folder.depth < MOST_DEPTH))
            elif one.kind == _FILE and not one.is_folder:
                count += seen
        may_hold_more |= folder.ends_with_a_sector
    if any(first in lost for first in late):
        raise Damage
    if may_hold_more and volume.is_clean and (head := _image(lost, volume)) is not None:
        # The power may have gone between the mark on a file's entries and the freeing of its clusters.  That leaves
        # one file.  Of several, whose clusters old deleted entries may name by chance, it is not believed.
        extent = next((one for one in deleted if one.first == head and lost.is_just(one)), None)
        if extent is None:
            raise Damage
        lost.take(extent)
        if _image(lost, volume) is not None:
            raise Damage
    return count


def _map(volume: Volume) -> Extent:
    """Where the map of used clusters is; its entry stands in the root."""
    root = _Folder()
    for one in _sets(root, volume, _once(root, volume, bytearray(-(-volume.end // 8)))):
        if one.kind == _BITMAP:
            return one.extent
    raise Damage


def _once(folder: _Folder, volume: Volume, read: bytearray, lost: Lost | None = None) -> Iterator[int]:
    """The clusters of a folder, each of which is one folder's, and in that once; *read* has a bit for each."""
    chain = volume.chain(volume.root) if folder.extent is None else volume.clusters(folder.extent)
    for step, number in enumerate(chain):
        byte, bit = number >> 3, 1 << (number & 7)
        if read[byte] & bit or step * volume.cluster > MOST_FOLDER:
            raise Damage
        read[byte] |= bit
        if lost is not None:
            lost.take(Extent(number, 1, is_straight=True))
        yield number


def _entries(volume: Volume, clusters: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    """The entries of a folder, and where in it they stand; of many that are empty, the first."""
    at = 0
    for number in clusters:
        for piece in volume.pieces(number):
            for start in range(0, len(piece) if any(piece) else _ENTRY, _ENTRY):
                yield at + start, piece[start : start + _ENTRY]
            at += len(piece)


def _sets(folder: _Folder, volume: Volume, clusters: Iterator[int]) -> Iterator[_Set]:
    """What a folder names; raises `Damage` for what no driver writes before the mark of its end."""
    part, deleted, missing, deleted_to, is_late = bytearray(), bytearray(), 0, 0, False
    for at, entry in _entries(volume, clusters):
        kind = entry[0]
        is_secondary = kind & (_IN_USE | _SECONDARY) == _IN_USE | _SECONDARY
        if missing and is_secondary:
            part, missing = part + entry, missing - 1
            if not missing and (found := _set(bytes(part), is_late, volume)) is not None:
                yield found
            continue
        if missing and not is_late:  # the set is cut off
            raise Damage
        missing = 0
        deleted = _deleted(deleted, entry)
        if deleted and not is_late and len(deleted) == (1 + deleted[1]) * _ENTRY:
            old = _set(bytes(deleted), True, volume)
            if old is not None and not old.is_folder and old.extent.size:
                yield replace(old, is_late=False, is_deleted=True)
        if kind == _END:
            if not is_late:
                folder.ends_with_a_sector = at % _SECTOR == 0
            is_late = True
        elif kind == _FILE:
            part, missing = bytearray(entry), entry[1]
            if not missing and not is_late:
                raise Damage
        elif is_late:
            continue
        elif is_secondary:
            # A stick that was pulled while a file on it was deleted may have half of that file's entries.
            if volume.is_clean or at >= deleted_to:
                raise Damage
        elif kind | _IN_USE not in _KNOWN or (kind in _OF_THE_ROOT and folder.extent is not None):
            raise Damage
        elif kind in (_BITMAP, _TABLE):
            is_active = kind == _BITMAP and entry[1] & 1 == volume.active
            # Neither has a mark of whether it has a chain, and every driver reads both in one piece.
            first, size = unpack_from("<LQ", entry, 20)
            yield _Set(_BITMAP if is_active else _TABLE, Extent(first, size, is_straight=True))
        elif kind | _IN_USE == _FILE:
            deleted_to = at + (1 + entry[1]) * _ENTRY
    if missing and not is_late:
        raise Damage


def _deleted(before: bytearray, entry: bytes) -> bytearray:
    """The entries of a deleted set as they were, as far as it goes: all that happened to them is one bit in each."""
    kind = entry[0]
    if kind == _FILE & ~_IN_USE and entry[1]:
        before = bytearray()
    elif not before or kind & (_IN_USE | _SECONDARY) != _SECONDARY:
        return bytearray()
    return before + bytes([kind | _IN_USE]) + entry[1:]


def _set(part: bytes, is_late: bool, volume: Volume) -> _Set | None:
    """The file or folder of a whole set of entries; None for old ones that are not sound any more."""
    flags, letters = part[_ENTRY + 1], part[_ENTRY + 3]
    first, size = unpack_from("<LQ", part, _ENTRY + 20)
    is_folder = bool(part[4] & _FOLDER)
    names = [part[at + 2 : at + _ENTRY] for at in range(2 * _ENTRY, len(part), _ENTRY) if part[at] == _NAME]
    is_sound = part[_ENTRY] == _STREAM and 0 < letters <= len(names) * _LETTERS and _checksum(part) == part[2:4]
    if is_folder and size:
        is_sound = is_sound and size <= MOST_FOLDER and volume.is_cluster(first)
    if is_sound:
        name = b"".join(names)[: 2 * letters].decode("utf-16-le", "replace")
        return _Set(_FILE, Extent(first, size, bool(flags & _IN_ONE_PIECE)), name, is_folder, is_late)
    if not is_late:
        raise Damage
    return None


def _checksum(part: bytes) -> bytes:
    """Of a set of entries, but for the sum itself (6.3.3)."""
    total = 0
    for byte in part[:2] + part[4:]:
        total = ((total >> 1 | total << 15) + byte) & 0xFFFF
    return total.to_bytes(2, "little")


def _image(lost: Lost, volume: Volume) -> int | None:
    """The first cluster that nothing leads to and in which a DICOM object (PS3.10 section 7.1) begins."""
    looked_at = islice(lost, _MOST_LOST)
    return next((at for at in looked_at if volume.medium.read(volume.place(at) + 128, 4) == _DICM), None)

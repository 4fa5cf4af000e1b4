"""The folders of a FAT volume (Microsoft: FAT32 File System Specification, 2000; FAT12 and FAT16 in the same words).

The end of a folder is a mark, so one whose last blocks were wiped out looks as one that ends there.  What tells is the
table of clusters: an image lies in some of them, and no folder leads to it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from struct import unpack_from
from typing import Final

from firmware_app.intake.stick.medium import MOST_ENTRIES, MOST_FOLDER, Damage, Medium, Unknown
from firmware_app.intake.stick.search import MOST_DEPTH, is_passed_by

_MOST_CLUSTERS: Final = {12: 4084, 16: 65_524, 32: 16 << 20}
"""The first two are the type's; of more than the third nothing is said, and their table would have 64 MiB."""
_ENTRY: Final = 32
_SECTOR: Final = 512
_LONGEST_NAME: Final = 20 * 13  # of twenty entries, each with thirteen letters
_LOOK_AT_CLOCK: Final = 1 << 16
_ROOT: Final = 0  # no cluster has this number
_MOST_HEADS: Final = 1024
_MOST_DELETED: Final = 1 << 15  # a stranger may have marked any number
_DICM: Final = b"DICM"


class _Volume:
    """The numbers of a volume, and its table of clusters."""

    def __init__(self, medium: Medium) -> None:
        boot = medium.read(0, 512)
        sector, per_cluster, reserved, copies, slots, small, _, table_16 = unpack_from("<HBHBHHBH", boot, 11)
        large, table_32, flags, _, self.root = unpack_from("<LLHHL", boot, 32)
        table = (table_16 or table_32) * sector
        if not sector or sector % _ENTRY or not per_cluster or not table:
            raise Unknown
        self.medium, self.cluster = medium, per_cluster * sector
        self.slots_at, self.slots = reserved * sector + copies * table, slots * _ENTRY
        self.data = self.slots_at + -(-self.slots // sector) * sector
        count = ((small or large) * sector - self.data) // self.cluster
        self.bits = 32 if not table_16 else 16 if count > _MOST_CLUSTERS[12] else 12
        if not 0 < count <= _MOST_CLUSTERS[self.bits]:
            raise Unknown
        self.end = min(count + 2, table * 8 // self.bits)
        """The number behind the last cluster's."""
        active = flags & 15 if self.bits == 32 and flags & 0x80 else 0
        # The table may be longer than the clusters need, and a stranger's very much so.
        raw = medium.read(reserved * sector + active * table, -(-self.end * self.bits // 8))
        if self.bits == 12:
            pairs = (int.from_bytes(raw[at : at + 3], "little") for at in range(0, len(raw), 3))
            self.table = array("I", (value for pair in pairs for value in (pair & 0xFFF, pair >> 12)))
        else:
            self.table = array("H" if self.bits == 16 else "I", raw)
        self.is_clean = self._is_clean(boot)
        """Whether whoever wrote last has also finished."""

    def _is_clean(self, boot: bytes) -> bool:
        """By the mark of Microsoft's drivers, in the table, and by that of Linux's, in the first sector."""
        in_table = self.bits == 12 or bool(self.table[1] & (1 << 27 if self.bits == 32 else 1 << 15))
        return in_table and not boot[65 if self.bits == 32 else 37] & 1

    def place(self, number: int) -> int:
        """Where the bytes of a cluster begin."""
        return int(self.data + (number - 2) * self.cluster)

    def chain(self, first: int) -> Iterator[int]:
        """The clusters of a chain in order; raises `Damage` where it leads to none."""
        number, last = first, (0x0FFFFFF8 if self.bits == 32 else (1 << self.bits) - 8)
        for step in range(self.end):
            if step % _LOOK_AT_CLOCK == 0:
                self.medium.require_time()
            if not 2 <= number < self.end:  # free, bad, or beyond the medium
                raise Damage
            yield number
            number = self.table[number] & 0x0FFFFFFF
            if number >= last:
                return
        raise Damage  # in a ring

    def folder(self, first: int) -> bytes:
        """All of the folder that begins with cluster *first*."""
        pieces: list[bytes] = []
        for number in self.chain(first):
            if len(pieces) * self.cluster > MOST_FOLDER:
                raise Damage
            pieces.append(self.medium.read(self.place(number), self.cluster))
        return b"".join(pieces)

    def heads(self) -> Iterator[int]:
        """The clusters with which the chains of files and folders begin: in use, and no other leads to them."""
        bad, inside = 0x0FFFFFF7 if self.bits == 32 else (1 << self.bits) - 9, bytearray(self.end)
        for at in range(0, self.end, _LOOK_AT_CLOCK):
            self.medium.require_time()
            for value in self.table[at : min(at + _LOOK_AT_CLOCK, self.end)]:
                following = value & 0x0FFFFFFF
                if 2 <= following < self.end:
                    inside[following] = 1
        for number in range(2, self.end):
            if number % _LOOK_AT_CLOCK == 0:
                self.medium.require_time()
            if not inside[number] and self.table[number] & 0x0FFFFFFF not in (0, bad):
                yield number


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    is_folder: bool
    first: int
    size: int
    is_late: bool
    """Whether it stands behind the mark of the folder's end, where nothing may stand."""
    is_deleted: bool = False


def files(medium: Medium) -> int:
    """How many files the search would find, but for empty ones in the root; raises `Damage` or `Unknown`."""
    volume, count, entries = _Volume(medium), 0, 0
    walked = {volume.root} if volume.bits == 32 else set[int]()
    owned, late, deleted = set(walked), list[_Entry](), set[_Entry]()
    root_is_empty = may_hold_more = False
    waiting = [(_ROOT, 0, True)]  # where they begin and not what they hold: that could be 8 MiB each
    while waiting:
        first, depth, counts = waiting.pop()
        inside = _folder(first, volume)
        root_is_empty |= first == _ROOT and not inside.strip(b"\0")
        may_hold_more |= _ends_with_a_sector(inside)
        for entry in _entries(inside, volume):
            if entry.is_deleted:
                if len(deleted) < _MOST_DELETED:
                    deleted.add(entry)
                continue
            entries += 1
            if entries > MOST_ENTRIES:
                raise Unknown
            if entry.is_late:
                late.append(entry)
                continue
            seen = counts and not is_passed_by(entry.name)
            if not entry.is_folder:
                count += seen and bool(entry.size or depth)  # one driver shows the label as an empty file of the root
            elif entry.first in walked:  # of two folders in one cluster, one has lost its own
                raise Damage
            else:
                walked.add(entry.first)
                waiting.append((entry.first, depth + 1, seen and depth < MOST_DEPTH))
            owned.add(entry.first)
    if any(entry.first not in owned and _is_file(entry, volume) for entry in late):
        raise Damage
    if root_is_empty or (may_hold_more and volume.is_clean):
        lost = (number for number in volume.heads() if number not in owned)
        found = (number for number in islice(lost, _MOST_HEADS) if root_is_empty or _is_image(number, volume))
        head = next(found, None)
        if head is not None and (next(found, None) is not None or not _was_being_deleted(head, deleted, volume)):
            raise Damage
    return count


def _was_being_deleted(head: int, deleted: set[_Entry], volume: _Volume) -> bool:
    """Whether the power went between the mark on a file's entry and the freeing of its chain.

    That leaves one file.  Of several, whose clusters old deleted entries may name by chance, it is not believed.
    """
    return any(entry.first == head and _is_file(entry, volume) for entry in deleted)


def _ends_with_a_sector(folder: bytes) -> bool:
    """Whether the mark of its end begins a sector, as if what stood there had been wiped out."""
    end = folder[::_ENTRY].find(0)
    return end >= 0 and end * _ENTRY % _SECTOR == 0


def _is_image(number: int, volume: _Volume) -> bool:
    """Whether a DICOM object (PS3.10 section 7.1) begins in a cluster."""
    return volume.medium.read(volume.place(number) + 128, 4) == _DICM


def _folder(first: int, volume: _Volume) -> bytes:
    if first == _ROOT:
        return volume.folder(volume.root) if volume.bits == 32 else volume.medium.read(volume.slots_at, volume.slots)
    inside = volume.folder(first)
    if inside[:11] != b".          ":  # each begins with itself
        raise Damage
    return inside


def _entries(data: bytes, volume: _Volume) -> Iterator[_Entry]:
    long, is_late = "", False
    for at in range(0, len(data), _ENTRY):
        mark, attributes = data[at], data[at + 11]
        if mark in (0, 0xE5):
            is_late, long = is_late or mark == 0, ""
            if not is_late and not attributes & 0x18:  # nor a part of a long name, which has all the bits
                first, size = _place(data, at, volume)
                # Of most that were deleted, the clusters are free by now.
                if size and 2 <= first < volume.end and volume.table[first] & 0x0FFFFFFF:
                    yield _Entry("", is_folder=False, first=first, size=size, is_late=False, is_deleted=True)
            continue
        if attributes & 0x3F == 0x0F:  # a part of a long name, the last part first
            part = data[at + 1 : at + 11] + data[at + 14 : at + 26] + data[at + 28 : at + 32]
            letters = part.decode("utf-16-le", "replace").partition("\0")[0]
            long = (letters + ("" if mark & 0x40 else long))[:_LONGEST_NAME]
            continue
        name, long = long or _short_name(data[at : at + 11]), ""
        if data[at : at + 11].rstrip() in (b".", b".."):
            continue
        first, size = _place(data, at, volume)
        is_folder = bool(attributes & 0x10)
        # Only what is empty has no cluster; a folder never is, as it has an entry for itself.
        leads = 2 <= first < volume.end or (not first and not is_folder and not size)
        is_sound = leads and min(data[at + 1 : at + 11]) >= 0x20
        if not is_sound and not is_late:
            raise Damage
        if is_sound and not attributes & 0x08:  # the volume's own name
            yield _Entry(name, is_folder, first, size, is_late)


def _place(data: bytes, at: int, volume: _Volume) -> tuple[int, int]:
    """The first cluster and the size that an entry names."""
    high, low, size = unpack_from("<H4xHL", data, at + 20)
    return low | (high << 16 if volume.bits == 32 else 0), size


def _short_name(raw: bytes) -> str:
    """As a driver shows it: Windows gives $RECYCLE.BIN no long one."""
    stem, extension = (part.decode("latin-1").rstrip(" ") for part in (raw[:8], raw[8:]))
    return f"{stem}.{extension}" if extension else stem


def _is_file(entry: _Entry, volume: _Volume) -> bool:
    """Whether its chain is as long as its size says: so it was written, and what stood before it has been wiped out.

    What another cluster leads to is the inside of a later file, and the entry an old one that nobody has cleared.
    """
    if entry.is_folder or not entry.size:
        return False
    try:
        length = sum(1 for _ in volume.chain(entry.first))
    except Damage:
        return False
    fits = entry.size <= length * volume.cluster < entry.size + volume.cluster
    return fits and entry.first not in volume.table

"""How many files an NTFS volume has, by its table of records, whatever the indexes of its folders name.

A file's record says which folder it is in, so a name that has gone from that folder's index is missed in the count.
Only what leads to the root is counted: a record without a folder is what an unplugged PC leaves.  The layout is that
of Microsoft's driver as Linux documents it (fs/ntfs3/ntfs.h); there is no public specification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from struct import unpack_from
from typing import Final

from firmware_app.intake.stick.medium import MOST_ENTRIES, Damage, Medium, Unknown
from firmware_app.intake.stick.search import MOST_DEPTH, is_passed_by

_PIECE: Final = 1 << 16
_STRIDE: Final = 512  # of the marks by which a record that was half written is known
_ROOT: Final = 5
_FIRST_OF_PEOPLE: Final = 24  # the records before are the volume's own
_NAME, _DATA, _END = 0x30, 0x80, 0xFFFFFFFF
_IN_USE, _FOLDER = 1, 2
_SHORT: Final = 2  # a second name, for DOS
_NUMBER: Final = (1 << 48) - 1
_Name = tuple[int, str]  # the folder, and what the file is called in it


def files(medium: Medium) -> int:
    """How many files the search would find; raises `Damage` or `Unknown`."""
    tree, nameless, elsewhere = _Tree(), dict[int, bool](), dict[int, _Name]()
    for number, record in _records(medium):
        sequence, flags, base = unpack_from("<H4xH8xQ", record, 16)
        name, itself, is_folder = _name(record), number | sequence << 48, bool(flags & _FOLDER)
        if base and name is not None:  # one record was too small for a file
            elsewhere.setdefault(base, name)
        elif not base and name is not None and number >= _FIRST_OF_PEOPLE:
            tree.add(itself, is_folder, name)
        elif not base:
            nameless[itself] = is_folder
        if len(tree.above) + len(tree.inside) + len(nameless) + len(elsewhere) > MOST_ENTRIES:
            raise Unknown
    for itself in nameless.keys() & elsewhere.keys():
        tree.add(itself, nameless[itself], elsewhere[itself])
    return sum(count for folder, count in tree.inside.items() if tree.leads_to_root(folder))


class _Tree:
    """Which folder is in which, and how many files are in each.  A folder is known by its record's number, and by how
    often that was used (its sequence, in the upper 16 bits)."""

    def __init__(self) -> None:
        self.above = dict[int, int]()
        self.inside = Counter[int]()

    def add(self, itself: int, is_folder: bool, name: _Name) -> None:
        folder, letters = name
        if is_passed_by(letters):
            return
        if is_folder:
            self.above[itself] = folder
        else:
            self.inside[folder] += 1

    def leads_to_root(self, folder: int) -> bool:
        for _ in range(MOST_DEPTH + 1):
            if folder & _NUMBER == _ROOT:
                return True
            if folder not in self.above:
                return False
            folder = self.above[folder]
        return False


def _records(medium: Medium) -> Iterator[tuple[int, bytes]]:
    """The records in use and their numbers; raises `Damage` for one that is half written."""
    boot = medium.read(0, 512)
    sector, per_cluster, first, size = unpack_from("<HB34xQ8xb", boot, 11)
    cluster = sector * (per_cluster if per_cluster <= 128 else 1 << (256 - per_cluster))
    length = size * cluster if size > 0 else 1 << min(-size, 31)
    if boot[3:11] != b"NTFS    " or not _STRIDE <= sector <= 4096 or not 1024 <= length <= 4096 or cluster > 2 << 20:
        raise Unknown
    table = _whole(medium.read(first * cluster, length))
    if table is None:
        raise Unknown
    number, rest = 0, b""
    for place, count in _runs(table, cluster):
        for at in range(place, place + count, _PIECE):
            rest += medium.read(at, min(_PIECE, place + count - at))
            for start in range(0, len(rest) - length + 1, length):
                record = _whole(rest[start : start + length])
                if record is not None:
                    yield number, record
                number += 1
            rest = rest[len(rest) // length * length :]


def _whole(record: bytes) -> bytes | None:
    """The record as it was before the marks were put into it; None where none is in use."""
    if record[:4] != b"FILE" or not unpack_from("<H", record, 22)[0] & _IN_USE:
        return None
    at, count = unpack_from("<HH", record, 4)
    if count - 1 != len(record) // _STRIDE or at + 2 * count > _STRIDE:
        raise Damage
    found = bytearray(record)
    for stride in range(1, count):
        end = stride * _STRIDE
        if found[end - 2 : end] != record[at : at + 2]:
            raise Damage
        found[end - 2 : end] = record[at + 2 * stride : at + 2 * stride + 2]
    return bytes(found)


def _attributes(record: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a record and their kinds, as far as they are sound."""
    at = unpack_from("<H", record, 20)[0]
    while at + 24 <= len(record):
        kind, size = unpack_from("<LL", record, at)
        if kind == _END or size < 24 or at + size > len(record):
            return
        yield kind, record[at : at + size]
        at += size


def _name(record: bytes) -> _Name | None:
    """The folder that a record says it is in, and its name there: the first that is not for DOS."""
    for kind, attribute in _attributes(record):
        if kind == _NAME and not attribute[8]:
            size, at = unpack_from("<LH", attribute, 16)
            value = attribute[at : at + size]
            if len(value) > 66 and value[65] != _SHORT:
                return unpack_from("<Q", value)[0], value[66 : 66 + 2 * value[64]].decode("utf-16-le", "replace")
    return None


def _runs(table: bytes, cluster: int) -> Iterator[tuple[int, int]]:
    """Where the table itself lies: the bytes of each piece.  Raises `Unknown` where its own record does not say."""
    data = next((one for kind, one in _attributes(table) if kind == _DATA and one[8] and not one[9]), None)
    if data is None or len(data) < 64:
        raise Unknown
    (at,), (left,) = unpack_from("<H", data, 32), unpack_from("<Q", data, 56)
    place = 0
    while left > 0:
        head = data[at] if at < len(data) else 0
        sizes, steps = head & 15, head >> 4
        if not sizes or not steps or at + 1 + sizes + steps > len(data):
            raise Unknown
        count = int.from_bytes(data[at + 1 : at + 1 + sizes], "little")
        place += int.from_bytes(data[at + 1 + sizes : at + 1 + sizes + steps], "little", signed=True)
        if place < 0 or not count:
            raise Unknown
        yield place * cluster, min(count * cluster, left)
        left -= count * cluster
        at += 1 + sizes + steps

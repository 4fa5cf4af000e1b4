"""The folders of an ISO 9660 disc (ECMA-119, 4th edition), or of the Joliet names beside them, which drivers prefer."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator
from contextlib import suppress
from struct import unpack_from
from typing import Final

from firmware_app.intake.stick.medium import MOST_ENTRIES, MOST_FOLDER, Damage, Medium, Unknown
from firmware_app.intake.stick.search import MOST_DEPTH, is_passed_by

_SECTOR: Final = 2048
_CDROMMULTISESSION: Final = 0x5310  # linux/cdrom.h


def files(medium: Medium) -> int:
    """How many files the search would find; raises `Damage` or `Unknown`."""
    root, path_table = _volume(medium, _last_session(medium.descriptor))
    waiting, walked, count = [(*root, 0, True)], set[int](), 0
    while waiting:
        place, size, depth, counts = waiting.pop()
        if place in walked:
            continue
        walked.add(place)
        if size > MOST_FOLDER or len(walked) + len(waiting) + count > MOST_ENTRIES:
            raise Unknown
        data = medium.read(place * _SECTOR, size).ljust(-(-size // _SECTOR) * _SECTOR, b"\0")
        if not _is_folder(data):
            raise Damage
        for record, name in _records(data):
            flags = record[25]
            seen = counts and not is_passed_by(name) and not _is_hidden_to_others(record)
            if flags & 2:
                waiting.append(
                    (_place(record), unpack_from("<L", record, 10)[0], depth + 1, seen and depth < MOST_DEPTH)
                )
            # Hidden, associated, not the last part of a file, or none.
            elif not flags & 0x85 and not _is_relocated(record, medium):
                count += seen
    for place in path_table - walked:  # a folder that nothing leads to
        if _was_there(medium, place):
            raise Damage
    return count


def _volume(medium: Medium, session: int) -> tuple[tuple[int, int], set[int]]:
    """Place and size of the root, and the places of all folders by the path table: Joliet's where there is one."""
    chosen = None
    for number in range(16, 48):
        sector = medium.read((session + number) * _SECTOR, _SECTOR)
        if sector[1:6] != b"CD001" or sector[0] == 255:
            break
        if (sector[0] == 1 and chosen is None) or (sector[0] == 2 and sector[88:91] in (b"%/@", b"%/C", b"%/E")):
            chosen = sector
    if chosen is None or unpack_from("<H", chosen, 128)[0] != _SECTOR:
        raise Unknown
    (size,), (place,) = unpack_from("<L", chosen, 132), unpack_from("<L", chosen, 140)
    table, at, places = medium.read(place * _SECTOR, min(size, MOST_FOLDER)), 0, set[int]()
    while at + 8 <= len(table) and table[at]:
        places.add(unpack_from("<L", table, at + 2)[0] + table[at + 1])
        at += 8 + table[at] + table[at] % 2
    root = chosen[156:190]
    return (_place(root), unpack_from("<L", root, 10)[0]), places


def _place(record: bytes) -> int:
    """Where the data of a record begin, behind its extended attributes (9.1.2 and 9.1.3)."""
    return int(unpack_from("<L", record, 2)[0]) + record[1]


def _is_folder(data: bytes) -> bool:
    """Whether *data* begin as every folder does, with the record of itself (6.8.2.2)."""
    return len(data) >= 34 and data[0] >= 34 and data[32:34] == b"\1\0"


def _was_there(medium: Medium, place: int) -> bool:
    try:
        data = medium.read(place * _SECTOR, _SECTOR)
    except Damage:
        return False
    return _is_folder(data) and _place(data) == place


def _records(data: bytes) -> Iterator[tuple[bytes, str]]:
    """The records of a folder but for itself and the one above, and their names as far as they count here."""
    for start in range(0, len(data), _SECTOR):
        sector, at = data[start : start + _SECTOR], 0
        while at < _SECTOR and sector[at]:
            length = sector[at]
            if length < 34 or at + length > _SECTOR or 33 + sector[at + 32] > length:
                raise Damage
            record = sector[at : at + length]
            raw = record[33 : 33 + record[32]]
            if raw not in (b"\0", b"\1"):
                is_wide = len(raw) % 2 == 0 and raw[:1] == b"\0"
                yield record, raw.decode("utf-16-be" if is_wide else "latin-1", "replace")
            at += length
        if at + 34 <= _SECTOR and sector[at + 2 : at + 6] == sector[at + 6 : at + 10][::-1] != bytes(4):
            raise Damage  # a record whose length alone has gone: drivers go on with the next sector
        if at == 0:
            raise Damage  # an empty sector: a folder is as long as its records need (6.8.1.1), for it is mastered once


def _is_hidden_to_others(record: bytes) -> bool:
    """Whether drivers with Rock Ridge (fuseiso) pass by what has a plain name here: `.Trashes` is `_TRASHES`.

    A long name (NM) may stand elsewhere (CE): then nobody knows here, and it is not counted.
    """
    behind = record[33 + record[32] :]
    at = behind.find(b"NM")
    if not 0 <= at < len(behind) - 5:
        return b"CE" in behind
    return is_passed_by(behind[at + 5 : at + behind[at + 2]].decode("utf-8", "replace"))


def _is_relocated(record: bytes, medium: Medium) -> bool:
    """Whether it stands where a folder would be too deep, and leads to that (RRIP 4.1.5.1, CL): it is no file."""
    behind = record[33 + record[32] :]
    at = behind.find(b"CE\x1c\1")  # behind a long name the rest stands elsewhere
    if 0 <= at <= len(behind) - 28:
        place, start, size = (unpack_from("<L", behind, at + field)[0] for field in (4, 12, 20))
        with suppress(Damage):  # where it cannot be read nobody knows, and it is counted
            behind += medium.read(place * _SECTOR + start, min(size, _SECTOR))
    at = behind.find(b"CL\x0c\1")
    return 0 <= at <= len(behind) - 12 and behind[at + 4 : at + 8] == behind[at + 8 : at + 12][::-1]


def _last_session(descriptor: int) -> int:
    """Where the last session of a disc begins; 0 of what is no disc drive."""
    answer = bytearray(struct.pack("=iBBxx", 0, 0, 1))
    try:
        fcntl.ioctl(descriptor, _CDROMMULTISESSION, answer)
    except OSError:
        return 0
    place, is_multiple = unpack_from("=iB", answer)
    return int(place) if is_multiple else 0

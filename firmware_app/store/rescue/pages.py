"""What is left in the pages of a damaged SQLite file, read without SQLite.

https://www.sqlite.org/fileformat2.html, sections 1 and 2 (pages, records).  Every table leaf that is not free is
looked at by itself, so neither the first page nor any page above a leaf is needed to read it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from struct import error as struct_error
from struct import unpack_from
from typing import Final

from firmware_app.store.sqlite.wal import PAGE_SIZES

Buffer = bytes | mmap.mmap
Value = int | float | str | bytes | None

MAGIC: Final = b"SQLite format 3\0"
_DEFAULT_PAGE: Final = 4096
_FIRST_PAGE_HEADER: Final = 100
_TABLE_LEAF: Final = 0x0D
_MOST_RECORD: Final = 16_000_000
_INTEGER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def leaf_rows(data: Buffer) -> Iterator[tuple[int, list[Value]]]:
    """(rowid, values) of every row in a table leaf of the file *data*, in the order of its pages.

    What does not parse is passed over.  Which table a row is of, its values must say.
    """
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    if data[:16] != MAGIC or size not in PAGE_SIZES:
        size = _DEFAULT_PAGE
    free = _free_pages(data, size)
    for number in range(1, len(data) // size + 1):
        start = (number - 1) * size
        header = start + (_FIRST_PAGE_HEADER if number == 1 else 0)
        if number in free or data[header] != _TABLE_LEAF:
            continue
        cells = int.from_bytes(data[header + 3 : header + 5], "big")
        for cell in range(min(cells, (size - 8) // 2)):
            at = int.from_bytes(data[header + 8 + 2 * cell : header + 10 + 2 * cell], "big")
            try:
                yield _cell(data, size, start + at, start + size)
            except (IndexError, ValueError, struct_error):  # this cell is damaged; the next one has its own pointer
                continue


def _free_pages(data: Buffer, size: int) -> set[int]:
    """Pages that hold only what was deleted, as far as their list can be followed."""
    free: set[int] = set()
    trunk = int.from_bytes(data[32:36], "big") if data[:16] == MAGIC else 0
    while 0 < trunk <= len(data) // size and trunk not in free:
        free.add(trunk)
        start = (trunk - 1) * size
        following, count = unpack_from(">2L", data, start)
        for index in range(min(count, size // 4 - 2)):
            free.add(unpack_from(">L", data, start + 8 + 4 * index)[0])
        trunk = following
    return free


def _cell(data: Buffer, size: int, at: int, end: int) -> tuple[int, list[Value]]:
    length, at = _varint(data, at)
    rowid, at = _varint(data, at)
    if length > _MOST_RECORD:
        raise ValueError(length)
    most, least = size - 35, (size - 12) * 32 // 255 - 23
    local = length
    if length > most:
        local = least + (length - least) % (size - 4)
        local = local if local <= most else least
    if at + local > end:
        raise ValueError(local)
    payload = data[at : at + local]
    if local < length:
        payload += _overflow(data, size, int.from_bytes(data[at + local : at + local + 4], "big"), length - local)
    return rowid, _record(payload)


def _overflow(data: Buffer, size: int, page: int, wanted: int) -> bytes:
    parts: list[bytes] = []
    while wanted > 0:
        start = (page - 1) * size
        if page < 1 or start + size > len(data):
            raise ValueError(page)
        part = data[start + 4 : start + 4 + min(wanted, size - 4)]
        parts.append(part)
        wanted -= len(part)
        page = int.from_bytes(data[start : start + 4], "big")
    return b"".join(parts)


def _record(payload: bytes) -> list[Value]:
    header_end, at = _varint(payload, 0)
    body, values = header_end, []
    while at < header_end:
        kind, at = _varint(payload, at)
        value, body = _value(payload, kind, body)
        values.append(value)
    if at != header_end or body != len(payload):
        raise ValueError(body)
    return values


def _value(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), at
    length = {7: 8, **_INTEGER_BYTES}.get(kind, (kind - 12) // 2)
    raw = payload[at : at + length]
    if kind in (10, 11) or len(raw) != length:
        raise ValueError(kind)
    if kind == 7:
        return float(unpack_from(">d", raw)[0]), at + length
    if kind in _INTEGER_BYTES:
        return int.from_bytes(raw, "big", signed=True), at + length
    return (raw.decode("utf-8") if kind % 2 else raw), at + length


def _varint(data: Buffer, at: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        byte = data[at + index]
        if index == 8:
            value = value << 8 | byte
            break
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return (value - (1 << 64) if value >= 1 << 63 else value), at + index + 1

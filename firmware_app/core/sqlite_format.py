"""Read SQLite files without SQLite: the rows in their pages, and the commits in their write-ahead log.

https://www.sqlite.org/fileformat2.html, sections 1 and 2 (pages, records) and 4 (log).  Every page that is not free is
read separately, so neither the first page nor the parent pages are needed.  docs/decisions/rescue.md explains why
SQLite's own `.recover` is not used.

SQLite reads a log up to the first frame with wrong salts or a wrong checksum, and ignores all later commits.  A damaged
frame can therefore hide commits.  But such commits are also left by a writer that was killed before its commit was
durable; then they are older than the file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from struct import Struct, unpack_from
from struct import error as struct_error
from typing import Final

Buffer = bytes | mmap.mmap
Value = int | float | str | bytes | None
Row = tuple[int | None, list[Value]]
"""The rowid, None in a table WITHOUT ROWID, and the values in the order in which they are stored."""

MAGIC: Final = b"SQLite format 3\0"
_DEFAULT_PAGE: Final = 4096
_FIRST_PAGE_HEADER: Final = 100
_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 0x0D, 0x0A, 0x02
_MOST_RECORD: Final = 16_000_000
_INTEGER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def read_rows(data: Buffer, *, without_rowid: bool = False) -> Iterator[Row]:
    """Every row in the file *data*, in the order of its pages.

    Cells that do not parse are skipped.  The caller decides from the values to which table a row belongs.
    With *without_rowid* index pages are read too: the rows of tables WITHOUT ROWID, and the entries of indexes.
    """
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    if data[:16] != MAGIC or size not in PAGE_SIZES:
        size = _DEFAULT_PAGE
    kinds = (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR) if without_rowid else (_TABLE_LEAF,)
    free = _free_pages(data, size)
    for number in range(1, len(data) // size + 1):
        start = (number - 1) * size
        header = start + (_FIRST_PAGE_HEADER if number == 1 else 0)
        kind = data[header]
        if number in free or kind not in kinds:
            continue
        cells = int.from_bytes(data[header + 3 : header + 5], "big")
        pointers = header + (12 if kind == _INDEX_INTERIOR else 8)
        for cell in range(min(cells, (size - 8) // 2)):
            offset = int.from_bytes(data[pointers + 2 * cell : pointers + 2 * cell + 2], "big")
            try:
                yield _cell(data, size, start + offset, start + size, kind)
            except (IndexError, ValueError, struct_error):  # this cell is damaged; the next one has its own pointer
                continue


def _free_pages(data: Buffer, size: int) -> set[int]:
    """The free pages, which hold only deleted rows, as far as their list can be followed."""
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


def _cell(data: Buffer, size: int, offset: int, end: int, kind: int) -> Row:
    if kind == _INDEX_INTERIOR:
        offset += 4  # the left child page
    length, offset = _varint(data, offset)
    rowid = None
    if kind == _TABLE_LEAF:
        rowid, offset = _varint(data, offset)
    if length > _MOST_RECORD:
        raise ValueError(length)
    most, least = size - 35 if kind == _TABLE_LEAF else (size - 12) * 64 // 255 - 23, (size - 12) * 32 // 255 - 23
    local = length
    if length > most:
        local = least + (length - least) % (size - 4)
        local = local if local <= most else least
    if offset + local > end:
        raise ValueError(local)
    payload = data[offset : offset + local]
    if local < length:
        page = int.from_bytes(data[offset + local : offset + local + 4], "big")
        payload += _overflow(data, size, page, length - local)
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
    header_end, offset = _varint(payload, 0)
    body, values = header_end, []
    while offset < header_end:
        kind, offset = _varint(payload, offset)
        value, body = _value(payload, kind, body)
        values.append(value)
    if offset != header_end or body != len(payload):
        raise ValueError(body)
    return values


def _value(payload: bytes, kind: int, offset: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), offset
    length = {7: 8, **_INTEGER_BYTES}.get(kind, (kind - 12) // 2)
    raw = payload[offset : offset + length]
    if kind in (10, 11) or len(raw) != length:
        raise ValueError(kind)
    if kind == 7:
        return float(unpack_from(">d", raw)[0]), offset + length
    if kind in _INTEGER_BYTES:
        return int.from_bytes(raw, "big", signed=True), offset + length
    return (raw.decode("utf-8") if kind % 2 else raw), offset + length


def _varint(data: Buffer, offset: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        byte = data[offset + index]
        if index == 8:
            value = value << 8 | byte
            break
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return (value - (1 << 64) if value >= 1 << 63 else value), offset + index + 1


PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_HEADER: Final = Struct(">8L")  # magic, version, page size, number of the checkpoint, two salts, two checksums
_FRAME: Final = Struct(">6L")  # page, size of the database after a commit or 0, two salts, two checksums
_LAST_FRAME: Final = Struct("=L")  # in the wal-index, at 16, in the machine's own byte order
_LOG_MAGIC: Final = (0x377F0682, 0x377F0683)


def count_ignored_commits(database: Path, log: Path) -> int:
    """How many commits of *log* follow the frames that SQLite uses.  *database* must be open in some connection.

    The last frame that SQLite uses is read from its wal-index.  If the log's header is damaged, every commit counts.
    """
    try:
        with log.open("rb") as file:
            data = file.read(_HEADER.size)
            if len(data) < _HEADER.size:
                return 0
            magic, _, size, _, *rest = _HEADER.unpack(data)
            salts = rest[:2] if magic in _LOG_MAGIC and size in PAGE_SIZES else None
            step = _FRAME.size + (size if size in PAGE_SIZES else _DEFAULT_PAGE)
            count, end = 0, file.seek(0, 2)
            for place in range(_HEADER.size + _count_used_frames(database) * step, end - step + 1, step):
                file.seek(place)
                _, committed, *rest = _FRAME.unpack(file.read(_FRAME.size))
                count += bool(committed) and salts in (None, rest[:2])
            return count
    except FileNotFoundError:
        return 0


def _count_used_frames(database: Path) -> int:
    try:
        with database.with_name(database.name + "-shm").open("rb") as index:
            index.seek(16)
            return int(_LAST_FRAME.unpack(index.read(_LAST_FRAME.size))[0])
    except (OSError, struct_error):
        return 0

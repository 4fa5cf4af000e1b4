"""SQLite's write-ahead log, read without SQLite (https://www.sqlite.org/fileformat2.html, section 4).

What counts ends where SQLite's own reading ends: at the first frame whose salts or checksum do not fit.  What stands
behind is never used.  It may be what a damaged frame hides, and it may just as well be the leftover of a writer that
was killed before its commit was durable, whose frames later ones only partly overwrote: older pages than the file has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct, iter_unpack
from struct import error as struct_error
from typing import BinaryIO, Final

PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_HEADER: Final = Struct(">8L")  # magic, version, page size, number of the checkpoint, two salts, two checksums
_FRAME: Final = Struct(">6L")  # page, size of the database after a commit or 0, two salts, two checksums
_LAST_FRAME: Final = Struct("=L")  # in the wal-index, at 16, in the machine's own byte order
_MAGIC: Final = (0x377F0682, 0x377F0683)
_DEFAULT_PAGE: Final = 4096


@dataclass(frozen=True, slots=True)
class _Log:
    """The header: how to read the frames, and by which salts they are known; *valid* as SQLite would say."""

    order: str
    page_bytes: int
    salts: tuple[int, int]
    checksum: tuple[int, int]
    valid: bool

    @property
    def frame_bytes(self) -> int:
        return _FRAME.size + self.page_bytes


def apply(database: Path, wal: Path) -> int:
    """Write into *database* what SQLite would take from *wal*; returns how many commits stand behind that, unused."""
    with wal.open("rb") as file:
        log = _header(file)
        if log is None:
            return 0
        pages, count, size = _committed(file, log) if log.valid else ({}, 0, 0)
        with database.open("r+b") as target:
            for page in sorted(pages):
                file.seek(pages[page])
                target.seek((page - 1) * log.page_bytes)
                target.write(file.read(log.page_bytes))
            if size:
                target.truncate(size * log.page_bytes)
        return _commits(file, log, count)


def commits_behind(database: Path, wal: Path) -> int:
    """How many commits of *wal* stand behind the frames that SQLite goes by, once somebody has opened *database*.

    Cheap: the end is read from the wal-index instead of from all checksums.
    """
    try:
        with wal.open("rb") as file:
            log = _header(file)
            return _commits(file, log, _indexed(database)) if log else 0
    except FileNotFoundError:
        return 0


def _header(file: BinaryIO) -> _Log | None:
    """None where the log is empty."""
    data = file.read(_HEADER.size)
    if len(data) < _HEADER.size:
        return None
    magic, _, size, _, *rest = _HEADER.unpack(data)
    order = ">" if magic & 1 else "<"
    valid = magic in _MAGIC and size in PAGE_SIZES and _checksum(data[:24], (0, 0), order) == (rest[2], rest[3])
    return _Log(order, size if size in PAGE_SIZES else _DEFAULT_PAGE, (rest[0], rest[1]), (rest[2], rest[3]), valid)


def _frames(file: BinaryIO, log: _Log, first: int) -> Iterator[tuple[int, int, tuple[int, int], tuple[int, int]]]:
    """(page, size after the commit or 0, salts, checksum) of every frame from number *first* on."""
    end = file.seek(0, 2)
    for at in range(_HEADER.size + first * log.frame_bytes, end - log.frame_bytes + 1, log.frame_bytes):
        file.seek(at)
        page, size, *rest = _FRAME.unpack(file.read(_FRAME.size))
        yield page, size, (rest[0], rest[1]), (rest[2], rest[3])


def _committed(file: BinaryIO, log: _Log) -> tuple[dict[int, int], int, int]:
    """Where the newest bytes of each page stand, how many frames that takes, and the size of the database in pages."""
    pages: dict[int, int] = {}
    pending: dict[int, int] = {}
    count, size, last = 0, 0, log.checksum
    for number, (page, after, salts, told) in enumerate(_frames(file, log, 0)):
        start = _HEADER.size + number * log.frame_bytes
        file.seek(start)
        data = file.read(log.frame_bytes)
        last = _checksum(data[:8] + data[_FRAME.size :], last, log.order)
        if salts != log.salts or last != told or page == 0:
            break
        pending[page] = start + _FRAME.size
        if after:
            pages |= pending
            pending.clear()
            count, size = number + 1, after
    return pages, count, size


def _commits(file: BinaryIO, log: _Log, first: int) -> int:
    """Commits from frame *first* on; by a header that is damaged itself every frame might be one."""
    frames = _frames(file, log, first)
    return sum(1 for _, size, salts, _ in frames if size and (salts == log.salts or not log.valid))


def _indexed(database: Path) -> int:
    """How many frames of the log SQLite believes, as its wal-index says."""
    try:
        with database.with_name(database.name + "-shm").open("rb") as index:
            index.seek(16)
            return int(_LAST_FRAME.unpack(index.read(_LAST_FRAME.size))[0])
    except (OSError, struct_error):
        return 0


def _checksum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = start
    for first, second in iter_unpack(order + "2L", data):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two

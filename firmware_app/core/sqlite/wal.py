"""Counts the commits of a write-ahead log that SQLite ignores (https://www.sqlite.org/fileformat2.html, section 4).

SQLite reads a log up to the first frame with wrong salts or a wrong checksum, and ignores all later commits.  A damaged
frame can therefore hide commits.  But such commits are also left by a writer that was killed before its commit was
durable; then they are older than the file.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from struct import error as struct_error
from typing import Final

PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_HEADER: Final = Struct(">8L")  # magic, version, page size, number of the checkpoint, two salts, two checksums
_FRAME: Final = Struct(">6L")  # page, size of the database after a commit or 0, two salts, two checksums
_LAST_FRAME: Final = Struct("=L")  # in the wal-index, at 16, in the machine's own byte order
_MAGIC: Final = (0x377F0682, 0x377F0683)
_DEFAULT_PAGE: Final = 4096


def commits_behind(database: Path, log: Path) -> int:
    """How many commits of *log* follow the frames that SQLite uses.  *database* must be open in some connection.

    The last frame that SQLite uses is read from its wal-index.  If the log's header is damaged, every commit counts.
    """
    try:
        with log.open("rb") as file:
            data = file.read(_HEADER.size)
            if len(data) < _HEADER.size:
                return 0
            magic, _, size, _, *rest = _HEADER.unpack(data)
            salts = rest[:2] if magic in _MAGIC and size in PAGE_SIZES else None
            step = _FRAME.size + (size if size in PAGE_SIZES else _DEFAULT_PAGE)
            count, end = 0, file.seek(0, 2)
            for place in range(_HEADER.size + _frames_used(database) * step, end - step + 1, step):
                file.seek(place)
                _, committed, *rest = _FRAME.unpack(file.read(_FRAME.size))
                count += bool(committed) and salts in (None, rest[:2])
            return count
    except FileNotFoundError:
        return 0


def _frames_used(database: Path) -> int:
    try:
        with database.with_name(database.name + "-shm").open("rb") as index:
            index.seek(16)
            return int(_LAST_FRAME.unpack(index.read(_LAST_FRAME.size))[0])
    except (OSError, struct_error):
        return 0

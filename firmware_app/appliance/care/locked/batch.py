"""Files that get their names together, once all of them are on the disk: one wait for many, instead of one for each.

Before it has its name a file does not count, so a power cut leaves whole files and others that are written again.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from firmware_app.core.errors import BackupNotWhole
from firmware_app.core.state_dir import sync_directory

_MOST_FILES, _MOST_BYTES = 64, 64_000_000
_PIECE: Final = 1 << 20
FRESH: Final = ".new"


@dataclass(slots=True)
class Fresh:
    """A file that is being written, beside its place."""

    handle: BinaryIO
    path: Path
    place: Path
    crc: int = 0
    size: int = 0

    def write(self, data: bytes) -> int:
        self.crc, self.size = zlib.crc32(data, self.crc), self.size + len(data)
        return self.handle.write(data)


class Batch:
    """Used as ``with Batch() as batch``: what is left is settled at an orderly end, and without a name after an error.

    With *read_back* each file is read again from the disk before it counts; raises `BackupNotWhole`.
    """

    def __init__(self, *, read_back: bool = False, settled: Callable[[int], None] = lambda _files: None) -> None:
        self._read_back, self._settled = read_back, settled
        self._waiting: list[Fresh] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        try:
            if kind is None:
                self.settle()
        finally:
            for one in self._waiting:
                one.handle.close()

    def begin(self, place: Path, mode: int | None = None) -> Fresh:
        """A file that will lie at *place*; `end` comes before the next one begins."""
        fresh = place.with_name(f".{place.name}{FRESH}")
        fresh.unlink(missing_ok=True)
        self._waiting.append(Fresh(fresh.open("xb"), fresh, place))
        if mode is not None:  # FAT and shares may refuse one
            fresh.chmod(mode)
        return self._waiting[-1]

    def end(self) -> None:
        """The file is written."""
        self._waiting[-1].handle.flush()
        if len(self._waiting) >= _MOST_FILES or sum(one.size for one in self._waiting) >= _MOST_BYTES:
            self.settle()

    def drop(self) -> None:
        """The file is not to be."""
        last = self._waiting.pop()
        last.handle.close()
        last.path.unlink()

    def settle(self) -> None:
        """Return when every file that was ended has its name, durably."""
        for one in self._waiting:
            os.fsync(one.handle.fileno())
        for one in self._waiting:
            one.handle.close()
            if self._read_back:
                _require_whole(one)
            one.path.replace(one.place)
        for folder in {one.place.parent for one in self._waiting}:
            sync_directory(folder)
        done, self._waiting = len(self._waiting), []
        self._settled(done)


def _require_whole(one: Fresh) -> None:
    crc = 0
    with one.path.open("rb") as handle:
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # from the disk, not from memory
        while piece := handle.read(_PIECE):
            crc = zlib.crc32(piece, crc)
    if crc != one.crc:
        one.path.unlink()
        raise BackupNotWhole(database=one.place.name)

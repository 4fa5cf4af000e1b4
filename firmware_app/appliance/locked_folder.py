"""The folder of a locked (encrypted) backup: what lies in it, how files get there whole, and what goes from it.

sets/000012.lnb     databases, settings and the list of packs of one night
sets/000012.list    the names of the files that this set needs; it comes last, when all of them are there and whole
files/ab/….lnb      each image, and each file of an installed pack, once, under a name that says nothing of it

A set goes when enough later ones have their list, a file when no set that is left needs it.  An earlier version
called files/ images/ and wrote no lists.

Files get their names together, once all of them are on the disk: one wait for many, instead of one for each.  Before
it has its name a file does not count, so a power cut leaves whole files and others that are written again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.appliance.errors import BACKUP_FOLDER_OTHER, BACKUP_NOT_WHOLE
from firmware_app.core.state_dir import sync_directory
from firmware_app.uplink.messages import encrypted_files

SUFFIX: Final = ".lnb"
_LIST: Final = ".list"
_FILES: Final = ("files", "images")


@dataclass(frozen=True, slots=True)
class LockedFolder:
    """The sets in *root* and the files that they need."""

    root: Path

    @property
    def _sets(self) -> Path:
        return self.root / "sets"

    def prepare(self, own: set[bytes]) -> None:
        """Make what is missing; raises `BACKUP_FOLDER_OTHER` where another box's backups lie, by the ids of its
        keys."""
        for path in (self.root, self._sets, self.root / _FILES[0]):
            path.mkdir(exist_ok=True)
        for path in self.list_sets():
            if (mark := encrypted_files.read_locked_key_id(path)) is not None and mark not in own:
                raise BACKUP_FOLDER_OTHER(path=str(self.root))

    def list_sets(self) -> list[Path]:
        """The newest first."""
        return sorted(self._sets.glob(f"[0-9]*{SUFFIX}"), reverse=True)

    def find_newest_number(self) -> int:
        """Also of a box before this one; 0 without any."""
        return max((int(path.stem) for path in self.list_sets() if path.stem.isdecimal()), default=0)

    def set_path(self, number: int) -> Path:
        return self._sets / f"{number:06d}{SUFFIX}"

    def is_whole(self, number: int) -> bool:
        """Whether that set and every file that it needs lie here."""
        one = self.set_path(number)
        return one.exists() and one.with_suffix(_LIST).exists()

    def is_newer_than(self, hours: float) -> bool:
        """Whether the newest set is whole, and was so less than *hours* ago by the machine's clock."""
        newest = next(iter(self.list_sets()), None)
        try:
            age_s = time.time() - newest.with_suffix(_LIST).stat().st_mtime if newest is not None else -1.0
        except OSError:  # it is not whole yet
            return False
        return 0 <= age_s < hours * 3600

    def locked_path(self, place: str, public: X25519PublicKey) -> Path:
        """Where the file at *place* below the state lies locked, or will; an HMAC, for whoever finds the disk."""
        name = hmac.new(public.public_bytes_raw(), place.encode(), hashlib.sha256).hexdigest()[:40]
        made, earlier = (self.root / folder / name[:2] / f"{name}{SUFFIX}" for folder in _FILES)
        return earlier if earlier.exists() and not made.exists() else made

    def complete(self, number: int, names: Iterable[str]) -> None:
        """Note that the set is whole, and which files it needs."""
        path = self.set_path(number).with_suffix(_LIST)
        fresh = path.with_suffix(NEW_SUFFIX)
        with fresh.open("w", encoding="ascii") as handle:
            handle.writelines(f"{name}\n" for name in sorted(names))
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(path)
        sync_directory(self._sets)

    def delete_old_sets(self, keep: int) -> None:
        """Remove all but the newest *keep* sets, never the last whole one, and the files that no set needs any more."""
        sets = self.list_sets()
        whole = [path for path in sets if path.with_suffix(_LIST).exists()]
        if not whole:
            return
        for old in sets[max(keep, sets.index(whole[0]) + 1) :]:
            old.unlink()
            old.with_suffix(_LIST).unlink(missing_ok=True)
        for name in self._sets.glob(f"*{_LIST}"):
            if not name.with_suffix(SUFFIX).exists():
                name.unlink()
        sync_directory(self._sets)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove what a run that was cut off has left and, where every set has its list, the files of none."""
        for left in (*self._sets.glob(f"*{NEW_SUFFIX}"), *self._list_locked(NEW_SUFFIX)):
            left.unlink()
        sets = self.list_sets()
        if not sets:
            return
        try:
            needed = {name for path in sets for name in path.with_suffix(_LIST).read_text("utf-8").split()}
        except FileNotFoundError:  # a set that is not whole yet, or of an earlier version: what it needs is not known
            return
        for file in self._list_locked(SUFFIX):
            if file.stem not in needed:
                file.unlink()
                with suppress(OSError):  # others are in it
                    file.parent.rmdir()

    def _list_locked(self, suffix: str) -> Iterator[Path]:
        for folder in _FILES:
            yield from list((self.root / folder).glob(f"*/*{suffix}"))


_MOST_FILES, _MOST_BYTES = 64, 64_000_000
_PIECE: Final = 1 << 20
NEW_SUFFIX: Final = ".new"


@dataclass(slots=True)
class NewFile:
    """A file that is being written, beside its place."""

    handle: BinaryIO
    path: Path
    place: Path
    crc: int = 0
    size: int = 0

    def write(self, data: bytes) -> int:
        self.crc, self.size = zlib.crc32(data, self.crc), self.size + len(data)
        return self.handle.write(data)


class FileBatch:
    """Used as ``with Batch() as batch``: what is left is settled at an orderly end, and without a name after an error.

    With *read_back* each file is read again from the disk before it counts; raises `BACKUP_NOT_WHOLE`.
    """

    def __init__(self, *, read_back: bool = False, settled: Callable[[int], None] = lambda _files: None) -> None:
        self._read_back, self._settled = read_back, settled
        self._waiting: list[NewFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            for new_file in self._waiting:
                new_file.handle.close()

    def begin(self, place: Path, mode: int | None = None) -> NewFile:
        """A file that will lie at *place*; `end` comes before the next one begins."""
        fresh = place.with_name(f".{place.name}{NEW_SUFFIX}")
        fresh.unlink(missing_ok=True)
        self._waiting.append(NewFile(fresh.open("xb"), fresh, place))
        if mode is not None:  # FAT and shares may refuse one
            fresh.chmod(mode)
        return self._waiting[-1]

    def end(self) -> None:
        """The file is written."""
        self._waiting[-1].handle.flush()
        if len(self._waiting) >= _MOST_FILES or sum(new_file.size for new_file in self._waiting) >= _MOST_BYTES:
            self.commit()

    def discard(self) -> None:
        """The file is not to be."""
        last = self._waiting.pop()
        last.handle.close()
        last.path.unlink()

    def commit(self) -> None:
        """Return when every file that was ended has its name, durably."""
        for new_file in self._waiting:
            os.fsync(new_file.handle.fileno())
        for new_file in self._waiting:
            new_file.handle.close()
            if self._read_back:
                _require_whole(new_file)
            new_file.path.replace(new_file.place)
        for folder in {new_file.place.parent for new_file in self._waiting}:
            sync_directory(folder)
        done, self._waiting = len(self._waiting), []
        self._settled(done)


def _require_whole(one: NewFile) -> None:
    crc = 0
    with one.path.open("rb") as handle:
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # from the disk, not from memory
        while piece := handle.read(_PIECE):
            crc = zlib.crc32(piece, crc)
    if crc != one.crc:
        one.path.unlink()
        raise BACKUP_NOT_WHOLE(database=one.place.name)

"""The folder of a locked backup, and what goes from it.

sets/000012.lnb     databases, settings and the list of packs of one night
sets/000012.list    the names of the files that this set needs; it comes last, when all of them are there and whole
files/ab/….lnb      each image, and each file of an installed pack, once, under a name that says nothing of it

A set goes when enough later ones have their list, a file when no set that is left needs it.  An earlier version called
files/ images/ and wrote no lists.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.appliance.care.locked.batch import FRESH
from firmware_app.core.errors import BackupFolderOther
from firmware_app.core.state_dir import sync_directory
from firmware_app.uplink.messages import locked_file

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
        """Make what is missing; raises `BackupFolderOther` where another box's backups lie, by the ids of its keys."""
        for one in (self.root, self._sets, self.root / _FILES[0]):
            one.mkdir(exist_ok=True)
        for one in self.sets():
            if (mark := locked_file.mark_of(one)) is not None and mark not in own:
                raise BackupFolderOther(path=str(self.root))

    def sets(self) -> list[Path]:
        """The newest first."""
        return sorted(self._sets.glob(f"[0-9]*{SUFFIX}"), reverse=True)

    def newest_number(self) -> int:
        """Also of a box before this one; 0 without any."""
        return max((int(one.stem) for one in self.sets() if one.stem.isdecimal()), default=0)

    def set_of(self, number: int) -> Path:
        return self._sets / f"{number:06d}{SUFFIX}"

    def is_whole(self, number: int) -> bool:
        """Whether that set and every file that it needs lie here."""
        one = self.set_of(number)
        return one.exists() and one.with_suffix(_LIST).exists()

    def place_of(self, place: str, public: X25519PublicKey) -> Path:
        """Where the file at *place* below the state lies locked, or will; an HMAC, for whoever finds the disk."""
        name = hmac.new(public.public_bytes_raw(), place.encode(), hashlib.sha256).hexdigest()[:40]
        made, earlier = (self.root / folder / name[:2] / f"{name}{SUFFIX}" for folder in _FILES)
        return earlier if earlier.exists() and not made.exists() else made

    def complete(self, number: int, names: Iterable[str]) -> None:
        """Note that the set is whole, and which files it needs."""
        path = self.set_of(number).with_suffix(_LIST)
        fresh = path.with_suffix(FRESH)
        with fresh.open("w", encoding="ascii") as handle:
            handle.writelines(f"{name}\n" for name in sorted(names))
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(path)
        sync_directory(self._sets)

    def let_go(self, keep: int) -> None:
        """Remove all but the newest *keep* sets, never the last whole one, and the files that no set needs any more."""
        sets = self.sets()
        whole = [one for one in sets if one.with_suffix(_LIST).exists()]
        if not whole:
            return
        for old in sets[max(keep, sets.index(whole[0]) + 1) :]:
            old.unlink()
            old.with_suffix(_LIST).unlink(missing_ok=True)
        for name in self._sets.glob(f"*{_LIST}"):
            if not name.with_suffix(SUFFIX).exists():
                name.unlink()
        sync_directory(self._sets)
        self.sweep()

    def sweep(self) -> None:
        """Remove what a run that was cut off has left and, where every set has its list, the files of none."""
        for left in (*self._sets.glob(f"*{FRESH}"), *self._locked(FRESH)):
            left.unlink()
        sets = self.sets()
        if not sets:
            return
        try:
            needed = {name for one in sets for name in one.with_suffix(_LIST).read_text("utf-8").split()}
        except FileNotFoundError:  # a set that is not whole yet, or of an earlier version: what it needs is not known
            return
        for file in self._locked(SUFFIX):
            if file.stem not in needed:
                file.unlink()
                with suppress(OSError):  # others are in it
                    file.parent.rmdir()

    def _locked(self, suffix: str) -> Iterator[Path]:
        for folder in _FILES:
            yield from list((self.root / folder).glob(f"*/*{suffix}"))

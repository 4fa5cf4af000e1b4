"""Photographs of a disk while it is written: an ext4 image that lies on a reflinked XFS, copied in milliseconds.

Each copy (`cp --reflink=always`) is what the disk would hold if the power failed at that instant, and is looked at
afterwards as a machine does that starts again: mounted elsewhere, its journal replayed.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tests.faults.loopfs import LoopFileSystem, run
from tests.peers import need_root, peer
from tests.small_disk import unmount

Known = TypeVar("Known")
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class CrashImage(Generic[Known]):
    """A copy of the disk, and what was known just before it was begun."""

    image: Path
    known: Known


class CrashImageDisk:
    """The XFS with the disk on it, and the copies made of the disk."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self._image, self._mount, self._look = folder / "xfs.img", folder / "xfs", folder / "look"
        with self._image.open("wb") as image:
            image.truncate(megabytes * _MEGABYTE)
        run(peer("mkfs.xfs"), "-q", "-m", "reflink=1", str(self._image))
        self._mount.mkdir()
        self._look.mkdir()
        run("mount", "-o", "loop", str(self._image), str(self._mount))
        self.disk = LoopFileSystem(self._mount, megabytes)
        self.disk.attach()
        self._copies = 0

    def copy(self) -> Path:
        """One more copy of the disk, as it is at some instant of this call."""
        target = self._mount / f"copy-{self._copies}.img"
        self._copies += 1
        run("cp", "--reflink=always", str(self.disk.image), str(target))
        return target

    @contextmanager
    def mount_copy(self, image: Path) -> Iterator[Path]:
        """The copy mounted apart from the disk; thrown away afterwards."""
        run("mount", "-o", "loop", str(image), str(self._look))
        try:
            yield self._look
        finally:
            unmount(self._look)
            image.unlink()

    def close(self) -> None:
        """Let go of every mount, also after a failure."""
        if self._look.is_mount():
            subprocess.run(["umount", "--lazy", str(self._look)], check=False)
        self.disk.abandon()
        subprocess.run(["umount", "--lazy", str(self._mount)], check=False)


@contextmanager
def darkroom(folder: Path, megabytes: int = 1024) -> Iterator[CrashImageDisk]:
    """A disk that can be photographed; gone afterwards."""
    need_root()
    peer("xfs_io")
    made = CrashImageDisk(folder, megabytes)
    try:
        yield made
    finally:
        made.close()


class DiskCopier(threading.Thread, Generic[Known]):
    """Copies the disk every *seconds* until `stop`; *known* is asked before each copy begins."""

    def __init__(self, room: CrashImageDisk, known: Callable[[], Known], seconds: float = 0.05) -> None:
        super().__init__(name="photographer")
        self._room, self._known, self._seconds = room, known, seconds
        self._enough = threading.Event()
        self.images: list[CrashImage[Known]] = []

    def run(self) -> None:
        while not self._enough.wait(self._seconds):
            known = self._known()
            self.images.append(CrashImage(self._room.copy(), known))

    def stop(self) -> None:
        self._enough.set()
        self.join()

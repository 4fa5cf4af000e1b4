"""A file system of its own in a file, on which the power can be cut.

The cut is the file system's own: XFS_IOC_GOINGDOWN without flushing the journal (`xfs_io -c shutdown`), which ext4
knows too.  Nothing that was only in memory reaches the image afterwards; unmounting and mounting again replays the
journal as a machine does when the power comes back.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import need_root, peer

_MEGABYTE = 1 << 20


class LoopFileSystem:
    """An ext4 file system in a fresh image file, mounted at `mount`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self._image = folder / "disk.img"
        self.mount = folder / "mnt"
        self._mounted = False
        with self._image.open("wb") as image:
            image.truncate(megabytes * _MEGABYTE)
        _run(peer("mkfs.ext4"), "-q", "-F", str(self._image))
        self.mount.mkdir()

    def attach(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.mount))
        self._mounted = True

    def detach(self) -> None:
        """Unmount; raises when something still uses the file system, because then nothing was proven."""
        if self._mounted:
            _run("umount", str(self.mount))
            self._mounted = False
            assert not self.mount.is_mount()

    def cut_power(self) -> None:
        """From this instant nothing reaches the disk any more."""
        _run(peer("xfs_io"), "-x", "-c", "shutdown", str(self.mount))

    def restore_power(self) -> None:
        """Unmount what died and mount the image again; the journal is replayed."""
        self.detach()
        self.attach()

    def abandon(self) -> None:
        """After a failed test: let go even of a file system that is in use."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.mount)], check=False)
            self._mounted = False


@contextmanager
def loop_file_system(folder: Path, megabytes: int = 256) -> Iterator[LoopFileSystem]:
    """A mounted file system that is gone afterwards; skips where it cannot be made."""
    need_root()
    peer("xfs_io")
    made = LoopFileSystem(folder, megabytes)
    made.attach()
    try:
        yield made
        made.detach()
    finally:
        made.abandon()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stderr.strip()}"

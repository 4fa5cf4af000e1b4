"""A file system of its own in a file: its power can be cut, it can be full, out of inodes or read-only.

The cut is the file system's own: XFS_IOC_GOINGDOWN without flushing the journal (`xfs_io -c shutdown`), which ext4
knows too.  Nothing that was only in memory reaches the image afterwards; unmounting and mounting again replays the
journal as a machine does when the power comes back.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import need_root, peer
from tests.small_disk import unmount

_MEGABYTE = 1 << 20
_GONE_S = 20.0


class LoopFileSystem:
    """An ext4 file system in a fresh image file, mounted at `mount`."""

    def __init__(self, folder: Path, megabytes: int, inodes: int | None = None) -> None:
        self.image = folder / "disk.img"
        self.mount = folder / "mnt"
        self._mounted = False
        with self.image.open("wb") as image:
            image.truncate(megabytes * _MEGABYTE)
        few = ["-N", str(inodes)] if inodes is not None else []
        run(peer("mkfs.ext4"), "-q", "-F", "-m", "0", *few, str(self.image))
        self.mount.mkdir()

    def attach(self) -> None:
        run("mount", "-o", "loop", str(self.image), str(self.mount))
        self._mounted = True

    def detach(self) -> None:
        """Unmount; raises when something still uses the file system, because then nothing was proven."""
        if self._mounted:
            unmount(self.mount)
            self._mounted = False

    def cut_power(self) -> float:
        """Nothing reaches the disk any more.  Returns when that was asked for, by CLOCK_MONOTONIC in seconds: what is
        answered later is no promise, though ext4 may call an fsync done for some milliseconds more, whose journal was
        given up before the commit record (jbd2_complete_transaction asks for no abort)."""
        instant = time.monotonic()
        run(peer("xfs_io"), "-x", "-c", "shutdown", str(self.mount))
        return instant

    def restore_power(self) -> None:
        """Unmount what died (or turned read-only by itself) and mount the image again; the journal is replayed.

        While anybody in another mount namespace still looks at the dead file system, a mount gives that one back.
        """
        deadline = time.monotonic() + _GONE_S
        self.detach()
        self.attach()
        while self._is_dead():
            assert time.monotonic() < deadline, "something keeps the dead file system"
            self.detach()
            time.sleep(0.1)  # nobody says when they let go
            self.attach()

    def _is_dead(self) -> bool:
        mounts = (line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines())
        options = {option for mount in mounts if mount[1] == str(self.mount) for option in mount[3].split(",")}
        return not options.isdisjoint({"emergency_ro", "shutdown"})

    def fail_read_only(self) -> None:
        """What ext4 does by itself when the disk fails under it: read-only at once, until it is mounted again."""
        run("mount", "-o", "remount,abort", str(self.mount))

    def make_read_only(self, read_only: bool = True) -> None:
        """An orderly remount, there and back; the kernel refuses it while a file is open for writing."""
        run("mount", "-o", "remount,ro" if read_only else "remount,rw", str(self.mount))

    def fill(self, leave: int = 0) -> None:
        """Take every free byte but the last *leave*; harmless when repeated."""
        with (self.mount / "filler").open("ab") as filler:
            for size in (_MEGABYTE, 4096, 1):
                block = bytes(size)
                try:
                    while True:
                        os.write(filler.fileno(), block)
                        os.fsync(filler.fileno())  # delayed allocation would promise what is not there
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            if leave:
                filler.truncate(max(0, os.fstat(filler.fileno()).st_size - leave))

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.mount / "filler").unlink(missing_ok=True)

    def take_inodes(self) -> None:
        """Take every inode that is left."""
        crowd = self.mount / "crowd"
        crowd.mkdir(exist_ok=True)
        number = len(list(crowd.iterdir()))
        try:
            while True:
                (crowd / str(number)).touch(exist_ok=False)
                number += 1
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def give_inodes(self) -> None:
        """Give back what `take_inodes` took."""
        for file in (self.mount / "crowd").iterdir():
            file.unlink()

    def abandon(self) -> None:
        """After a failed test: let go even of a file system that is in use."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.mount)], check=False)
            self._mounted = False


@contextmanager
def loop_file_system(folder: Path, megabytes: int = 256, inodes: int | None = None) -> Iterator[LoopFileSystem]:
    """A mounted file system that is gone afterwards; skips where it cannot be made."""
    need_root()
    peer("xfs_io")
    made = LoopFileSystem(folder, megabytes, inodes)
    made.attach()
    try:
        yield made
        made.detach()
    finally:
        made.abandon()


def run(*command: str) -> None:
    """Run *command* to its end; fails with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stderr.strip()}"

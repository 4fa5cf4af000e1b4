"""A file system of a few megabytes of its own, in memory, and letting go of any."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers import need_root

_BUSY_S = 20.0


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """*folder*, made and mounted with tmpfs's *options*, as in "size=24m"; nothing is left of it afterwards."""
    need_root()
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        unmount(folder)


def unmount(mount: Path) -> None:
    """Waits for whoever still looks: threads of a killed process let go of their files one after the other, and a
    browser that starts in another test asks every file system how full it is."""
    deadline = time.monotonic() + _BUSY_S
    while (done := subprocess.run(["umount", str(mount)], capture_output=True, text=True, check=False)).returncode:
        if time.monotonic() > deadline:
            subprocess.run(["umount", "--lazy", str(mount)], check=False)
            raise AssertionError(f"something still used the file system: {done.stderr.strip()}")
        time.sleep(0.02)
    assert not mount.is_mount()

"""The part that needs root: probe the stick, make the device read-only, mount it, check the kernel's mount table.

The kernel's driver is tried first, then the FUSE daemon where it is installed (`drivers`).  In both cases
`mount -o remount,bind` then sets the options in the kernel itself, and `mount_table.require_safe` checks them.  A mount
that fails the check is undone.  No other user sees it before that, because it lies below a folder that only root may
enter (systemd gives the importer access).
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from firmware_app.core.errors import StickError, StickInUse, StickNotMounted, StickWithoutDriver
from firmware_app.ingest.stick import drivers, mount_table
from firmware_app.ingest.stick.file_system import PATHS, FileSystem, probe

_LIMIT_S: Final = 60.0
_BLKROSET: Final = 0x125D  # linux/fs.h
_OPTIONS: Final = ",".join(mount_table.NEEDED)


def attach(device: Path, place: Path, kind: FileSystem | None = None) -> FileSystem:
    """Mount *device* at *place*, a folder that is made if needed, and return its file system.

    Raises `StickError`; then nothing is mounted.  With *kind* blkid is not asked.
    """
    if not stat.S_ISBLK(device.stat().st_mode):
        raise StickNotMounted(detail=f"{device.name}: not a block device")
    _require_free(device, place.parent.parent)
    kind = kind or probe(device)
    _seal(device)
    place.mkdir(mode=0o700, exist_ok=True)
    if mount_table.at(place) is not None:
        raise StickNotMounted(detail=f"{place.name}: in use")
    try:
        _mount(device, place, kind)
        _run(["mount", "-o", f"remount,bind,{_OPTIONS}", str(place)])
        mount_table.require_safe(place)
    except StickError:
        detach(place)
        raise
    return kind


def detach(place: Path) -> None:
    """Unmount whatever is at *place*, also when the stick was pulled, and remove the folder; may be repeated.

    Raises `StickNotMounted` when something stays mounted.
    """
    while mount_table.at(place) is not None:
        for how in ([], ["--lazy"]):  # --lazy works also when the driver of a pulled stick no longer answers
            with suppress(StickNotMounted):
                _run(["umount", *how, str(place)])
                break
        else:
            raise StickNotMounted(detail="umount")
    with suppress(FileNotFoundError):
        place.rmdir()


def release(device: Path) -> None:
    """Make the device writable again, for whatever people do with the stick afterwards."""
    with suppress(OSError):  # the stick is out already
        _set_read_only(device, False)


def number(device: Path) -> str:
    """``major:minor`` of *device*; under that name it is in /sys/dev/block as long as it is connected."""
    device_number = device.stat().st_rdev
    return f"{os.major(device_number)}:{os.minor(device_number)}"


def _require_free(device: Path, ours: Path) -> None:
    """Raise `StickInUse` when any part of the disk is mounted outside *ours*: the box may run from a USB disk."""
    mine = {one.device for one in mount_table.mounted() if ours not in Path(one.place).parents}
    folder = Path("/sys/dev/block", number(device)).resolve()
    disk = folder.parent if (folder / "partition").exists() else folder
    parts = [disk / "dev", *disk.glob(f"{disk.name}*/dev")]
    if mine.intersection(part.read_text("ascii").strip() for part in parts if part.exists()):
        raise StickInUse()


def _seal(device: Path) -> None:
    """Make the kernel refuse every write to the device, from any driver; raises `StickNotMounted`."""
    try:
        _set_read_only(device, True)
    except OSError as error:
        raise StickNotMounted(detail=error.strerror or type(error).__name__) from None


def _set_read_only(device: Path, read_only: bool) -> None:
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _BLKROSET, struct.pack("i", read_only))
    finally:
        os.close(descriptor)


def _mount(device: Path, place: Path, kind: FileSystem) -> None:
    driver = drivers.DRIVERS[kind]
    options = f"{_OPTIONS},{driver.options}"
    try:
        _run(["mount", "--internal-only", "-t", driver.kernel, "-o", options, str(device), str(place)])
        return
    except StickNotMounted:
        if not drivers.has_daemon(driver):
            if drivers.is_loaded(driver.kernel):
                raise
            raise StickWithoutDriver(kind=driver.name, package=driver.package) from None
    daemon, *arguments = driver.daemon
    _run([daemon, *_ordered(arguments, device, place)])


def _ordered(arguments: Sequence[str], device: Path, place: Path) -> list[str]:
    """fuseiso needs its own option first and FUSE's options last; the other daemons take any order."""
    own = [one for one in arguments if one == "-n"]
    return [*own, str(device), str(place), *(one for one in arguments if one not in own)]


def _run(command: list[str]) -> None:
    """Run a system program to its end; raises `StickNotMounted` with its name and exit status."""
    try:
        # A FUSE daemon keeps its streams open after this call, so it gets none whose end is waited for.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=_LIMIT_S,
            env={**os.environ, **PATHS},
            cwd="/",
        )
    except FileNotFoundError:
        raise StickNotMounted(detail=f"{command[0]}: not installed") from None
    except OSError as error:
        raise StickNotMounted(detail=f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise StickNotMounted(detail=f"{command[0]}: no answer in {_LIMIT_S:g} s") from None
    if done.returncode:
        raise StickNotMounted(detail=f"{command[0]} {done.returncode}")

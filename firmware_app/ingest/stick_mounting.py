"""Mount a USB stick read-only: probe the file system, find a driver, mount, check the kernel's own mount table.

Two processes import a stick.  The mounter (root, no network) does what is here.  The importer (its own user, no
network, a read-only view of the stick) copies.  Neither trusts the contents.

Cameras, ultrasound devices and Windows write FAT, exFAT and NTFS; patients' CDs have ISO 9660.  Everything else is
refused unmounted: a driver parses untrusted data with the kernel's rights, so only those that a clinic needs are
used.

The kernel's driver is tried first, then the FUSE daemon of a Debian package where it is installed.  In both cases
`mount -o remount,bind` sets the options in the kernel itself, and `require_safe_mount` checks them in the kernel's
table (proc(5), /proc/PID/mountinfo), the only source that is trusted for mounts.  A mount that fails the check is
undone.  No other user sees it before that, because it lies below a folder that only root may enter (systemd gives the
importer access).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from firmware_app.cases.errors import StickError
from firmware_app.ingest.errors import (
    STICK_BLANK,
    STICK_FOREIGN,
    STICK_UNSAFE,
    STICK_WITHOUT_DRIVER,
    StickInUse,
    StickNotMounted,
)

NEEDED: Final = ("ro", "nosuid", "nodev", "noexec", "nosymfollow")
"""The mount options of every stick, in this order."""
MOUNT_FLAGS: Final = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "nosymfollow": 8192}
"""The flags of statvfs(2) for these options (linux/statfs.h)."""
_TABLE: Final = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table."""

    device: str  # major:minor
    place: str
    options: frozenset[str]  # of this mount, not of the file system behind it
    driver: str


def list_mounts(table: str | None = None) -> list[Mount]:
    """The mounts that this process sees, the oldest first; a later mount hides an earlier one at the same place."""
    mounts = []
    for line in (table if table is not None else _TABLE.read_text("utf-8", "surrogateescape")).splitlines():
        fields = line.split(" ")
        after = fields.index("-", 6)
        mounts.append(Mount(fields[2], _unescape(fields[4]), frozenset(fields[5].split(",")), fields[after + 1]))
    return mounts


def find_mount(place: Path, table: str | None = None) -> Mount | None:
    """The visible mount at *place*; None where nothing is mounted."""
    name = str(place)
    return next((mount for mount in reversed(list_mounts(table)) if mount.place == name), None)


def require_safe_mount(place: Path, table: str | None = None) -> Mount:
    """The mount at *place*; raises `STICK_UNSAFE` unless it exists with every option of `NEEDED`.

    The kernel is asked, because a FUSE daemon silently ignores options that it does not know.
    """
    mount = find_mount(place, table)
    missing = [option for option in NEEDED if mount is None or option not in mount.options]
    if mount is None or missing:
        raise STICK_UNSAFE(missing=", ".join(missing))
    return mount


def _unescape(field: str) -> str:
    r"""A field of the table without its octal escapes, as \040 for a blank."""
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), field)


_BLKID: Final = "blkid"
_LIMIT_S: Final = 60.0
_NOTHING, _AMBIVALENT = 2, 8  # blkid(8), exit status
TOOL_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""Environment of every program that is run: fuseiso and ntfs-3g show Chinese names only in a UTF-8 locale."""


class FileSystem(StrEnum):
    """A file system that is mounted, by blkid's name."""

    FAT = "vfat"
    EXFAT = "exfat"
    NTFS = "ntfs"
    ISO9660 = "iso9660"


def probe_file_system(device: Path) -> FileSystem:
    """The file system on *device*; raises `STICK_BLANK`, `STICK_FOREIGN` or `StickNotMounted`.

    A device with the signatures of two file systems, which may be a trap, counts as having none.  A disc that is both
    UDF and ISO 9660, as DVD recorders write it, is opened as ISO 9660.
    """
    answer = _probe_type(device)
    if answer == "udf" and _probe_type(device, "--match-types", "iso9660") == "iso9660":
        return FileSystem.ISO9660
    try:
        return FileSystem(answer)
    except ValueError:
        plain = "".join(letter for letter in answer if letter.isalnum() or letter in "_-")
        raise STICK_FOREIGN(kind=plain[:20] or "?") from None


def _probe_type(device: Path, *options: str) -> str:
    """The TYPE found by low-level probing, without blkid's cache."""
    command = [_BLKID, "--probe", *options, "--match-tag", "TYPE", "--output", "value", str(device)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **TOOL_ENVIRONMENT},
        )
    except OSError as error:
        raise StickNotMounted(detail=f"{_BLKID}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise StickNotMounted(detail=f"{_BLKID}: no answer in {_LIMIT_S:g} s") from None
    if done.returncode in (_NOTHING, _AMBIVALENT):
        raise STICK_BLANK()
    if done.returncode:
        raise StickNotMounted(detail=f"blkid {done.returncode}")
    kind = done.stdout.decode("ascii", "replace").strip()
    if not kind:  # a partition table, or a signature that is no file system
        raise STICK_BLANK()
    return kind


_FILE_SYSTEMS: Final = Path("/proc/filesystems")
_MODULES: Final = Path("/lib/modules")
_FUSE: Final = Path("/dev/fuse")


@dataclass(frozen=True, slots=True)
class Driver:
    """Both ways to mount one file system; `options` come in addition to `NEEDED`."""

    name: str
    """The usual name of the file system."""
    kernel: str
    options: str
    daemon: tuple[str, ...]
    """The command of the FUSE daemon with its options."""
    package: str
    """The Debian package of the daemon."""


# Everyone may read: the folder above the mount decides who can reach it.  Names are UTF-8, or Chinese ones would be
# lost.  No Rock Ridge, which allows links, pipes and devices on a CD.  The NTFS journal is not replayed (norecover):
# the stick may come from a Windows that hibernates or was switched off.
DRIVERS: Final[dict[FileSystem, Driver]] = {
    FileSystem.FAT: Driver(
        "FAT32",
        "vfat",
        "umask=0222,utf8",
        ("fusefat", "-o", "ro,nosuid,nodev,noexec,allow_other,umask=0222"),
        "fusefat",
    ),
    FileSystem.EXFAT: Driver(
        "exFAT",
        "exfat",
        "umask=0222,iocharset=utf8",
        ("mount.exfat-fuse", "-o", "ro,nosuid,nodev,noexec,umask=0222"),
        "exfat-fuse",
    ),
    FileSystem.NTFS: Driver(
        "NTFS",
        "ntfs3",
        "umask=0222,iocharset=utf8",
        ("ntfs-3g", "-o", "ro,norecover,nosuid,nodev,noexec,allow_other,umask=0222"),
        "ntfs-3g",
    ),
    FileSystem.ISO9660: Driver(
        "CD",
        "iso9660",
        "mode=0444,dmode=0555,norock,iocharset=utf8",
        ("fuseiso", "-n", "-o", "ro,nosuid,nodev,noexec,allow_other"),
        "fuseiso",
    ),
}


def list_missing_drivers() -> list[Driver]:
    """The file systems that this machine cannot open; raises `PermissionError` where modules may not be listed."""
    modules = _read_module_aliases()
    return [
        driver
        for driver in DRIVERS.values()
        if not (is_loaded(driver.kernel) or f"alias fs-{driver.kernel} " in modules or has_daemon(driver))
    ]


def is_loaded(name: str) -> bool:
    """Whether the running kernel has the file system *name* loaded; a module is loaded at the first mount."""
    return name in {line.split("\t")[-1] for line in _FILE_SYSTEMS.read_text("ascii").splitlines()}


def has_daemon(driver: Driver) -> bool:
    """Whether the FUSE daemon is installed and the kernel has FUSE."""
    return _FUSE.exists() and shutil.which(driver.daemon[0], path=TOOL_ENVIRONMENT["PATH"]) is not None


def _read_module_aliases() -> str:
    """The kernel's module aliases; that of a file system is ``fs-NAME``."""
    try:
        return (_MODULES / os.uname().release / "modules.alias").read_text("utf-8")
    except FileNotFoundError:
        return ""


_BLKROSET: Final = 0x125D  # linux/fs.h
_OPTIONS: Final = ",".join(NEEDED)


def mount_stick(device: Path, place: Path, kind: FileSystem | None = None) -> FileSystem:
    """Mount *device* at *place*, a folder that is made if needed, and return its file system.

    Raises `StickError`; then nothing is mounted.  With *kind* blkid is not asked.
    """
    if not stat.S_ISBLK(device.stat().st_mode):
        raise StickNotMounted(detail=f"{device.name}: not a block device")
    _require_free(device, place.parent.parent)
    kind = kind or probe_file_system(device)
    _make_read_only(device)
    place.mkdir(mode=0o700, exist_ok=True)
    if find_mount(place) is not None:
        raise StickNotMounted(detail=f"{place.name}: in use")
    try:
        _mount(device, place, kind)
        _run(["mount", "-o", f"remount,bind,{_OPTIONS}", str(place)])
        require_safe_mount(place)
    except StickError:
        unmount_stick(place)
        raise
    return kind


def unmount_stick(place: Path) -> None:
    """Unmount whatever is at *place*, also when the stick was pulled, and remove the folder; may be repeated.

    Raises `StickNotMounted` when something stays mounted.
    """
    while find_mount(place) is not None:
        for how in ([], ["--lazy"]):  # --lazy works also when the driver of a pulled stick no longer answers
            with suppress(StickNotMounted):
                _run(["umount", *how, str(place)])
                break
        else:
            raise StickNotMounted(detail="umount")
    with suppress(FileNotFoundError):
        place.rmdir()


def make_writable(device: Path) -> None:
    """Make the device writable again, for whatever people do with the stick afterwards."""
    with suppress(OSError):  # the stick is out already
        _set_read_only(device, False)


def read_device_number(device: Path) -> str:
    """``major:minor`` of *device*; under that name it is in /sys/dev/block as long as it is connected."""
    device_number = device.stat().st_rdev
    return f"{os.major(device_number)}:{os.minor(device_number)}"


def _require_free(device: Path, ours: Path) -> None:
    """Raise `StickInUse` when any part of the disk is mounted outside *ours*: the box may run from a USB disk."""
    mine = {mount.device for mount in list_mounts() if ours not in Path(mount.place).parents}
    folder = Path("/sys/dev/block", read_device_number(device)).resolve()
    disk = folder.parent if (folder / "partition").exists() else folder
    parts = [disk / "dev", *disk.glob(f"{disk.name}*/dev")]
    if mine.intersection(part.read_text("ascii").strip() for part in parts if part.exists()):
        raise StickInUse()


def _make_read_only(device: Path) -> None:
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
    driver = DRIVERS[kind]
    options = f"{_OPTIONS},{driver.options}"
    try:
        _run(["mount", "--internal-only", "-t", driver.kernel, "-o", options, str(device), str(place)])
        return
    except StickNotMounted:
        if not has_daemon(driver):
            if is_loaded(driver.kernel):
                raise
            raise STICK_WITHOUT_DRIVER(kind=driver.name, package=driver.package) from None
    daemon, *arguments = driver.daemon
    _run([daemon, *_daemon_command(arguments, device, place)])


def _daemon_command(arguments: Sequence[str], device: Path, place: Path) -> list[str]:
    """fuseiso needs its own option first and FUSE's options last; the other daemons take any order."""
    own = [argument for argument in arguments if argument == "-n"]
    return [*own, str(device), str(place), *(argument for argument in arguments if argument not in own)]


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
            env={**os.environ, **TOOL_ENVIRONMENT},
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

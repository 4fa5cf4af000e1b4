"""By which driver each kind of stick is opened: one of the kernel, else the FUSE daemon of a Debian package."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.intake.stick.file_system import PATHS, FileSystem

_FILE_SYSTEMS: Final = Path("/proc/filesystems")
_MODULES: Final = Path("/lib/modules")
_FUSE: Final = Path("/dev/fuse")


@dataclass(frozen=True, slots=True)
class Driver:
    """Both ways to mount one kind; the options are those beside `mount_table.NEEDED`."""

    name: str
    """What people call such a stick."""
    kernel: str
    options: str
    daemon: tuple[str, ...]
    """The FUSE daemon with its options."""
    package: str
    """The Debian package of the daemon."""


# Everybody may read: who gets to the mount at all is decided by the folder above it.  Names as UTF-8, or Chinese ones
# are lost; no Rock Ridge, which would bring links, pipes and devices onto a CD.  Of NTFS the journal is left as it is
# (norecover): the stick may come from a Windows that hibernates or was switched off.
DRIVERS: Final[dict[FileSystem, Driver]] = {
    FileSystem.FAT: Driver(
        "FAT32", "vfat", "umask=0222,utf8",
        ("fusefat", "-o", "ro,nosuid,nodev,noexec,allow_other,umask=0222"), "fusefat",
    ),
    FileSystem.EXFAT: Driver(
        "exFAT", "exfat", "umask=0222,iocharset=utf8",
        ("mount.exfat-fuse", "-o", "ro,nosuid,nodev,noexec,umask=0222"), "exfat-fuse",
    ),
    FileSystem.NTFS: Driver(
        "NTFS", "ntfs3", "umask=0222,iocharset=utf8",
        ("ntfs-3g", "-o", "ro,norecover,nosuid,nodev,noexec,allow_other,umask=0222"), "ntfs-3g",
    ),
    FileSystem.ISO9660: Driver(
        "CD", "iso9660", "mode=0444,dmode=0555,norock,iocharset=utf8",
        ("fuseiso", "-n", "-o", "ro,nosuid,nodev,noexec,allow_other"), "fuseiso",
    ),
}  # fmt: skip


def absent() -> list[Driver]:
    """The kinds of stick that this machine cannot open; raises `PermissionError` where modules may not be looked at."""
    modules = _modules()
    return [
        driver
        for driver in DRIVERS.values()
        if not (is_loaded(driver.kernel) or f"alias fs-{driver.kernel} " in modules or has_daemon(driver))
    ]


def is_loaded(name: str) -> bool:
    """Whether the running kernel has the file system *name*; a module for it is loaded at the first try to mount."""
    return name in {line.split("\t")[-1] for line in _FILE_SYSTEMS.read_text("ascii").splitlines()}


def has_daemon(driver: Driver) -> bool:
    """Whether the FUSE daemon for this kind is installed, and the kernel lets it work."""
    return _FUSE.exists() and shutil.which(driver.daemon[0], path=PATHS["PATH"]) is not None


def _modules() -> str:
    """What the kernel loads for which name: for a file system, ``fs-NAME``."""
    try:
        return (_MODULES / os.uname().release / "modules.alias").read_text("utf-8")
    except FileNotFoundError:
        return ""

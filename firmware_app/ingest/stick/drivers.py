"""The driver for each file system on a stick: the kernel's, else the FUSE daemon of a Debian package."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.ingest.stick.file_system import PATHS, FileSystem

_FILE_SYSTEMS: Final = Path("/proc/filesystems")
_MODULES: Final = Path("/lib/modules")
_FUSE: Final = Path("/dev/fuse")


@dataclass(frozen=True, slots=True)
class Driver:
    """Both ways to mount one file system; `options` come in addition to `mount_table.NEEDED`."""

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


def absent() -> list[Driver]:
    """The file systems that this machine cannot open; raises `PermissionError` where modules may not be listed."""
    modules = _modules()
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
    return _FUSE.exists() and shutil.which(driver.daemon[0], path=PATHS["PATH"]) is not None


def _modules() -> str:
    """The kernel's module aliases; that of a file system is ``fs-NAME``."""
    try:
        return (_MODULES / os.uname().release / "modules.alias").read_text("utf-8")
    except FileNotFoundError:
        return ""

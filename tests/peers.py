"""What a test needs from the machine: Debian peers, real data outside the repository, root.

A missing thing skips the test and says what would bring it.  Where nothing may be missing, as in continuous
integration, LANTERN_REQUIRE_PEERS=1 turns every such skip into a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pydicom
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# pynetdicom installs tools of its own under dcmtk's names; in an activated environment they would come first.
_FOLDERS = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder != str(Path(sys.prefix, "bin"))]
_PATH = os.pathsep.join((*_FOLDERS, "/usr/sbin", "/sbin"))
_PACKAGES = {
    **dict.fromkeys(("echoscu", "storescu", "storescp", "findscu", "movescu"), "dcmtk"),
    **dict.fromkeys(
        ("dcmconv", "dcmcjpeg", "dcmdjpeg", "dcmdjpls", "dcmdrle", "dcm2pnm", "dcml2pnm", "dcmdump"), "dcmtk"
    ),
    "dsrdump": "dcmtk",
    "dciodvfy": "dicom3tools",
    "java": "default-jre-headless",
    "Orthanc": "orthanc",
    **dict.fromkeys(("xfs_io", "mkfs.xfs"), "xfsprogs"),
    "mkfs.ext4": "e2fsprogs",
    "openssl": "openssl",
    "swtpm": "swtpm",
    "cryptsetup": "cryptsetup-bin",
    "avahi-daemon": "avahi-daemon",
    "dbus-daemon": "dbus",
    "systemd-analyze": "systemd",
    "ip": "iproute2",
    **dict.fromkeys(("unshare", "nsenter", "setpriv"), "util-linux"),
    "dcmmkdir": "dcmtk",
    "mkfs.vfat": "dosfstools",
    "mkfs.exfat": "exfatprogs",
    "mkfs.ntfs": "ntfs-3g",
    "mcopy": "mtools",
    "qemu-system-x86_64": "qemu-system-x86",
    **dict.fromkeys(("debugfs", "e2fsck"), "e2fsprogs"),
    "mount.exfat-fuse": "exfat-fuse",
}
_SUFFIXES_BESIDE_DICOM = {".py", ".pyc", ".txt", ".json", ".icc", ".gz", ".dump", ".md"}


def missing(reason: str) -> NoReturn:
    """Skip with *reason*, or fail where everything is required."""
    if os.environ.get("LANTERN_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def peer(name: str) -> str:
    """The path of the program *name*."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        missing(f"needs Debian package {_PACKAGES.get(name, name)}")
    return path


def need_root() -> None:
    if os.geteuid() != 0:
        missing("needs root, to mount a file system of its own")


def shared(*parts: str) -> Path:
    """A folder of the real data that lies beside the repository and is no part of it."""
    root = Path(os.environ.get("LANTERN_SHARED") or REPOSITORY.parent / "shared")
    path = root.joinpath(*parts)
    if not path.exists():
        missing(f"needs the real data in {'/'.join(('../shared', *parts))} (or LANTERN_SHARED)")
    return path


def dicom_files(folder: Path) -> list[Path]:
    """The files of *folder* that are meant to be DICOM, in a stable order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in _SUFFIXES_BESIDE_DICOM and path.name != "README"
    )


def pydicom_files() -> list[Path]:
    """pydicom's own test files: from old machines, broken writers and every encoding."""
    data = Path(pydicom.__file__).parent / "data"
    return [*dicom_files(data / "test_files"), *dicom_files(data / "charset_files")]


def pydicom_file(name: str) -> Path:
    return Path(pydicom.__file__).parent / "data" / "test_files" / name

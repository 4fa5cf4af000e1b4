"""The file system of a block device, as blkid finds it; only four are ever mounted.

Cameras, ultrasound machines and Windows write FAT, exFAT and NTFS; patients' CDs have ISO 9660.  Everything else is
refused unmounted: a driver parses untrusted data with the kernel's rights, so only those that a clinic needs are used.
"""

from __future__ import annotations

import os
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import Final

from firmware_app.core.errors import StickBlank, StickForeign, StickNotMounted

_BLKID: Final = "blkid"
_LIMIT_S: Final = 60.0
_NOTHING, _AMBIVALENT = 2, 8  # blkid(8), exit status
PATHS: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
"""Environment of every program that is run: fuseiso and ntfs-3g show Chinese names only in a UTF-8 locale."""


class FileSystem(StrEnum):
    """A file system that is mounted, by blkid's name."""

    FAT = "vfat"
    EXFAT = "exfat"
    NTFS = "ntfs"
    ISO9660 = "iso9660"


def probe(device: Path) -> FileSystem:
    """The file system on *device*; raises `StickBlank`, `StickForeign` or `StickNotMounted`.

    A device with the signatures of two file systems, which may be a trap, counts as having none.  A disc that is both
    UDF and ISO 9660, as DVD recorders write it, is opened as ISO 9660.
    """
    answer = _blkid(device)
    if answer == "udf" and _blkid(device, "--match-types", "iso9660") == "iso9660":
        return FileSystem.ISO9660
    try:
        return FileSystem(answer)
    except ValueError:
        plain = "".join(letter for letter in answer if letter.isalnum() or letter in "_-")
        raise StickForeign(kind=plain[:20] or "?") from None


def _blkid(device: Path, *options: str) -> str:
    """The TYPE found by low-level probing, without blkid's cache."""
    command = [_BLKID, "--probe", *options, "--match-tag", "TYPE", "--output", "value", str(device)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **PATHS},
        )
    except OSError as error:
        raise StickNotMounted(detail=f"{_BLKID}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise StickNotMounted(detail=f"{_BLKID}: no answer in {_LIMIT_S:g} s") from None
    if done.returncode in (_NOTHING, _AMBIVALENT):
        raise StickBlank()
    if done.returncode:
        raise StickNotMounted(detail=f"blkid {done.returncode}")
    kind = done.stdout.decode("ascii", "replace").strip()
    if not kind:  # a partition table, or a signature that is no file system
        raise StickBlank()
    return kind

"""What the folders of a stick or a disc hold, read from the medium itself, whatever a driver shows.

Drivers pass over a folder block that they cannot read, or that holds nonsense, without a word (Linux: fat__get_entry,
do_isofs_readdir, exfat_readdir), and the listing is shorter and looks whole.  So the mounter reads these few blocks
itself, and says how many files they name and whether one of them is unreadable or cannot be what the standard makes it.
Of NTFS it reads the table of records instead, which says of each file where it is.  Only what no sound medium has
counts as damage: a false alarm would make people deaf.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Final

from firmware_app.intake.stick import disc_folders, exfat_folders, fat_folders, ntfs_records
from firmware_app.intake.stick.file_system import FileSystem
from firmware_app.intake.stick.medium import NOTHING_KNOWN, Damage, Folders, Medium, Unknown

_LIMIT_S: Final = 30.0
_READERS: Final = {
    FileSystem.FAT: fat_folders.files,
    FileSystem.EXFAT: exfat_folders.files,
    FileSystem.NTFS: ntfs_records.files,
    FileSystem.ISO9660: disc_folders.files,
}


def look(device: Path, kind: FileSystem) -> Folders:
    """Read the folders of *device*.  Never raises for what stands on it."""
    if kind not in _READERS:
        return NOTHING_KNOWN
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return NOTHING_KNOWN
    try:
        return Folders(_READERS[kind](Medium(descriptor, time.monotonic() + _LIMIT_S)))
    except Damage:
        return Folders(damaged=True)
    except (Unknown, struct.error):
        return NOTHING_KNOWN
    finally:
        os.close(descriptor)

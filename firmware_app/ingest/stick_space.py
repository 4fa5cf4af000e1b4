"""Space in use that no listed file accounts for: a sign of files that the driver does not show.

Drivers skip a folder block that they cannot read, or that holds nonsense, without an error (Linux: fat__get_entry,
exfat_readdir, do_isofs_readdir), so the listing is shorter but looks complete.  The table of free space lies elsewhere
on the medium and still counts the lost files.  So the importer, which needs no privilege for it, compares `statvfs`
with the sum of the listed sizes.  docs/decisions/sticks.md has the measured figures.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firmware_app.ingest.stick_files import MOST_FILES
from firmware_app.ingest.stick_mounting import FileSystem

_KB: Final = 1024
_TOLERATED: Final = {
    FileSystem.FAT: 64 * _KB,
    FileSystem.EXFAT: 192 * _KB,
    FileSystem.NTFS: 640 * _KB,
    FileSystem.ISO9660: 2048 * _KB,
}
"""Bytes that an undamaged medium may use without a file: less than an image (64 kB), plus structures without a visible
size: a long up-case table on exFAT, access rights on NTFS ($Secure), padding and a second set of names on a disc."""
_TOLERATED_RECORDS: Final = 32
_RECORDS_SHARE: Final = 16
"""NTFS: 24 records are reserved, and a fragmented file or folder takes a second one (measured: up to 3 of 100)."""
_NTFS_SYSTEM: Final = ("$MFT", "$MFTMirr", "$LogFile", "$Bitmap", "$UpCase", "$Boot", "$AttrDef", "$Extend")
"""Not listed, but their sizes can be asked for by name (ntfs-3g(8), show_sys_files)."""
_NTFS_JOURNAL: Final = Path("$Extend", "$UsnJrnl")
_EXFAT_CAPITALS: Final = 5836  # bytes of the recommended table (exFAT specification, 7.2.5.1)
_FAT_ENTRY: Final = 32  # bytes; a long name takes one more for every 13 letters


@dataclass(slots=True)
class SpaceAccount:
    """What is listed on a medium, in bytes rounded up to clusters, to compare with the space in use."""

    kind: FileSystem
    volume: os.statvfs_result
    listed: int = 0
    inodes: set[tuple[int, int]] = field(default_factory=set)
    """Of files and folders; one with two names counts once."""

    @property
    def cluster(self) -> int:
        """Bytes of a cluster; 0 where the driver gives none.  fusefat reports clusters as files, and kB as blocks."""
        if self.kind is FileSystem.FAT and self.volume.f_files:
            return self.volume.f_blocks * self.volume.f_frsize // self.volume.f_files
        return self.volume.f_frsize if self.volume.f_blocks else 0  # fuseiso reports nothing

    @property
    def unexplained(self) -> int:
        """Bytes in use beyond what is listed."""
        counts_clusters = self.kind in (FileSystem.FAT, FileSystem.EXFAT) and self.volume.f_files  # FUSE's drivers
        used = (
            self.volume.f_files - self.volume.f_ffree if counts_clusters else self.volume.f_blocks - self.volume.f_bfree
        )
        return used * self.cluster - self.listed

    @property
    def has_lost(self) -> bool:
        """Whether more is in use than an undamaged medium can explain."""
        if self.kind is FileSystem.NTFS:
            records = self.volume.f_files - self.volume.f_ffree
            if records > len(self.inodes) + len(self.inodes) // _RECORDS_SHARE + _TOLERATED_RECORDS:
                return True
        return self.unexplained > _TOLERATED[self.kind]

    def add(self, size: int) -> None:
        self.listed += -(-size // self.cluster) * self.cluster

    def add_below(self, root: Path) -> None:
        """Add all folders and files below *root*, also those that the search skips.

        Raises `OSError` where *root* cannot be listed, and for too many.
        """
        waiting = [root]
        while waiting:
            folder, entries = waiting.pop(), 2
            try:
                with os.scandir(folder) as listing:
                    for entry in listing:
                        entries += 1 + -(-len(entry.name) // 13)
                        if self._add_entry(entry):
                            waiting.append(Path(entry.path))
                self.add(folder.stat().st_size or 2 * entries * _FAT_ENTRY)  # fusefat has no sizes of folders
            except OSError:
                if folder == root:  # nothing is known then
                    raise
                continue  # the search counts it as unread
            if len(self.inodes) > 2 * MOST_FILES:
                raise OSError

    def _add_entry(self, entry: os.DirEntry[str]) -> bool:
        """Add a file; True for a folder that was not seen before."""
        status = entry.stat(follow_symlinks=False)
        if (inode := (status.st_dev, status.st_ino)) in self.inodes:
            return False
        self.inodes.add(inode)
        if entry.is_dir(follow_symlinks=False):
            return True
        # On NTFS blocks tell more than the size: small files lie in their records, others are compressed.
        self.add(status.st_blocks * 512 if self.kind is FileSystem.NTFS else status.st_size)
        return False

    def add_own(self, root: Path) -> None:
        """Add the file system's own structures."""
        if self.kind is FileSystem.EXFAT:
            self.add(self.volume.f_blocks // 8)  # the map of used clusters
            self.add(_EXFAT_CAPITALS)
        elif self.kind is FileSystem.NTFS:
            for name in _NTFS_SYSTEM:
                self.add((root / name).stat().st_blocks * 512)
            with contextlib.suppress(OSError):
                self.add_below(root / "$Extend")


def has_lost(root: Path, kind: str) -> bool:
    """Whether the medium at *root*, with the `FileSystem` *kind*, has files that are not listed.

    False also where the driver does not report the space in use.
    """
    account = _account(root, kind)
    return account is not None and account.has_lost


def is_all_listed(root: Path, kind: str) -> bool:
    """Whether every cluster in use certainly belongs to a listed file; only on FAT and exFAT can that be certain."""
    account = _account(root, kind)
    return account is not None and account.kind in (FileSystem.FAT, FileSystem.EXFAT) and account.unexplained <= 0


def _account(root: Path, kind: str) -> SpaceAccount | None:
    """None where the space in use cannot be known, or where the medium is gone."""
    try:
        account = SpaceAccount(FileSystem(kind), os.statvfs(root))
        if not account.cluster or (root / _NTFS_JOURNAL).exists():  # a journal, of which no size can be seen
            return None
        account.add_below(root)
        account.add_own(root)
    except (OSError, ValueError):
        return None
    return account

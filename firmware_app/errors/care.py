"""The box's care for itself: why a copy of its databases cannot be made, or kept."""

from __future__ import annotations

from firmware_app.errors.base import LanternError
from firmware_app.language import N_


class CareError(LanternError):
    """What the box does for itself by night cannot be done."""


class BackupUnderWay(CareError):
    code = "care.backup_under_way"
    sentence = N_("Another backup is being made in {path} just now. Try again when it is done.")
    path: str


class BackupDiskAbsent(CareError):
    code = "care.backup_disk"
    sentence = N_(
        "The disk for backups is not there: {path} is missing, or lies on the same disk as the images. Connect and "
        "mount that disk, or correct [backup] dir."
    )
    path: str


class BackupDiskOpen(CareError):
    code = "care.backup_open"
    sentence = N_(
        "The disk for backups at {path} keeps no file modes (FAT, exFAT and NTFS do not), so everybody could read the "
        "names and the password hashes in a backup there. None is made. Format that disk as ext4; that also erases "
        "what lies on it."
    )
    path: str


class BackupNoRoom(CareError):
    code = "care.backup_room"
    sentence = N_(
        "There is no room for a backup of the databases in {path}: {missing_mb} MB are missing. The earlier backups "
        "are kept. Free that much space."
    )
    path: str
    missing_mb: int


class BackupFailed(CareError):
    code = "care.backup_failed"
    sentence = N_(
        "The backup of the databases could not be written to {path}: {detail}. The earlier backups are kept. Check "
        "that disk."
    )
    path: str
    detail: str


class BackupNotWhole(CareError):
    code = "care.backup_not_whole"
    sentence = N_(
        "The copy of {database} was not whole and was thrown away; the earlier backups are kept. If this comes again, "
        "the disk is failing: replace it."
    )
    database: str

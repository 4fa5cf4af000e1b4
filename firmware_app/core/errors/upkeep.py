"""An installed box: its folders and units, the TLS front before the viewer, and the backups of its databases."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class SetupError(LanternError):
    """The box's folders, users or units are not as its processes need them."""


class StateElsewhere(SetupError):
    code = "setup.state_elsewhere"
    sentence = N_(
        "An installed box keeps its state in {expected}, not in {path}. Remove [state] dir from the configuration; to "
        "use another disk, mount it there."
    )
    path: str
    expected: str


class UserMissing(SetupError):
    code = "setup.user_missing"
    sentence = N_("The system user or group {name} is missing. Install Lantern again: “make install”.")
    name: str


class UnitsNotReread(SetupError):
    code = "setup.units_not_reread"
    sentence = N_(
        "systemd has not reloaded the settings of the box's services: {detail}. They still run with the old ones. Run "
        "“sudo systemctl daemon-reload”, then “sudo systemctl restart lantern.target”."
    )
    detail: str


class NameNotTaken(SetupError):
    code = "setup.name_not_taken"
    sentence = N_(
        "The name {name}.local is not known in the clinic's network: {detail}. Open the page by the box's address; "
        "check that avahi-daemon runs, then run “sudo systemctl restart lantern-mdns”."
    )
    name: str
    detail: str


class FolderStrange(SetupError):
    code = "setup.folder_strange"
    sentence = N_("{path} is a link or a file where a folder belongs. Move it away; the box then makes the folder.")
    path: str


class FrontError(LanternError):
    """The front cannot be given what it needs to speak TLS."""


class AuthorityUnusable(FrontError):
    code = "front.authority"
    sentence = N_(
        "The box's own certificate authority cannot be used: {detail}. Put the folders authority and front in {path} "
        "back from a backup. Without one, remove both and restart the box: it makes a new authority, which every phone "
        "and PC must be told to trust again."
    )
    path: str
    detail: str


class FrontNotWritable(FrontError):
    code = "front.write"
    sentence = N_("The certificate of the page cannot be written to {path}: {detail}. Run this as root.")
    path: str
    detail: str


class FrontNeedsPort(FrontError):
    code = "front.port"
    sentence = N_(
        "The front cannot find the viewer: [viewer] port is 0, which means any free port. Set a number, as in 8080."
    )


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


class BackupCodeMissing(CareError):
    code = "care.backup_code"
    sentence = N_(
        "No backup can be locked: this box has no recovery code yet. Run “lantern backup code”, write the code down "
        "and keep the paper away from the box."
    )


class BackupCodeThere(CareError):
    code = "care.locked_code_there"
    sentence = N_(
        "This box has a recovery code, which is shown only once. “--new” makes another; only backups from then on can "
        "be opened with it, so keep the old paper until the next night."
    )


class RecoveryCodeInvalid(CareError):
    code = "care.recovery_code"
    sentence = N_("This is no recovery code: a letter is wrong or missing. Compare it with the paper, group by group.")


class RecoveryCodeOther(CareError):
    code = "care.recovery_code_other"
    sentence = N_(
        "The backup was locked with another recovery code. Look for the paper of this clinic's box; a code that was "
        "made later does not open earlier backups."
    )


class BackupDamaged(CareError):
    code = "care.locked_damaged"
    sentence = N_(
        "{file} of the backup is damaged or was cut short, and none before it is whole. Use another copy of the disk."
    )
    file: str


class RestoreNothing(CareError):
    code = "care.restore_nothing"
    sentence = N_("There is no locked backup in {path}. Name the folder that [backup] locked names on the old box.")
    path: str


class RestoreNotEmpty(CareError):
    code = "care.restore_not_empty"
    sentence = N_(
        "This box has cases already, in {path}: a backup is only restored onto a box without any. Nothing was changed. "
        "Take another box, or empty this one with “lantern factory-reset”."
    )
    path: str


class RestoreSettings(CareError):
    code = "care.restore_settings"
    sentence = N_(
        "The settings cannot be written to {path}: {detail}. Nothing was changed. Run the command as root, or keep "
        "this box's settings with --keep-settings."
    )
    path: str
    detail: str


class RestoreNoRoom(CareError):
    code = "care.restore_room"
    sentence = N_(
        "The backup does not fit into {path}: {missing_mb} MB are missing. Nothing was changed. Take a box with "
        "a larger disk."
    )
    path: str
    missing_mb: int


class RestoreCut(CareError):
    code = "care.restore_cut"
    sentence = N_(
        "The restoring stopped in the middle: {detail} ({path}). Look whether the disk or share is still there, and "
        "run the same command again: it goes on."
    )
    path: str
    detail: str


class LockedDiskAbsent(CareError):
    code = "care.backup_locked_disk"
    sentence = N_(
        "The disk or share for locked backups is not there: {path} is missing, or nothing is mounted at it or above "
        "it. Connect and mount it, or correct [backup] locked. Nothing was written on the box's own disk instead."
    )
    path: str


class LockedNoRoom(CareError):
    code = "care.backup_locked_room"
    sentence = N_(
        "There is no room for the locked backup in {path}: {missing_mb} MB are missing. What lies there is kept. Free "
        "that much space, or set [backup] locked_keep lower."
    )
    path: str
    missing_mb: int


class LockedFailed(CareError):
    code = "care.backup_locked_failed"
    sentence = N_(
        "The locked backup could not be written to {path}: {detail}. What lies there is kept, and the next run goes on "
        "from there. Look whether the disk or share is mounted and may be written."
    )
    path: str
    detail: str


class BackupFolderOther(CareError):
    code = "care.backup_locked_other"
    sentence = N_(
        "{path} holds the backups of another box, or of one before a factory reset. They are left as they are. Give "
        "this box a folder of its own in [backup] locked."
    )
    path: str


class ResetUnfinished(CareError):
    code = "setup.reset_unfinished"
    sentence = N_(
        "A factory reset of this box was begun and did not come to its end, so nothing of it starts. Run “lantern "
        "factory-reset” again as root: it goes on."
    )


class ResetNeedsRoot(CareError):
    code = "care.reset_root"
    sentence = N_("A factory reset is for root alone. Nothing was deleted.")


class ResetNotNamed(CareError):
    code = "care.reset_name"
    sentence = N_("That is not the id of this box, which is {box}. Nothing was deleted.")
    box: str


class VolumeKeyKept(CareError):
    code = "care.volume_key"
    sentence = N_(
        "The key of the encrypted volume {device} could not be erased: {detail}. The files are deleted all the same. "
        "Run “cryptsetup erase {device}” by hand."
    )
    device: str
    detail: str

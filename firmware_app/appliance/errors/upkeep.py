"""Refusals of backups, resets and repairs."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.errors.upkeep import CareError
from firmware_app.core.language import N_


class SetupError(LanternError):
    """The box's folders, users or units are not as its processes need them."""


STATE_ELSEWHERE = Refusal(
    SetupError,
    "setup.state_elsewhere",
    N_(
        "An installed box keeps its state in {expected}, not in {path}. Remove [state] dir from the configuration; to "
        "use another disk, mount it there."
    ),
)


USER_MISSING = Refusal(
    SetupError,
    "setup.user_missing",
    N_("The system user or group {name} is missing. Install Lantern again: “make install”."),
)


class UnitsNotReread(SetupError):
    code = "setup.units_not_reread"
    sentence = N_(
        "systemd has not reloaded the settings of the box's services: {detail}. They still run with the old ones. Run "
        "“sudo systemctl daemon-reload”, then “sudo systemctl restart lantern.target”."
    )
    detail: str


NAME_NOT_TAKEN = Refusal(
    SetupError,
    "setup.name_not_taken",
    N_(
        "The name {name}.local is not known in the clinic's network: {detail}. Open the page by the box's address; "
        "check that avahi-daemon runs, then run “sudo systemctl restart lantern-mdns”."
    ),
)


FOLDER_STRANGE = Refusal(
    SetupError,
    "setup.folder_strange",
    N_("{path} is a link or a file where a folder belongs. Move it away; the box then makes the folder."),
)


class FrontError(LanternError):
    """The front cannot be given what it needs to speak TLS."""


AUTHORITY_UNUSABLE = Refusal(
    FrontError,
    "front.authority",
    N_(
        "The box's own certificate authority cannot be used: {detail}. Put the folders authority and front in {path} "
        "back from a backup. Without one, remove both and restart the box: it makes a new authority, which every phone "
        "and PC must be told to trust again."
    ),
)


FRONT_NOT_WRITABLE = Refusal(
    FrontError,
    "front.write",
    N_("The certificate of the page cannot be written to {path}: {detail}. Run this as root."),
)


FRONT_NEEDS_PORT = Refusal(
    FrontError,
    "front.port",
    N_("The front cannot find the viewer: [viewer] port is 0, which means any free port. Set a number, as in 8080."),
)


BACKUP_UNDER_WAY = Refusal(
    CareError,
    "care.backup_under_way",
    N_("Another backup is being made in {path} just now. Try again when it is done."),
)


BACKUP_DISK_ABSENT = Refusal(
    CareError,
    "care.backup_disk",
    N_(
        "The disk for backups is not there: {path} is missing, or lies on the same disk as the images. Connect and "
        "mount that disk, or correct [backup] dir."
    ),
)


BACKUP_DISK_OPEN = Refusal(
    CareError,
    "care.backup_open",
    N_(
        "The disk for backups at {path} keeps no file modes (FAT, exFAT and NTFS do not), so everybody could read the "
        "names and the password hashes in a backup there. None is made. Format that disk as ext4; that also erases "
        "what lies on it."
    ),
)


BACKUP_NO_ROOM = Refusal(
    CareError,
    "care.backup_room",
    N_(
        "There is no room for a backup of the databases in {path}: {missing_mb} MB are missing. The earlier backups "
        "are kept. Free that much space."
    ),
)


BACKUP_FAILED = Refusal(
    CareError,
    "care.backup_failed",
    N_(
        "The backup of the databases could not be written to {path}: {detail}. The earlier backups are kept. Check "
        "that disk."
    ),
)


BACKUP_NOT_WHOLE = Refusal(
    CareError,
    "care.backup_not_whole",
    N_(
        "The copy of {database} was not whole and was thrown away; the earlier backups are kept. If this comes again, "
        "the disk is failing: replace it."
    ),
)


BACKUP_CODE_MISSING = Refusal(
    CareError,
    "care.backup_code",
    N_(
        "No backup can be locked: this box has no recovery code yet. Run “lantern backup code”, write the code down "
        "and keep the paper away from the box."
    ),
)


BACKUP_CODE_THERE = Refusal(
    CareError,
    "care.locked_code_there",
    N_(
        "This box has a recovery code, which is shown only once. “--new” makes another; only backups from then on can "
        "be opened with it, so keep the old paper until the next night."
    ),
)


RESTORE_NOTHING = Refusal(
    CareError,
    "care.restore_nothing",
    N_("There is no locked backup in {path}. Name the folder that [backup] locked names on the old box."),
)


RESTORE_NOT_EMPTY = Refusal(
    CareError,
    "care.restore_not_empty",
    N_(
        "This box has cases already, in {path}: a backup is only restored onto a box without any. Nothing was changed. "
        "Take another box, or empty this one with “lantern factory-reset”."
    ),
)


RESTORE_NO_ROOM = Refusal(
    CareError,
    "care.restore_room",
    N_(
        "The backup does not fit into {path}: {missing_mb} MB are missing. Nothing was changed. Take a box with "
        "a larger disk."
    ),
)


RESTORE_CUT = Refusal(
    CareError,
    "care.restore_cut",
    N_(
        "The restoring stopped in the middle: {detail} ({path}). Look whether the disk or share is still there, and "
        "run the same command again: it goes on."
    ),
)


LOCKED_DISK_ABSENT = Refusal(
    CareError,
    "care.backup_locked_disk",
    N_(
        "The disk or share for locked backups is not there: {path} is missing, or nothing is mounted at it or above "
        "it. Connect and mount it, or correct [backup] locked. Nothing was written on the box's own disk instead."
    ),
)


LOCKED_NO_ROOM = Refusal(
    CareError,
    "care.backup_locked_room",
    N_(
        "There is no room for the locked backup in {path}: {missing_mb} MB are missing. What lies there is kept. Free "
        "that much space, or set [backup] locked_keep lower."
    ),
)


LOCKED_FAILED = Refusal(
    CareError,
    "care.backup_locked_failed",
    N_(
        "The locked backup could not be written to {path}: {detail}. What lies there is kept, and the next run goes on "
        "from there. Look whether the disk or share is mounted and may be written."
    ),
)


BACKUP_FOLDER_OTHER = Refusal(
    CareError,
    "care.backup_locked_other",
    N_(
        "{path} holds the backups of another box, or of one before a factory reset. They are left as they are. Give "
        "this box a folder of its own in [backup] locked."
    ),
)


VOLUME_KEY_KEPT = Refusal(
    CareError,
    "care.volume_key",
    N_(
        "The key of the encrypted volume {device} could not be erased: {detail}. The files are deleted all the same. "
        "Run “cryptsetup erase {device}” by hand."
    ),
)

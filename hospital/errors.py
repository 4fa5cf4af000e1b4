"""Refusals of the hospital's end."""

from __future__ import annotations

from firmware_app.core.errors.base import Refusal
from firmware_app.core.language import N_
from firmware_app.uplink.errors import HospitalError

CARRIED_THERE = Refusal(
    HospitalError,
    "hospital.carried_there",
    N_("{path} exists already and is not overwritten. Name another folder, or move it away first."),
)


CARRIED_UNKEPT = Refusal(
    HospitalError,
    "hospital.carried_unkept",
    N_("The contents of the sealed case cannot be stored in {path}: {detail}. Name another folder."),
)


TOPIC_UNKNOWN = Refusal(
    HospitalError,
    "hospital.topic",
    N_("The message came under a topic that no box of this version uses. It was kept aside."),
)


MISADDRESSED = Refusal(
    HospitalError,
    "hospital.misaddressed",
    N_("The message names another box or kind inside than the topic it came under. It was kept aside."),
)


class Replayed(HospitalError):
    code = "hospital.replayed"
    sentence = N_("Exactly the same message came before. It was counted then and is not counted again.")


OUTDATED = Refusal(
    HospitalError, "hospital.outdated", N_("A newer status message of this box came before. This one changes nothing.")
)


KEYS_MISSING = Refusal(
    HospitalError,
    "hospital.keys_missing",
    N_(
        "There are no hospital keys in {path}. Name their folder with --dir, or make them with “lantern-hospital keys "
        "new”."
    ),
)


KEYS_EXIST = Refusal(
    HospitalError,
    "hospital.keys_exist",
    N_("There are hospital keys in {path} already. “lantern-hospital keys rotate” makes a fresh one."),
)


BOX_ENROLLED = Refusal(
    HospitalError,
    "hospital.box_enrolled",
    N_("Another box named {box} is enrolled already. Give this one another id, or use --replace."),
)


INBOX_NEWER = Refusal(
    HospitalError,
    "hospital.inbox_newer",
    N_(
        "The inbox was written by a newer Lantern (version {version}, this one knows {known}). Install that version "
        "again; nothing was changed."
    ),
)


INBOX_TOO_OLD = Refusal(
    HospitalError,
    "hospital.inbox_too_old",
    N_(
        "The inbox was written by a version of Lantern that is too old to be upgraded in one step. Nothing was "
        "changed. Install version {version} first and start “lantern-hospital serve” once, then install this version "
        "again."
    ),
)


BOX_REVOKED = Refusal(
    HospitalError,
    "hospital.box_revoked",
    N_("The box {box} was revoked. What it sends is not counted. “lantern-hospital enrol … --replace” takes it back."),
)


HOSPITAL_SERVING = Refusal(
    HospitalError,
    "hospital.serving",
    N_("“lantern-hospital serve” works in {path} already. Stop that one first; nothing was changed."),
)


BROKER_FILES_OLD = Refusal(
    HospitalError,
    "hospital.broker_old",
    N_(
        "The broker's configuration {path} is that of an earlier version: one box can silence others, and none can be "
        "cut off. Run “lantern-hospital broker --update”, then restart the broker."
    ),
)


INBOX_DAMAGED = Refusal(
    HospitalError,
    "hospital.inbox_damaged",
    N_(
        "The inbox is damaged ({detail}). Start “lantern-hospital serve” again: it sets the file aside and goes on "
        "with the newest whole copy."
    ),
)


class InboxRebuilt(HospitalError):
    code = "hospital.inbox_rebuilt"
    sentence = N_(
        "The inbox was damaged ({detail}) and goes on as it was on {since} UTC: {cases} case revisions, {boxes} boxes. "
        "What was received and confirmed after that is missing here; unconfirmed messages the boxes send again by "
        "themselves. The damaged file is kept in {path}. “lantern-hospital inbox --seen” ends this alarm."
    )
    detail: str
    since: str
    cases: int
    boxes: int
    path: str


class InboxBegunAnew(HospitalError):
    code = "hospital.inbox_begun_anew"
    sentence = N_(
        "The inbox was damaged ({detail}) and begun anew with {boxes} boxes, because there was no whole copy. What was "
        "received and confirmed before is missing: put a backup back if there is one. The damaged file is kept in "
        "{path}. “lantern-hospital inbox --seen” ends this alarm."
    )
    detail: str
    boxes: int
    path: str


INBOX_NEEDS_ROOM = Refusal(
    HospitalError,
    "hospital.inbox_room",
    N_(
        "The inbox is damaged ({detail}) and cannot be made again: {missing_mb} MB of disk are missing for it at "
        "{path}. Nothing was removed. Free that much space and start “lantern-hospital serve” again."
    ),
)


COPY_NOT_MADE = Refusal(
    HospitalError, "hospital.backup_failed", N_("The backup {path} was not made: {detail}. Nothing of it is left.")
)


COPY_UNUSABLE = Refusal(
    HospitalError,
    "hospital.backup_unusable",
    N_("The file {path} is no whole backup of a hospital ({detail}). Take another one."),
)


class RestoreOccupied(HospitalError):
    code = "hospital.restore_occupied"
    sentence = N_("The folder {path} holds a hospital already. Move it away first; nothing was changed.")
    path: str


CLOCK_BEHIND_BACKUP = Refusal(
    HospitalError,
    "hospital.clock_behind",
    N_("The backup was made on {made}, which is later than this computer's clock. Set the clock first."),
)


ROW_UNUSABLE = Refusal(
    HospitalError,
    "hospital.row",
    N_("Line {line} of {file} cannot be used: {detail}. No file was written; correct the line."),
)
"""At the hospital: a line of the list of boxes."""


LABEL_CODE_WRONG = Refusal(
    HospitalError,
    "hospital.code_wrong",
    N_(
        "This is the code of no label that was printed here. Nothing was changed. Compare it with the label; a sheet "
        "of an earlier version counts once “lantern-hospital enrol --csv” has run again with its list."
    ),
)
"""At the hospital, as the others below: what was typed to enrol a box."""


LABEL_CODES_TRIED = Refusal(
    HospitalError,
    "hospital.code_tries",
    N_(
        "Too many wrong codes were typed from here. Wait 15 minutes, or type it on the hospital's computer itself: "
        "“lantern-hospital enrol --code CODE”."
    ),
)


LABEL_CODE_USED = Refusal(
    HospitalError,
    "hospital.code_used",
    N_(
        "The code of box {box} was used already, and each is good for one enrolment. If the box was set up anew, bring "
        "its box.json here: “lantern-hospital enrol box.json --replace”."
    ),
)


LABEL_CODE_EXPIRED = Refusal(
    HospitalError,
    "hospital.code_expired",
    N_(
        "The code of box {box} was good until {ends}. Make its file anew with “lantern-hospital enrol --csv” or "
        "“--new”; the code stays the same."
    ),
)


ENROLMENT_AWAITED = Refusal(
    HospitalError,
    "hospital.enrol_awaited",
    N_(
        "The code is right, but box {box} has not asked yet. Is it switched on, and does it reach the broker on port "
        "{port}? Was the same code typed there? It asks twice a minute; then type the code again."
    ),
)


class DateError(HospitalError):
    """The broker refuses clients, or clients refuse the broker, because of a certificate or of the revocation list."""


class ListNotYet(DateError):
    code = "hospital.list_early"
    sentence = N_(
        "The list of revoked certificates begins on {starts} only, and this computer's clock says {now}: the broker "
        "refuses every box and the receiver. The clock was ahead when the list was written, or is behind now. Set the "
        "clock; “serve” then writes the list again within a minute, “lantern-hospital broker --update” at once."
    )
    starts: str
    now: str


LIST_OVER = Refusal(
    DateError,
    "hospital.list_over",
    N_(
        "The list of revoked certificates ended on {ends}, and this computer's clock says {now}: the broker refuses "
        "every box and the receiver. Set the clock if it is wrong; “serve” writes the list again within a minute, "
        "“lantern-hospital broker --update” at once."
    ),
)


class ListUnusable(DateError):
    code = "hospital.list_unusable"
    sentence = N_(
        "The list of revoked certificates {path} is missing, damaged or of another authority: the broker refuses every "
        "box and the receiver. “serve” writes it again within a minute, “lantern-hospital broker --update” at once."
    )
    path: str


OWN_CERTIFICATE_EARLY = Refusal(
    DateError,
    "hospital.certificate_early",
    N_(
        "The hospital's certificate {file} begins on {starts} only, and this computer's clock says {now}: the broker "
        "cannot be reached until then. Set the clock if it is wrong. If it is right, the clock was ahead when the keys "
        "were made: make them again with “lantern-hospital keys new” in a new folder, and enrol the boxes there."
    ),
)


OWN_CERTIFICATE_ENDED = Refusal(
    DateError,
    "hospital.certificate_over",
    N_(
        "The hospital's certificate {file} ended on {ends}, and this computer's clock says {now}: the broker cannot be "
        "reached any more. Set the clock if it is wrong. If it is right, the hospital needs new certificates: “lantern-"
        "hospital keys new” in a new folder, and enrol the boxes there."
    ),
)


OWN_CERTIFICATE_UNUSABLE = Refusal(
    DateError,
    "hospital.certificate_unusable",
    N_(
        "The hospital's certificate {path} is missing or damaged: the broker cannot be reached. Put the folder back "
        "from a backup."
    ),
)


class InboxError(HospitalError):
    """The inbox is not what it was, or cannot be written."""


INBOX_LOST = Refusal(
    InboxError,
    "hospital.inbox_lost",
    N_(
        "The inbox was not there although boxes are enrolled here ({boxes}), so a new one was begun. What was received "
        "and confirmed before is missing, and the boxes do not send it again: put a backup back if there is one. When "
        "everybody concerned knows, “lantern-hospital inbox --seen” ends this alarm."
    ),
)


class InboxGone(InboxError):
    code = "hospital.inbox_gone"
    sentence = N_(
        "{path} is not the file any more that “lantern-hospital serve” writes: it was removed or replaced. Nothing was "
        "confirmed to a box since. “serve” starts again."
    )
    path: str


HOSPITAL_DISK_FULL = Refusal(
    InboxError,
    "hospital.disk_full",
    N_(
        "The disk with {path} is full, so nothing can be received. Free space there. The broker and the boxes keep "
        "everything, and it comes by itself then."
    ),
)


HOSPITAL_DISK_READ_ONLY = Refusal(
    InboxError,
    "hospital.disk_read_only",
    N_(
        "The disk with {path} can only be read, so nothing can be received. Check the disk (“dmesg”) and mount it for "
        "writing. The broker and the boxes keep everything, and it comes by itself then."
    ),
)


class InboxUnwritten(InboxError):
    code = "hospital.inbox_unwritten"
    sentence = N_(
        "The inbox {path} cannot be written ({detail}), so nothing can be received. Check the rights of the folder and "
        "the disk. The broker and the boxes keep everything, and it comes by itself then."
    )
    path: str
    detail: str


BROKER_RUNNING = Refusal(
    HospitalError,
    "hospital.broker_running",
    N_(
        "The broker of this folder runs already, as process {number}. Stop that one first (“kill {number}”), or "
        "leave it."
    ),
)


MOSQUITTO_MISSING = Refusal(
    HospitalError,
    "hospital.no_mosquitto",
    N_("The program mosquitto is not there. Install it: “apt install mosquitto”."),
)

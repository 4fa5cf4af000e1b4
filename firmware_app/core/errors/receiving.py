"""What is wrong at the hospital's own end: dates of its certificates, its inbox, its disk, its broker."""

from __future__ import annotations

from firmware_app.core.errors.line import HospitalError
from firmware_app.core.language import N_

# --- dates ----------------------------------------------------------------------------------------------------


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


class ListOver(DateError):
    code = "hospital.list_over"
    sentence = N_(
        "The list of revoked certificates ended on {ends}, and this computer's clock says {now}: the broker refuses "
        "every box and the receiver. Set the clock if it is wrong; “serve” writes the list again within a minute, "
        "“lantern-hospital broker --update” at once."
    )
    ends: str
    now: str


class ListUnusable(DateError):
    code = "hospital.list_unusable"
    sentence = N_(
        "The list of revoked certificates {path} is missing, damaged or of another authority: the broker refuses every "
        "box and the receiver. “serve” writes it again within a minute, “lantern-hospital broker --update” at once."
    )
    path: str


class OwnCertificateEarly(DateError):
    code = "hospital.certificate_early"
    sentence = N_(
        "The hospital's certificate {file} begins on {starts} only, and this computer's clock says {now}: the broker "
        "cannot be reached until then. Set the clock if it is wrong. If it is right, the clock was ahead when the keys "
        "were made: make them again with “lantern-hospital keys new” in a new folder, and enrol the boxes there."
    )
    file: str
    starts: str
    now: str


class OwnCertificateEnded(DateError):
    code = "hospital.certificate_over"
    sentence = N_(
        "The hospital's certificate {file} ended on {ends}, and this computer's clock says {now}: the broker cannot be "
        "reached any more. Set the clock if it is wrong. If it is right, the hospital needs new certificates: “lantern-"
        "hospital keys new” in a new folder, and enrol the boxes there."
    )
    file: str
    ends: str
    now: str


class OwnCertificateUnusable(DateError):
    code = "hospital.certificate_unusable"
    sentence = N_(
        "The hospital's certificate {path} is missing or damaged: the broker cannot be reached. Put the folder back "
        "from a backup."
    )
    path: str


class BoxCertificateEarly(DateError):
    code = "hospital.box_certificate_early"
    sentence = N_(
        "The certificate of box {box} begins on {starts} only, and this computer's clock says {now}: the broker "
        "refuses the box until then. The clock was ahead when the box was enrolled. Enrol it again: “lantern-hospital "
        "enrol box.json”, and carry the answer to it."
    )
    box: str
    starts: str
    now: str


# --- the inbox and its disk -----------------------------------------------------------------------------------


class InboxError(HospitalError):
    """The inbox is not what it was, or cannot be written."""


class InboxLost(InboxError):
    code = "hospital.inbox_lost"
    sentence = N_(
        "The inbox was not there although boxes are enrolled here ({boxes}), so a new one was begun. What was received "
        "and confirmed before is missing, and the boxes do not send it again: put a backup back if there is one. When "
        "everybody concerned knows, “lantern-hospital inbox --seen” ends this alarm."
    )
    boxes: int


class InboxPutBack(InboxError):
    code = "hospital.inbox_put_back"
    sentence = N_(
        "The inbox was removed or replaced while “lantern-hospital serve” ran. It was put back with everything that "
        "was received; nothing is lost. What lay in its place is kept in {path}. Find out who did it; “lantern-"
        "hospital inbox --seen” ends this alarm."
    )
    path: str


class InboxGone(InboxError):
    code = "hospital.inbox_gone"
    sentence = N_(
        "{path} is not the file any more that “lantern-hospital serve” writes: it was removed or replaced. Nothing was "
        "confirmed to a box since. “serve” starts again."
    )
    path: str


class HospitalDiskFull(InboxError):
    code = "hospital.disk_full"
    sentence = N_(
        "The disk with {path} is full, so nothing can be received. Free space there. The broker and the boxes keep "
        "everything, and it comes by itself then."
    )
    path: str


class HospitalDiskReadOnly(InboxError):
    code = "hospital.disk_read_only"
    sentence = N_(
        "The disk with {path} can only be read, so nothing can be received. Check the disk (“dmesg”) and mount it for "
        "writing. The broker and the boxes keep everything, and it comes by itself then."
    )
    path: str


class InboxUnwritten(InboxError):
    code = "hospital.inbox_unwritten"
    sentence = N_(
        "The inbox {path} cannot be written ({detail}), so nothing can be received. Check the rights of the folder and "
        "the disk. The broker and the boxes keep everything, and it comes by itself then."
    )
    path: str
    detail: str


# --- the broker -----------------------------------------------------------------------------------------------


class BrokerRunning(HospitalError):
    code = "hospital.broker_running"
    sentence = N_(
        "The broker of this folder runs already, as process {number}. Stop that one first (“kill {number}”), or "
        "leave it."
    )
    number: int


class MosquittoMissing(HospitalError):
    code = "hospital.no_mosquitto"
    sentence = N_("The program mosquitto is not there. Install it: “apt install mosquitto”.")

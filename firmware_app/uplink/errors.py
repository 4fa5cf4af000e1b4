"""Refusals on the line to the hospital."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.errors.box import ProvisionError
from firmware_app.core.errors.upkeep import CareError
from firmware_app.core.language import N_


class UplinkError(LanternError):
    """Something may not travel, cannot be opened, or the line itself is down."""


class MessageInvalid(UplinkError):
    """Names the field, never the value: what does not belong into a message may be a person's name."""

    code = "uplink.invalid"
    sentence = N_("The field “{field}” of a message holds something that may not travel on the line. It was not used.")
    field: str


class MessageTooLarge(UplinkError):
    code = "uplink.too_large"
    sentence = N_(
        "The message is {size} bytes long and the line accepts {limit}. It is kept here, and the next one is sent."
    )
    size: int
    limit: int


class EnvelopeMalformed(UplinkError):
    code = "uplink.malformed"
    sentence = N_("The sealed message does not have the form of this version ({where}); it may be cut off.")
    where: str


ENVELOPE_UNDECRYPTABLE = Refusal(
    UplinkError,
    "uplink.undecryptable",
    N_("The sealed message cannot be opened: it was changed on the way, or is for another box or purpose."),
)


class SignatureForged(UplinkError):
    code = "uplink.forged"
    sentence = N_("The signature is not that of the sender the message names. Someone else wrote it; it was not used.")


SEAL_KEY_UNKNOWN = Refusal(
    UplinkError,
    "uplink.key_unknown",
    N_("The message is sealed to a key ({key}) that this hospital never had. It went to the wrong place."),
)


SEAL_KEY_RETIRED = Refusal(
    UplinkError,
    "uplink.key_retired",
    N_("The message is sealed to a key ({key}) that was retired. The box sends it again with the new one."),
)


KEYS_OUTDATED = Refusal(
    UplinkError,
    "uplink.keys_outdated",
    N_("The hospital's keys number {serial} are older than those in use; they were not taken."),
)


BUNDLE_INVALID = Refusal(
    UplinkError, "uplink.bundle", N_("The file {path} cannot be used: {detail}. Ask for it again.")
)


LINE_NOT_SET_UP = Refusal(
    UplinkError,
    "uplink.not_set_up",
    N_("The line to the hospital is switched on but [uplink] {key} is missing. Run “lantern provision”."),
)


PLAIN_LINE_REFUSED = Refusal(
    UplinkError,
    "uplink.plain",
    N_(
        "The broker {host} is another machine and [uplink] tls_ca is not set. The box does not connect without "
        "encryption."
    ),
)


CERTIFICATE_NOT_YET_VALID = Refusal(
    UplinkError,
    "uplink.certificate_not_yet",
    N_(
        "The box's certificate {file} begins on {starts} and the box's clock says {now}. Set the clock if it is wrong; "
        "if it is right, ask the hospital to set its own and to enrol the box again. No summary is lost."
    ),
)


CERTIFICATE_EXPIRED = Refusal(
    UplinkError,
    "uplink.certificate_expired",
    N_(
        "The certificate {file} ended on {ends} and the box's clock says {now}. Check the clock; if it is right, "
        "ask the hospital to enrol the box again. No summary is lost."
    ),
)


BROKER_NOT_YET = Refusal(
    UplinkError,
    "uplink.broker_not_yet",
    N_(
        "The certificate of the hospital's broker {host} begins on {starts} and the box's clock says {now}. Check the "
        "clock first, with “lantern clock show”; if it is right, tell the hospital. No summary is lost."
    ),
)


BROKER_EXPIRED = Refusal(
    UplinkError,
    "uplink.broker_expired",
    N_(
        "The certificate of the hospital's broker {host} ended on {ends} and the box's clock says {now}. Check the "
        "clock first, with “lantern clock show”; if it is right, tell the hospital. No summary is lost."
    ),
)


BROKER_UNREACHABLE = Refusal(
    UplinkError,
    "uplink.no_broker",
    N_("The hospital's broker {host}:{port} does not answer ({detail}). The box keeps its summaries and tries on."),
)


BROKER_UNTRUSTED = Refusal(
    UplinkError,
    "uplink.broker_untrusted",
    N_("The server at {host}:{port} is not the hospital's broker ({detail}). Nothing was sent to it."),
)


BROKER_CLOSED = Refusal(
    UplinkError,
    "uplink.broker_closed",
    N_(
        "The broker {host}:{port} closed the line before it answered. The hospital may have revoked this box's "
        "certificate; ask there. No summary is lost."
    ),
)


BROKER_FINDS_OUT_OF_DATE = Refusal(
    UplinkError,
    "uplink.refused_dates",
    N_(
        "The broker {host}:{port} refuses this box's certificate as not valid at this time ({detail}). Either the "
        "clock of the hospital's computer is wrong, or it was when the box was enrolled: tell the hospital to run "
        "“lantern-hospital broker”, and to enrol the box again if that finds nothing wrong. No summary is lost."
    ),
)


BROKER_REFUSED = Refusal(
    UplinkError,
    "uplink.broker_refused",
    N_("The broker refused ({reason}). Ask the hospital whether this box is enrolled and has its rights."),
)


class HospitalError(LanternError):
    """A message was kept aside, or the operator must do something first."""


CARRIED_UNKNOWN = Refusal(
    HospitalError,
    "hospital.carried_unknown",
    N_(
        "This file is not a sealed case of a box, or the stick was pulled out before it was finished. Ask the clinic "
        "to export the case again."
    ),
)


CARRIED_CUT = Refusal(
    HospitalError,
    "hospital.carried_cut",
    N_(
        "The last {missing} bytes of the sealed case are missing, so nothing was taken from it. Copy it from the stick "
        "again, or ask the clinic to export it again."
    ),
)


class CarriedAltered(HospitalError):
    """Piece 0 is the head of the file."""

    code = "hospital.carried_altered"
    sentence = N_(
        "The sealed case was changed on its way, or the stick is damaged (piece {piece}), so nothing was taken from "
        "it. Copy it from the stick again, or ask the clinic to export it again."
    )
    piece: int


CARRIED_ELSEWHERE = Refusal(
    HospitalError,
    "hospital.carried_elsewhere",
    N_(
        "The case is sealed for another hospital: the key {key} was never ours. Ask the clinic which hospital its box "
        "reports to."
    ),
)


CARRIED_KEY_RETIRED = Refusal(
    HospitalError,
    "hospital.carried_retired",
    N_(
        "The case is sealed to the key {key}, which was replaced and destroyed since. Ask the clinic to export it "
        "again, once its box has been in touch with us."
    ),
)


BOX_UNKNOWN = Refusal(
    HospitalError,
    "hospital.box_unknown",
    N_("No box named {box} is enrolled here. Enrol it with “lantern-hospital enrol”."),
)


class Contradicted(HospitalError):
    code = "hospital.contradicted"
    sentence = N_("Another message with the same number but different content was counted before. This one was not.")


ENROLMENT_PROOF_WRONG = Refusal(
    ProvisionError,
    "provision.enrol_proof",
    N_(
        "The enrolment of {box} was not made with the code of its label. Nothing was changed. Type the code again, as "
        "it is printed."
    ),
)


RECOVERY_CODE_INVALID = Refusal(
    CareError,
    "care.recovery_code",
    N_("This is no recovery code: a letter is wrong or missing. Compare it with the paper, group by group."),
)


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

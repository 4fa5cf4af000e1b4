"""Refusals of provisioning."""

from __future__ import annotations

from firmware_app.core.errors.base import Refusal
from firmware_app.core.errors.box import ProvisionError
from firmware_app.core.language import N_

CLINIC_NAME_UNUSABLE = Refusal(
    ProvisionError, "provision.name", N_("The clinic's name is 1 to {limit} characters on one line. Type it again.")
)


LANGUAGE_UNKNOWN = Refusal(
    ProvisionError, "provision.language", N_("“{language}” is not a language of this box. Choose one of: {languages}.")
)


ZONE_UNKNOWN = Refusal(
    ProvisionError,
    "provision.zone",
    N_("“{zone}” is not a time zone that this machine knows. Give one as in Asia/Shanghai."),
)


AE_TITLE_UNUSABLE = Refusal(
    ProvisionError,
    "provision.ae_title",
    N_("“{title}” cannot be an AE title. Use 1 to 16 letters, digits and signs without a backslash, as in LANTERN."),
)


class CodeWrong(ProvisionError):
    code = "provision.code"
    sentence = N_(
        "This code does not fit. Compare it with the label, or with what the box's own screen shows; if it is right, "
        "the provisioning file is not from the hospital that printed the label."
    )


FINGERPRINT_DIFFERS = Refusal(
    ProvisionError,
    "provision.fingerprint",
    N_("The hospital's fingerprint is {found}, not the one that was given. Nothing was changed. Call the hospital."),
)


class ProvisioningUnreadable(ProvisionError):
    code = "provision.file"
    sentence = N_("{file} is not a provisioning file, or was cut off ({detail}). Ask the hospital for it again.")
    file: str
    detail: str


PROVISIONING_NONE = Refusal(
    ProvisionError,
    "provision.none",
    N_(
        "There is no provisioning file {wanted} in {folder}. Check that this is the hospital's stick and the right "
        "folder on it; otherwise ask the hospital for the file."
    ),
)


class ProvisioningUndecided(ProvisionError):
    code = "provision.which"
    sentence = N_(
        "{folder} holds provisioning files for {count} boxes, and it is not clear which one is for this box. Nothing "
        "was changed. Give the code on this box's label (--code), its id (--id), or its own file (--file)."
    )
    folder: str
    count: int


PROVISIONING_MANY = Refusal(
    ProvisionError,
    "provision.many",
    N_(
        "There are more than {limit} provisioning files, and the box keeps no more than that; this one was not kept. "
        "Put the file of this box alone on a stick."
    ),
)


class ProvisioningForged(ProvisionError):
    code = "provision.signature"
    sentence = N_(
        "The signature of {file} is not that of the hospital it names. Someone changed it; nothing was taken from it."
    )
    file: str


PROVISIONING_STRANGER = Refusal(
    ProvisionError,
    "provision.stranger",
    N_("{file} was made by another hospital ({found}) than the one this box trusts ({trusted}). Nothing was changed."),
)


PROVISIONING_ELSEWHERE = Refusal(
    ProvisionError,
    "provision.wrong_box",
    N_("{file} is for {meant}, and this box is {here}. Take the file and the label that belong to this box."),
)


PROVISIONING_EXPIRED = Refusal(
    ProvisionError,
    "provision.expired",
    N_("{file} was good until {ends}; the box's clock says {now}. Ask the hospital for a new one."),
)


PROVISIONING_REPLAYED = Refusal(
    ProvisionError,
    "provision.replayed",
    N_("{file} is old: this box has taken a later file of the same hospital, and keeps what that one says."),
)


class TrustNeeded(ProvisionError):
    code = "provision.trust"
    sentence = N_(
        "This box does not know the hospital {fingerprint} yet. Give the code on the box's label (--code), or compare "
        "this fingerprint by telephone and give it (--fingerprint)."
    )
    fingerprint: str


ENROLMENT_STRANGER = Refusal(
    ProvisionError,
    "provision.enrolment",
    N_(
        "{file} was issued by the authority {issuer}; that of the hospital that this box reports to ({hospital}) is "
        "{authority}. Nothing was changed. If this hospital has a new authority, or the box is to report to another "
        "hospital, first give the box the new hospital.json: “sudo lantern provision”. Else ask this hospital to enrol "
        "the box."
    ),
)


HOSPITAL_NEEDED = Refusal(
    ProvisionError,
    "provision.no_hospital",
    N_(
        "This box reports to no hospital yet, so nothing says whose answer {file} is. Nothing was changed. First give "
        "the box its hospital: “sudo lantern provision”."
    ),
)


ENROLMENT_UNAWAITED = Refusal(
    ProvisionError,
    "provision.enrol_unawaited",
    N_("An answer to an enrolment has come, but this box awaits none. It was not used."),
)


BROKER_UNUSABLE = Refusal(
    ProvisionError,
    "provision.broker",
    N_(
        "“{broker}” is not the address of a broker. Give it as the hospital does, as in mqtt.hospital.example or "
        "192.168.1.9:8883, and the code of this box's label with it."
    ),
)


ANSWERS_UNWRITABLE = Refusal(
    ProvisionError,
    "provision.write",
    N_("{path} cannot be written: {detail}. Nothing was changed. Run “sudo lantern provision”."),
)


ZONE_NOT_SET = Refusal(
    ProvisionError,
    "provision.zone_not_set",
    N_(
        "The time zone of this machine could not be set to {zone}: {detail}. All the rest is done. Set it with “sudo "
        "timedatectl set-timezone {zone}”."
    ),
)
"""All the rest was done: a clock that shows another hour is no reason to leave a box without an identity."""


START_NEEDED = Refusal(
    ProvisionError,
    "provision.start_needed",
    N_(
        "But it did not start again by itself: {detail}. Switch the box off and on, or run “sudo systemctl restart "
        "lantern.target”."
    ),
)


class RequestUnusable(ProvisionError):
    code = "provision.request"
    sentence = N_("The request of the first page cannot be used ({detail}). Open the page and answer again.")
    detail: str

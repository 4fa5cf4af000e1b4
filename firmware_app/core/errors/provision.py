"""Why a box is not given its identity: an answer that cannot be used, or a provisioning file that may not be."""

from __future__ import annotations

from firmware_app.core.errors.box import ProvisionError
from firmware_app.core.errors.line import HospitalError
from firmware_app.core.language import N_

# --- answers ------------------------------------------------------------------------------------------------------


class ClinicNameUnusable(ProvisionError):
    code = "provision.name"
    sentence = N_("The clinic's name is 1 to {limit} characters on one line. Type it again.")
    limit: int


class LanguageUnknown(ProvisionError):
    code = "provision.language"
    sentence = N_("“{language}” is not a language of this box. Choose one of: {languages}.")
    language: str
    languages: str


class ZoneUnknown(ProvisionError):
    code = "provision.zone"
    sentence = N_("“{zone}” is not a time zone that this machine knows. Give one as in Asia/Shanghai.")
    zone: str


class AeTitleUnusable(ProvisionError):
    code = "provision.ae_title"
    sentence = N_(
        "“{title}” cannot be an AE title. Use 1 to 16 letters, digits and signs without a backslash, as in LANTERN."
    )
    title: str


class CodeMalformed(ProvisionError):
    code = "provision.code_form"
    sentence = N_("A one-time code has 12 letters and digits, as in 2345-6789-ABCD. Type it again as it is printed.")


class CodeWrong(ProvisionError):
    code = "provision.code"
    sentence = N_(
        "This code does not fit. Compare it with the label, or with what the box's own screen shows; if it is right, "
        "the provisioning file is not from the hospital that printed the label."
    )


class FingerprintDiffers(ProvisionError):
    code = "provision.fingerprint"
    sentence = N_(
        "The hospital's fingerprint is {found}, not the one that was given. Nothing was changed. Call the hospital."
    )
    found: str


# --- the file -----------------------------------------------------------------------------------------------------


class ProvisioningUnreadable(ProvisionError):
    code = "provision.file"
    sentence = N_("{file} is not a provisioning file, or was cut off ({detail}). Ask the hospital for it again.")
    file: str
    detail: str


class ProvisioningNone(ProvisionError):
    code = "provision.none"
    sentence = N_(
        "There is no provisioning file {wanted} in {folder}. Check that this is the hospital's stick and the right "
        "folder on it; otherwise ask the hospital for the file."
    )
    wanted: str
    folder: str


class ProvisioningUndecided(ProvisionError):
    code = "provision.which"
    sentence = N_(
        "{folder} holds provisioning files for {count} boxes, and it is not clear which one is for this box. Nothing "
        "was changed. Give the code on this box's label (--code), its id (--id), or its own file (--file)."
    )
    folder: str
    count: int


class ProvisioningMany(ProvisionError):
    code = "provision.many"
    sentence = N_(
        "There are more than {limit} provisioning files there, and the box tries no more than that. Give its id (--id) "
        "or its own file (--file), or put that file alone on a stick."
    )
    limit: int


class ProvisioningForged(ProvisionError):
    code = "provision.signature"
    sentence = N_(
        "The signature of {file} is not that of the hospital it names. Someone changed it; nothing was taken from it."
    )
    file: str


class ProvisioningStranger(ProvisionError):
    code = "provision.stranger"
    sentence = N_(
        "{file} was made by another hospital ({found}) than the one this box trusts ({trusted}). Nothing was changed."
    )
    file: str
    found: str
    trusted: str


class ProvisioningElsewhere(ProvisionError):
    code = "provision.wrong_box"
    sentence = N_("{file} is for {meant}, and this box is {here}. Take the file and the label that belong to this box.")
    file: str
    meant: str
    here: str


class ProvisioningExpired(ProvisionError):
    code = "provision.expired"
    sentence = N_("{file} was good until {ends}; the box's clock says {now}. Ask the hospital for a new one.")
    file: str
    ends: str
    now: str


class ProvisioningReplayed(ProvisionError):
    code = "provision.replayed"
    sentence = N_("{file} is old: this box has taken a later file of the same hospital, and keeps what that one says.")
    file: str


class TrustNeeded(ProvisionError):
    code = "provision.trust"
    sentence = N_(
        "This box does not know the hospital {fingerprint} yet. Give the code on the box's label (--code), or compare "
        "this fingerprint by telephone and give it (--fingerprint)."
    )
    fingerprint: str


class EnrolmentStranger(ProvisionError):
    code = "provision.enrolment"
    sentence = N_(
        "{file} was issued by the authority {issuer}; that of the hospital that this box reports to ({hospital}) is "
        "{authority}. Nothing was changed. If this hospital has a new authority, or the box is to report to another "
        "hospital, first give the box the new hospital.json: “sudo lantern provision”. Else ask this hospital to enrol "
        "the box."
    )
    file: str
    issuer: str
    authority: str
    hospital: str


class HospitalNeeded(ProvisionError):
    code = "provision.no_hospital"
    sentence = N_(
        "This box reports to no hospital yet, so nothing says whose answer {file} is. Nothing was changed. First give "
        "the box its hospital: “sudo lantern provision”."
    )
    file: str


# --- enrolment over the line ---------------------------------------------------------------------------------------


class EnrolmentProofWrong(ProvisionError):
    code = "provision.enrol_proof"
    sentence = N_(
        "The enrolment of {box} was not made with the code of its label. Nothing was changed. Type the code again, as "
        "it is printed."
    )
    box: str


class EnrolmentUnawaited(ProvisionError):
    code = "provision.enrol_unawaited"
    sentence = N_("An answer to an enrolment has come, but this box awaits none. It was not used.")


class BrokerUnusable(ProvisionError):
    code = "provision.broker"
    sentence = N_(
        "“{broker}” is not the address of a broker. Give it as the hospital does, as in mqtt.hospital.example or "
        "192.168.1.9:8883, and the code of this box's label with it."
    )
    broker: str


# --- doing it -----------------------------------------------------------------------------------------------------


class ConsoleNeeded(ProvisionError):
    code = "provision.console"
    sentence = N_(
        "“lantern provision” without options asks questions and needs a terminal. Give --file FILE, or --id and "
        "--hospital."
    )


class AnswersUnwritable(ProvisionError):
    code = "provision.write"
    sentence = N_("{path} cannot be written: {detail}. Nothing was changed. Run “sudo lantern provision”.")
    path: str
    detail: str


class SealingFailed(ProvisionError):
    code = "provision.seal"
    sentence = N_(
        "The security chip (TPM) of this machine did not seal the box's keys: {detail}. They are not on the disk yet; "
        "try again, or give --no-tpm to keep them in files that only root reads."
    )
    detail: str


class ZoneNotSet(ProvisionError):
    """All the rest was done: a clock that shows another hour is no reason to leave a box without an identity."""

    code = "provision.zone_not_set"
    sentence = N_(
        "The time zone of this machine could not be set to {zone}: {detail}. All the rest is done. Set it with “sudo "
        "timedatectl set-timezone {zone}”."
    )
    zone: str
    detail: str


class StartNeeded(ProvisionError):
    code = "provision.start_needed"
    sentence = N_(
        "But it did not start again by itself: {detail}. Switch the box off and on, or run “sudo systemctl restart "
        "lantern.target”."
    )
    detail: str


class RequestUnusable(ProvisionError):
    code = "provision.request"
    sentence = N_("The request of the first page cannot be used ({detail}). Open the page and answer again.")
    detail: str


class RowUnusable(HospitalError):
    """At the hospital: a line of the list of boxes."""

    code = "hospital.row"
    sentence = N_("Line {line} of {file} cannot be used: {detail}. No file was written; correct the line.")
    file: str
    line: int
    detail: str


class LabelCodeWrong(HospitalError):
    """At the hospital, as the others below: what was typed to enrol a box."""

    code = "hospital.code_wrong"
    sentence = N_(
        "This is the code of no label that was printed here. Nothing was changed. Compare it with the label; a sheet "
        "of an earlier version counts once “lantern-hospital enrol --csv” has run again with its list."
    )


class LabelCodesTried(HospitalError):
    code = "hospital.code_tries"
    sentence = N_(
        "Too many wrong codes were typed from here. Wait 15 minutes, or type it on the hospital's computer itself: "
        "“lantern-hospital enrol --code CODE”."
    )


class LabelCodeUsed(HospitalError):
    code = "hospital.code_used"
    sentence = N_(
        "The code of box {box} was used already, and each is good for one enrolment. If the box was set up anew, bring "
        "its box.json here: “lantern-hospital enrol box.json --replace”."
    )
    box: str


class LabelCodeExpired(HospitalError):
    code = "hospital.code_expired"
    sentence = N_(
        "The code of box {box} was good until {ends}. Make its file anew with “lantern-hospital enrol --csv” or "
        "“--new”; the code stays the same."
    )
    box: str
    ends: str


class EnrolmentAwaited(HospitalError):
    code = "hospital.enrol_awaited"
    sentence = N_(
        "The code is right, but box {box} has not asked yet. Is it switched on, and does it reach the broker on port "
        "{port}? Was the same code typed there? It asks twice a minute; then type the code again."
    )
    box: str
    port: int

"""The sealed line: what may travel on it, why it is silent, and what its receiving end keeps aside."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_

# --- the line to the hospital ---------------------------------------------------------------------------------


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


class EnvelopeUndecryptable(UplinkError):
    code = "uplink.undecryptable"
    sentence = N_("The sealed message cannot be opened: it was changed on the way, or is for another box or purpose.")


class SignatureForged(UplinkError):
    code = "uplink.forged"
    sentence = N_("The signature is not that of the sender the message names. Someone else wrote it; it was not used.")


class SealKeyUnknown(UplinkError):
    code = "uplink.key_unknown"
    sentence = N_("The message is sealed to a key ({key}) that this hospital never had. It went to the wrong place.")
    key: str


class SealKeyRetired(UplinkError):
    code = "uplink.key_retired"
    sentence = N_("The message is sealed to a key ({key}) that was retired. The box sends it again with the new one.")
    key: str


class KeysOutdated(UplinkError):
    code = "uplink.keys_outdated"
    sentence = N_("The hospital's keys number {serial} are older than those in use; they were not taken.")
    serial: int


class BundleInvalid(UplinkError):
    code = "uplink.bundle"
    sentence = N_("The file {path} cannot be used: {detail}. Ask for it again.")
    path: str
    detail: str


class LineNotSetUp(UplinkError):
    code = "uplink.not_set_up"
    sentence = N_("The line to the hospital is switched on but [uplink] {key} is missing. Run “lantern provision”.")
    key: str


class PlainLineRefused(UplinkError):
    code = "uplink.plain"
    sentence = N_(
        "The broker {host} is another machine and [uplink] tls_ca is not set. The box does not connect without "
        "encryption."
    )
    host: str


class CertificateNotYetValid(UplinkError):
    code = "uplink.certificate_not_yet"
    sentence = N_(
        "The box's clock says {now}, but its certificate {file} begins on {starts}. Set the clock; no summary is lost."
    )
    now: str
    file: str
    starts: str


class CertificateExpired(UplinkError):
    code = "uplink.certificate_expired"
    sentence = N_(
        "The certificate {file} ended on {ends} and the box's clock says {now}. Check the clock; if it is right, "
        "ask the hospital to enrol the box again. No summary is lost."
    )
    file: str
    ends: str
    now: str


class CertificateTooEarly(UplinkError):
    code = "uplink.certificate_early"
    sentence = N_(
        "The box's certificate {file} begins on {starts} only; it is {now}, and the clock is confirmed, so it is not "
        "the cause. Ask the hospital to set its own clock and to enrol the box again. No summary is lost."
    )
    file: str
    starts: str
    now: str


class CertificateOver(UplinkError):
    code = "uplink.certificate_ended"
    sentence = N_(
        "The certificate {file} ended on {ends}; it is {now}, and the clock is confirmed, so it is not the cause. Ask "
        "the hospital to enrol the box again. No summary is lost."
    )
    file: str
    ends: str
    now: str


class BrokerNotYetByClock(UplinkError):
    code = "uplink.broker_not_yet"
    sentence = N_(
        "The certificate of the hospital's broker {host} begins on {starts} and the box's clock says {now}: the clock "
        "is the likely cause. Set it with “lantern clock set”; no summary is lost."
    )
    host: str
    starts: str
    now: str


class BrokerNotYet(UplinkError):
    code = "uplink.broker_early"
    sentence = N_(
        "The certificate of the hospital's broker {host} begins on {starts} only; it is {now}, and the box's clock is "
        "confirmed, so it is not the cause. Tell the hospital; no summary is lost."
    )
    host: str
    starts: str
    now: str


class BrokerExpiredByClock(UplinkError):
    code = "uplink.broker_expired"
    sentence = N_(
        "The certificate of the hospital's broker {host} ended on {ends} and the box's clock says {now}. Check the "
        "clock first, with “lantern clock show”; if it is right, tell the hospital. No summary is lost."
    )
    host: str
    ends: str
    now: str


class BrokerExpired(UplinkError):
    code = "uplink.broker_ended"
    sentence = N_(
        "The certificate of the hospital's broker {host} ended on {ends}; it is {now}, and the box's clock is "
        "confirmed, so it is not the cause. Tell the hospital; no summary is lost."
    )
    host: str
    ends: str
    now: str


class BrokerUnreachable(UplinkError):
    code = "uplink.no_broker"
    sentence = N_(
        "The hospital's broker {host}:{port} does not answer ({detail}). The box keeps its summaries and tries on."
    )
    host: str
    port: int
    detail: str


class BrokerUntrusted(UplinkError):
    code = "uplink.broker_untrusted"
    sentence = N_("The server at {host}:{port} is not the hospital's broker ({detail}). Nothing was sent to it.")
    host: str
    port: int
    detail: str


class BrokerClosed(UplinkError):
    code = "uplink.broker_closed"
    sentence = N_(
        "The broker {host}:{port} closed the line before it answered. The hospital may have revoked this box's "
        "certificate; ask there. No summary is lost."
    )
    host: str
    port: int


class BrokerFindsOutOfDate(UplinkError):
    code = "uplink.refused_dates"
    sentence = N_(
        "The broker {host}:{port} refuses this box's certificate as not valid at this time ({detail}). Either the "
        "clock of the hospital's computer is wrong, or it was when the box was enrolled: tell the hospital to run "
        "“lantern-hospital broker”, which names the cause. No summary is lost."
    )
    host: str
    port: int
    detail: str


class BrokerRefused(UplinkError):
    code = "uplink.broker_refused"
    sentence = N_("The broker refused ({reason}). Ask the hospital whether this box is enrolled and has its rights.")
    reason: str


# --- the receiving end ----------------------------------------------------------------------------------------


class HospitalError(LanternError):
    """A message was kept aside, or the operator must do something first."""


class TopicUnknown(HospitalError):
    code = "hospital.topic"
    sentence = N_("The message came under a topic that no box of this version uses. It was kept aside.")


class BoxUnknown(HospitalError):
    code = "hospital.box_unknown"
    sentence = N_("No box named {box} is enrolled here. Enrol it with “lantern-hospital enrol”.")
    box: str


class Misaddressed(HospitalError):
    code = "hospital.misaddressed"
    sentence = N_("The message names another box or kind inside than the topic it came under. It was kept aside.")


class Replayed(HospitalError):
    code = "hospital.replayed"
    sentence = N_("Exactly the same message came before. It was counted then and is not counted again.")


class Outdated(HospitalError):
    code = "hospital.outdated"
    sentence = N_("A newer status message of this box came before. This one changes nothing.")


class Contradicted(HospitalError):
    code = "hospital.contradicted"
    sentence = N_("Another message with the same number but different content was counted before. This one was not.")


class KeysMissing(HospitalError):
    code = "hospital.keys_missing"
    sentence = N_(
        "There are no hospital keys in {path}. Name their folder with --dir, or make them with “lantern-hospital keys "
        "new”."
    )
    path: str


class KeysExist(HospitalError):
    code = "hospital.keys_exist"
    sentence = N_("There are hospital keys in {path} already. “lantern-hospital keys rotate” makes a fresh one.")
    path: str


class BoxEnrolled(HospitalError):
    code = "hospital.box_enrolled"
    sentence = N_("Another box named {box} is enrolled already. Give this one another id, or use --replace.")
    box: str


class InboxNewer(HospitalError):
    code = "hospital.inbox_newer"
    sentence = N_(
        "The inbox was written by a newer Lantern (version {version}, this one knows {known}). Install that version "
        "again; nothing was changed."
    )
    version: int
    known: int


class BoxRevoked(HospitalError):
    code = "hospital.box_revoked"
    sentence = N_(
        "The box {box} was revoked. What it sends is not counted. “lantern-hospital enrol … --replace” takes it back."
    )
    box: str


class HospitalServing(HospitalError):
    code = "hospital.serving"
    sentence = N_("“lantern-hospital serve” works in {path} already. Stop that one first; nothing was changed.")
    path: str


class BrokerFilesOld(HospitalError):
    code = "hospital.broker_old"
    sentence = N_(
        "The broker's configuration {path} is that of an earlier version: one box can silence others, and none can be "
        "cut off. Run “lantern-hospital broker --update”, then restart the broker."
    )
    path: str


class InboxDamaged(HospitalError):
    code = "hospital.inbox_damaged"
    sentence = N_(
        "The inbox is damaged ({detail}). Start “lantern-hospital serve” again: it sets the file aside and goes on "
        "with what can be read."
    )
    detail: str


class InboxRebuilt(HospitalError):
    code = "hospital.inbox_rebuilt"
    sentence = N_(
        "The inbox was damaged ({detail}) and was made again from what could be read: {cases} case revisions, {boxes} "
        "boxes. Boxes send unconfirmed messages again by themselves; confirmed ones that could not be read are lost "
        "here. The damaged file is kept as {path}. A backup may hold more."
    )
    detail: str
    cases: int
    boxes: int
    path: str


class InboxNeedsRoom(HospitalError):
    code = "hospital.inbox_room"
    sentence = N_(
        "The inbox is damaged ({detail}) and cannot be made again: {missing_mb} MB of disk are missing for it at "
        "{path}. Nothing was removed. Free that much space and start “lantern-hospital serve” again."
    )
    detail: str
    missing_mb: int
    path: str


class CopyNotMade(HospitalError):
    code = "hospital.backup_failed"
    sentence = N_("The backup {path} was not made: {detail}. Nothing of it is left.")
    path: str
    detail: str


class CopyUnusable(HospitalError):
    code = "hospital.backup_unusable"
    sentence = N_("The file {path} is no whole backup of a hospital ({detail}). Take another one.")
    path: str
    detail: str


class RestoreOccupied(HospitalError):
    code = "hospital.restore_occupied"
    sentence = N_("The folder {path} holds a hospital already. Move it away first; nothing was changed.")
    path: str


class ClockBehindBackup(HospitalError):
    code = "hospital.clock_behind"
    sentence = N_("The backup was made on {made}, which is later than this computer's clock. Set the clock first.")
    made: str

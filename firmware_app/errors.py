"""Everything the box can refuse or fail at: one tree, each leaf with a stable code and a sentence for a person.

    LanternError
    ├── ConfigError          config.*    the technician's file
    ├── StoreError           store.*     the databases and the disk
    ├── IntakeError          intake.*    refused at the door; carries the C-STORE status (PS3.4 Annex B.2.3)
    ├── ImagingError         imaging.*   accepted, but its pixels cannot be shown to a model
    ├── CannotJudge          age, reading.*, quality.*   nothing is broken, but no honest number can be given
    ├── PackError            pack.*      a model pack is not what it claims
    ├── AccountError     account.*   a person's account in the viewer
    ├── RuntimeFault         runtime.*   an inference runtime is missing or failed
    ├── ServiceError         service.*   a process of the box cannot do its work
    ├── UplinkError          uplink.*    the sealed line to the hospital: what may travel on it, and why it is silent
    ├── HospitalError        hospital.*  the receiving end: why a message was kept aside, and what an operator must do
    └── ProvisionError       provision.* the box cannot be given its identity

An error is a value: its fields fill the sentence, `code` and `details` are what is stored.  No field ever holds a
patient's name, id or a UID, so any error may be logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from firmware_app.language import N_, register, say


class LanternError(Exception):
    """Root of the tree.  Subclasses are dataclasses whose fields are the placeholders of `sentence`."""

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            register(cls.code, cls.sentence)

    @property
    def details(self) -> Mapping[str, str | int | float]:
        """The placeholders' values, ready for storage as JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def text(self, language: str = "en") -> str:
        """The sentence a person reads, in *language* (``zh_CN`` or ``en``)."""
        return say(self.code, self.details, language)

    def __str__(self) -> str:
        return f"{self.code}: {self.text()}"


# --- configuration ----------------------------------------------------------------------------------------------


class ConfigError(LanternError):
    """The configuration cannot be used as written."""


@dataclass(eq=False)
class ConfigMissing(ConfigError):
    code = "config.missing"
    sentence = N_("There is no configuration file at {path}. Check the path given with --config.")
    path: str


@dataclass(eq=False)
class ConfigUnreadable(ConfigError):
    code = "config.unreadable"
    sentence = N_("The configuration file {path} is not valid TOML: {detail}. Correct that line and try again.")
    path: str
    detail: str


@dataclass(eq=False)
class ConfigUnknownKey(ConfigError):
    code = "config.unknown_key"
    sentence = N_("The configuration has no key “{key}”. The keys known there are: {known}.")
    key: str
    known: str


@dataclass(eq=False)
class ConfigInvalid(ConfigError):
    code = "config.invalid"
    sentence = N_("The configuration key “{key}” cannot be “{value}”: {detail}.")
    key: str
    value: str
    detail: str


# --- databases and disk -----------------------------------------------------------------------------------------


class StoreError(LanternError):
    """A database or the state directory cannot be used."""


@dataclass(eq=False)
class StoreTooNew(StoreError):
    code = "store.too_new"
    sentence = N_(
        "The database {database} was written by a newer version (schema {found}; this version knows {known}). "
        "Install the newer version again."
    )
    database: str
    found: int
    known: int


@dataclass(eq=False)
class StoreNotReady(StoreError):
    code = "store.not_ready"
    sentence = N_("The database {database} has not been prepared yet. Start the box with “lantern serve” first.")
    database: str


@dataclass(eq=False)
class StateUnusable(StoreError):
    code = "store.unusable"
    sentence = N_("The state directory {path} cannot be used: {detail}. Check that it exists and who may write it.")
    path: str
    detail: str


@dataclass(eq=False)
class StoreUnreadable(StoreError):
    code = "store.unreadable"
    sentence = N_(
        "The database cannot be opened ({detail}). Nothing was lost. Check that the disk is mounted, may be written "
        "and is not full; “lantern doctor” says more."
    )
    detail: str


@dataclass(eq=False)
class OutputUnusable(StoreError):
    code = "store.output"
    sentence = N_("The results cannot be written to {path}: {detail}. Name a folder that may be written.")
    path: str
    detail: str


@dataclass(eq=False)
class CaseUnknown(StoreError):
    code = "store.case_unknown"
    sentence = N_("There is no case {case} on this box. “lantern case list” shows the cases.")
    case: str


# --- the door ---------------------------------------------------------------------------------------------------


class IntakeError(LanternError):
    """An object was refused at the door.  `dimse_status` is what the sending modality is answered."""

    dimse_status: ClassVar[int] = 0xC000


@dataclass(eq=False)
class NotAnImage(IntakeError):
    code = "intake.not_an_image"
    sentence = N_("This file is neither a DICOM object nor a picture the box knows. It was left where it is.")


@dataclass(eq=False)
class Truncated(IntakeError):
    code = "intake.truncated"
    sentence = N_("The object is incomplete: it ends inside {where}. Send or copy it again.")
    dimse_status = 0xC001
    where: str


@dataclass(eq=False)
class Malformed(IntakeError):
    code = "intake.malformed"
    sentence = N_("The object breaks the DICOM encoding rules at {where}. Export it again from the machine.")
    dimse_status = 0xC002
    where: str


@dataclass(eq=False)
class NestedTooDeep(IntakeError):
    code = "intake.nested_too_deep"
    sentence = N_("The object nests sequences deeper than {limit} levels, which no real image does. It was refused.")
    dimse_status = 0xC003
    limit: int


@dataclass(eq=False)
class ObjectTooLarge(IntakeError):
    code = "intake.too_large"
    sentence = N_(
        "The object is larger than the {limit_mb} MB this box accepts. Raise [dicom] max_object_mb if it is real."
    )
    dimse_status = 0xA702
    limit_mb: int


@dataclass(eq=False)
class PixelLengthMismatch(IntakeError):
    code = "intake.pixel_length"
    sentence = N_("The header promises {declared} bytes of pixels but {present} are there. Send or copy it again.")
    dimse_status = 0xC004
    declared: int
    present: int


@dataclass(eq=False)
class IdentityMissing(IntakeError):
    code = "intake.identity_missing"
    sentence = N_("The object has no valid {keyword}, so it cannot be told apart from others. Export it again.")
    dimse_status = 0xC005
    keyword: str


@dataclass(eq=False)
class IdentityMismatch(IntakeError):
    code = "intake.identity_mismatch"
    sentence = N_("The object inside is not the one announced: its {keyword} differs. Check the sending machine.")
    dimse_status = 0xA900
    keyword: str


@dataclass(eq=False)
class TransferSyntaxRefused(IntakeError):
    code = "intake.transfer_syntax"
    sentence = N_("The box does not take images in the transfer syntax “{name}”. Send it uncompressed or as JPEG.")
    dimse_status = 0xC006
    name: str


@dataclass(eq=False)
class DirectoryRecord(IntakeError):
    code = "intake.directory_record"
    sentence = N_("This is a DICOMDIR, the list of a disc's contents, not an image. The images beside it are read.")
    dimse_status = 0xC007


@dataclass(eq=False)
class InstanceConflict(IntakeError):
    code = "intake.conflict"
    sentence = N_(
        "Another image with the same identity is already here, with different pixels or stored differently. "
        "The first is kept in use, this one is set aside; check the sending machine."
    )
    dimse_status = 0xC008


@dataclass(eq=False)
class HeaderConflict(IntakeError):
    code = "intake.header_conflict"
    sentence = N_(
        "The same image is already here, but its details (such as age, view or patient) differ or are stored "
        "differently. The first is kept in use, this one is set aside. Correct the patient or the age in the viewer."
    )
    dimse_status = 0xC009


@dataclass(eq=False)
class NotARegularFile(IntakeError):
    code = "intake.not_regular"
    sentence = N_("This is a link, a pipe or a device, not a regular file. It was not followed.")


@dataclass(eq=False)
class FileUnreadable(IntakeError):
    code = "intake.unreadable"
    sentence = N_("The file cannot be read: {detail}. Check the stick or the permissions and try again.")
    detail: str


@dataclass(eq=False)
class SpaceShort(IntakeError):
    code = "intake.space_short"
    sentence = N_(
        "The box has only {free_mb} MB of disk left and takes no new image. "
        "Images already accepted are safe; free some space or call the technician."
    )
    dimse_status = 0xA700
    free_mb: int


@dataclass(eq=False)
class NotKept(IntakeError):
    code = "intake.not_kept"
    sentence = N_(
        "The box could not write the object to its disk ({detail}), so it was not accepted. "
        "Send it again; call the technician if that fails too."
    )
    dimse_status = 0xA701
    detail: str


# --- pixels -----------------------------------------------------------------------------------------------------


class ImagingError(LanternError):
    """The object was accepted, but no frame a model may see can be made of it."""


@dataclass(eq=False)
class NoPixels(ImagingError):
    code = "imaging.no_pixels"
    sentence = N_("This object holds no image (it may be a report or a plan), so there is nothing to read.")


@dataclass(eq=False)
class Undecodable(ImagingError):
    code = "imaging.undecodable"
    sentence = N_("The image cannot be decoded ({detail}). Ask for it to be exported again, uncompressed.")
    detail: str


@dataclass(eq=False)
class PixelsUnsupported(ImagingError):
    code = "imaging.unsupported"
    sentence = N_("The image stores its pixels in a way this version cannot show: {detail}.")
    detail: str


@dataclass(eq=False)
class FrameTooLarge(ImagingError):
    code = "imaging.too_large"
    sentence = N_("The header claims a frame of {columns} × {rows} pixels, more than this box opens.")
    columns: int
    rows: int


# --- no honest number -------------------------------------------------------------------------------------------


class CannotJudge(LanternError):
    """Nothing is broken, but a number would not be honest."""


@dataclass(eq=False)
class AgeOutside(CannotJudge):
    code = "age"
    sentence = N_(
        "The patient is {age} years old; no installed model was made for that age. A doctor must read this film."
    )
    age: int


@dataclass(eq=False)
class AgeUnknown(CannotJudge):
    code = "age.unknown"
    sentence = N_(
        "The film does not say how old the patient is, and children and adults need different models. Enter the age."
    )


@dataclass(eq=False)
class AgeUnclear(CannotJudge):
    """Names no text of the header: what was typed into an age field may be a name."""

    code = "age.unclear"
    sentence = N_(
        "What the film says of the patient's age cannot be understood or contradicts its dates. No model was chosen. "
        "Enter the age."
    )


@dataclass(eq=False)
class ModalityNotCovered(CannotJudge):
    code = "reading.modality"
    sentence = N_("No installed model reads images of the kind “{modality}”. A doctor must read this image.")
    modality: str


@dataclass(eq=False)
class ModalityUnknown(CannotJudge):
    code = "reading.modality_unknown"
    sentence = N_("The image does not say what machine made it, so no model may be chosen. Name a model with --pack.")


@dataclass(eq=False)
class BodyPartNotCovered(CannotJudge):
    code = "reading.body_part"
    sentence = N_("No installed model reads this part of the body ({body_part}). A doctor must read this image.")
    body_part: str


@dataclass(eq=False)
class BodyPartUnknown(CannotJudge):
    code = "reading.body_part_unknown"
    sentence = N_("The image does not say which part of the body it shows, so no model may be chosen.")


@dataclass(eq=False)
class ViewNotCovered(CannotJudge):
    code = "reading.view"
    sentence = N_("The installed models read frontal films only; this one is marked {view}. A doctor must read it.")
    view: str


@dataclass(eq=False)
class ViewUnclear(CannotJudge):
    code = "reading.view_unclear"
    sentence = N_(
        "The words of the examination name a frontal and another view, and the film does not say which one it is. "
        "A doctor must read it."
    )


@dataclass(eq=False)
class ForProcessing(CannotJudge):
    code = "reading.for_processing"
    sentence = N_(
        "The machine sent the detector's raw data, which no model reads. "
        "Set it to send the image “FOR PRESENTATION” and send it again."
    )


@dataclass(eq=False)
class NoPackInstalled(CannotJudge):
    code = "reading.no_pack"
    sentence = N_("No working model is installed on this box. “lantern doctor” says what to do.")


class ImageUnfit(CannotJudge):
    """The pixels can be no film, whatever the header says (`imaging.fitness`)."""


@dataclass(eq=False)
class ImageTooSmall(ImageUnfit):
    code = "quality.too_small"
    sentence = N_(
        "The image has {columns} × {rows} pixels; at least {least} on each side are needed. Send the original image."
    )
    columns: int
    rows: int
    least: int


@dataclass(eq=False)
class ImageOddShape(ImageUnfit):
    code = "quality.shape"
    sentence = N_("The image has {columns} × {rows} pixels, which is not the shape of a film. Send the whole image.")
    columns: int
    rows: int


@dataclass(eq=False)
class ImageBlank(ImageUnfit):
    code = "quality.blank"
    sentence = N_("The image is blank or nearly so (greys in use: {greys}). Check the exposure and send it again.")
    greys: int


@dataclass(eq=False)
class ImageNotAFilm(ImageUnfit):
    code = "quality.not_a_film"
    sentence = N_("The image shows no connected shapes, as noise or a test pattern does, so it was not read as a film.")


@dataclass(eq=False)
class DecodeGaveUp(CannotJudge):
    code = "reading.decode_gave_up"
    sentence = N_(
        "Opening this image stopped the decoder twice ({detail}), so it was set aside. It may be damaged or hostile."
    )
    detail: str


@dataclass(eq=False)
class InferenceGaveUp(CannotJudge):
    code = "reading.inference_gave_up"
    sentence = N_("The model stopped twice on this image ({detail}), so there is no result. A doctor must read it.")
    detail: str


@dataclass(eq=False)
class ReaderGaveUp(CannotJudge):
    code = "reading.gave_up"
    sentence = N_("The reader was interrupted {claims} times while reading this image and has stopped trying.")
    claims: int


@dataclass(eq=False)
class NotReadYet(CannotJudge):
    code = "reading.waiting"
    sentence = N_("This image is stored safely but has not been read yet; no result does not mean normal.")


# --- model packs and runtimes -----------------------------------------------------------------------------------


class PackError(LanternError):
    """A model pack is missing, damaged or not what it claims."""


@dataclass(eq=False)
class PackUnknown(PackError):
    code = "pack.unknown"
    sentence = N_("There is no model pack named “{pack}” on this box. “lantern status” lists the installed ones.")
    pack: str


@dataclass(eq=False)
class PackManifestInvalid(PackError):
    code = "pack.manifest"
    sentence = N_("The manifest of the model pack in {path} cannot be used: {detail}. Install the pack again.")
    path: str
    detail: str


@dataclass(eq=False)
class PackArtefactMissing(PackError):
    code = "pack.artefact_missing"
    sentence = N_("The model pack “{pack}” lacks its file {file}. Install the pack again.")
    pack: str
    file: str


@dataclass(eq=False)
class PackDigestMismatch(PackError):
    code = "pack.digest"
    sentence = N_("The file {file} of the model pack “{pack}” is not the one that was shipped. Install the pack again.")
    pack: str
    file: str


class RuntimeFault(LanternError):
    """An inference runtime cannot be used, or failed while it was."""


@dataclass(eq=False)
class RuntimeUnavailable(RuntimeFault):
    code = "runtime.unavailable"
    sentence = N_("The inference runtime {runtime} cannot be used here: {detail}.")
    runtime: str
    detail: str


@dataclass(eq=False)
class InferenceFailed(RuntimeFault):
    code = "runtime.inference_failed"
    sentence = N_("The model “{pack}” failed on {runtime}: {detail}.")
    pack: str
    runtime: str
    detail: str


# --- accounts ---------------------------------------------------------------------------------------------------


class AccountError(LanternError):
    """An account cannot be made or changed.  Names no account: what was typed may have been a password."""


@dataclass(eq=False)
class AccountExists(AccountError):
    code = "account.exists"
    sentence = N_("There is already an account of this name. Choose another, or “lantern user passwd” for a new code.")


@dataclass(eq=False)
class AccountUnknown(AccountError):
    code = "account.unknown"
    sentence = N_("There is no account of this name. “lantern user list” shows them.")


@dataclass(eq=False)
class AccountNameUnusable(AccountError):
    code = "account.name"
    sentence = N_(
        "An account's name is 1 to {limit} letters, digits, spaces, dots or hyphens, and starts with a letter or digit."
    )
    limit: int


# --- processes --------------------------------------------------------------------------------------------------


class ServiceError(LanternError):
    """A process of the box cannot do its work."""


@dataclass(eq=False)
class PortTaken(ServiceError):
    code = "service.port_taken"
    sentence = N_("Another program already listens on {host}:{port}. Stop it or change the port in the configuration.")
    host: str
    port: int


@dataclass(eq=False)
class PortUnusable(ServiceError):
    code = "service.port_unusable"
    sentence = N_(
        "The address {host}:{port} cannot be listened on: {detail}. Check the host and port in the configuration."
    )
    host: str
    port: int
    detail: str


@dataclass(eq=False)
class TlsUnusable(ServiceError):
    code = "service.tls"
    sentence = N_(
        "The TLS files of the DICOM port cannot be used: {detail}. Check [dicom] tls_cert, tls_key and tls_ca."
    )
    detail: str


@dataclass(eq=False)
class AlreadyRunning(ServiceError):
    code = "service.already_running"
    sentence = N_("A Lantern is already running on {state}. Stop it first, or give the second one its own [state] dir.")
    state: str


@dataclass(eq=False)
class NotRunning(ServiceError):
    code = "service.not_running"
    sentence = N_("No Lantern is running on {state}. Start it with “lantern serve”.")
    state: str


@dataclass(eq=False)
class ChildWillNotStart(ServiceError):
    code = "service.child"
    sentence = N_("A process that reads images cannot be started ({detail}). Install the box's software again.")
    detail: str


# --- the line to the hospital -----------------------------------------------------------------------------------


class UplinkError(LanternError):
    """Something may not travel, cannot be opened, or the line itself is down."""


@dataclass(eq=False)
class MessageInvalid(UplinkError):
    """Names the field, never the value: what does not belong into a message may be a person's name."""

    code = "uplink.invalid"
    sentence = N_("The field “{field}” of a message holds something that may not travel on the line. It was not used.")
    field: str


@dataclass(eq=False)
class MessageTooLarge(UplinkError):
    code = "uplink.too_large"
    sentence = N_("The message is {size} bytes long and the line takes {limit}. It is kept here and the next one goes.")
    size: int
    limit: int


@dataclass(eq=False)
class EnvelopeMalformed(UplinkError):
    code = "uplink.malformed"
    sentence = N_("The sealed message does not have the form of this version ({where}); it may be cut off.")
    where: str


@dataclass(eq=False)
class EnvelopeUndecryptable(UplinkError):
    code = "uplink.undecryptable"
    sentence = N_("The sealed message cannot be opened: it was changed on the way, or is for another box or purpose.")


@dataclass(eq=False)
class SignatureForged(UplinkError):
    code = "uplink.forged"
    sentence = N_("The signature is not that of the sender the message names. Someone else wrote it; it was not used.")


@dataclass(eq=False)
class SealKeyUnknown(UplinkError):
    code = "uplink.key_unknown"
    sentence = N_("The message is sealed to a key ({key}) that this hospital never had. It went to the wrong place.")
    key: str


@dataclass(eq=False)
class SealKeyRetired(UplinkError):
    code = "uplink.key_retired"
    sentence = N_("The message is sealed to a key ({key}) that was retired. The box sends it again with the new one.")
    key: str


@dataclass(eq=False)
class KeysOutdated(UplinkError):
    code = "uplink.keys_outdated"
    sentence = N_("The hospital's keys number {serial} are older than those in use; they were not taken.")
    serial: int


@dataclass(eq=False)
class BundleInvalid(UplinkError):
    code = "uplink.bundle"
    sentence = N_("The file {path} cannot be used: {detail}. Ask for it again.")
    path: str
    detail: str


@dataclass(eq=False)
class LineNotSetUp(UplinkError):
    code = "uplink.not_set_up"
    sentence = N_("The line to the hospital is switched on but [uplink] {key} is missing. Run “lantern provision”.")
    key: str


@dataclass(eq=False)
class PlainLineRefused(UplinkError):
    code = "uplink.plain"
    sentence = N_("The broker {host} is another machine and [uplink] tls_ca is not set. The box does not talk openly.")
    host: str


@dataclass(eq=False)
class CertificateNotYetValid(UplinkError):
    code = "uplink.certificate_not_yet"
    sentence = N_(
        "The box's clock says {now}, but its certificate {file} begins on {starts}. Set the clock; no summary is lost."
    )
    now: str
    file: str
    starts: str


@dataclass(eq=False)
class CertificateExpired(UplinkError):
    code = "uplink.certificate_expired"
    sentence = N_(
        "The certificate {file} ended on {ends} and the box's clock says {now}. Check the clock; if it is right, "
        "ask the hospital to enrol the box again. No summary is lost."
    )
    file: str
    ends: str
    now: str


@dataclass(eq=False)
class BrokerUnreachable(UplinkError):
    code = "uplink.no_broker"
    sentence = N_(
        "The hospital's broker {host}:{port} does not answer ({detail}). The box keeps its summaries and tries on."
    )
    host: str
    port: int
    detail: str


@dataclass(eq=False)
class BrokerUntrusted(UplinkError):
    code = "uplink.broker_untrusted"
    sentence = N_("Whoever answers at {host}:{port} is not the hospital's broker ({detail}). Nothing was sent to it.")
    host: str
    port: int
    detail: str


@dataclass(eq=False)
class BrokerClosed(UplinkError):
    code = "uplink.broker_closed"
    sentence = N_(
        "The broker {host}:{port} closed the line before it answered. The hospital may have revoked this box's "
        "certificate; ask there. No summary is lost."
    )
    host: str
    port: int


@dataclass(eq=False)
class BrokerRefused(UplinkError):
    code = "uplink.broker_refused"
    sentence = N_("The broker refused ({reason}). Ask the hospital whether this box is enrolled and has its rights.")
    reason: str


# --- the receiving end ------------------------------------------------------------------------------------------


class HospitalError(LanternError):
    """A message was kept aside, or the operator must do something first."""


@dataclass(eq=False)
class TopicUnknown(HospitalError):
    code = "hospital.topic"
    sentence = N_("The message came under a topic that no box of this version uses. It was kept aside.")


@dataclass(eq=False)
class BoxUnknown(HospitalError):
    code = "hospital.box_unknown"
    sentence = N_("No box named {box} is enrolled here. Enrol it with “lantern-hospital enrol”.")
    box: str


@dataclass(eq=False)
class Misaddressed(HospitalError):
    code = "hospital.misaddressed"
    sentence = N_("The message names another box or kind inside than the topic it came under. It was kept aside.")


@dataclass(eq=False)
class Replayed(HospitalError):
    code = "hospital.replayed"
    sentence = N_("The very same bytes came before. They were counted the first time and are not counted again.")


@dataclass(eq=False)
class Outdated(HospitalError):
    code = "hospital.outdated"
    sentence = N_("A later word of this box on its own state came before. This one changes nothing.")


@dataclass(eq=False)
class Contradicted(HospitalError):
    code = "hospital.contradicted"
    sentence = N_("Another message with the same number but different content was counted before. This one was not.")


@dataclass(eq=False)
class KeysMissing(HospitalError):
    code = "hospital.keys_missing"
    sentence = N_("There are no hospital keys in {path}. Make them with “lantern-hospital keys new”.")
    path: str


@dataclass(eq=False)
class KeysExist(HospitalError):
    code = "hospital.keys_exist"
    sentence = N_("There are hospital keys in {path} already. “lantern-hospital keys rotate” makes a fresh one.")
    path: str


@dataclass(eq=False)
class BoxEnrolled(HospitalError):
    code = "hospital.box_enrolled"
    sentence = N_("Another box named {box} is enrolled already. Give this one another id, or use --replace.")
    box: str


# --- provisioning -----------------------------------------------------------------------------------------------


class ProvisionError(LanternError):
    """The box cannot be given its identity."""


@dataclass(eq=False)
class BoxIdInvalid(ProvisionError):
    code = "provision.box_id"
    sentence = N_("“{box}” cannot be a box's id. Use small letters, digits and hyphens, at most 40, as in clinic-7.")
    box: str


@dataclass(eq=False)
class ProvisionedAlready(ProvisionError):
    code = "provision.already"
    sentence = N_("This box is provisioned as {box} already; its keys are in {folder}. Move that folder away first.")
    box: str
    folder: str


@dataclass(eq=False)
class NotProvisioned(ProvisionError):
    code = "provision.not_yet"
    sentence = N_("There are no box keys in {folder} yet. Run “lantern provision --id NAME --hospital FILE” first.")
    folder: str

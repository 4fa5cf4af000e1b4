"""Everything the box can refuse or fail at: one tree, each leaf with a stable code and a sentence for a person.

    LanternError
    ├── ConfigError          config.*    the technician's file
    ├── StoreError           store.*     the databases and the disk
    ├── IntakeError          intake.*    refused at the door; carries the C-STORE status (PS3.4 Annex B.2.3)
    ├── ImagingError         imaging.*   accepted, but its pixels cannot be shown to a model
    ├── CannotJudge          age, reading.*   nothing is broken, but no honest number can be given
    ├── PackError            pack.*      a model pack is not what it claims
    ├── RuntimeFault         runtime.*   an inference runtime is missing or failed
    └── ServiceError         service.*   a process of the box cannot do its work

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
        "Another image with the same identity but different pixels is already here. "
        "The first is kept in use, this one is set aside; check the sending machine."
    )
    dimse_status = 0xC008


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
class NoPackInstalled(CannotJudge):
    code = "reading.no_pack"
    sentence = N_("No working model is installed on this box. “lantern doctor” says what to do.")


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

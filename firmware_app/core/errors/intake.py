"""Refused at the door."""

from __future__ import annotations

from typing import ClassVar

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class IntakeError(LanternError):
    """An object was refused at the door.  `dimse_status` is what the sending modality is answered."""

    dimse_status: ClassVar[int] = 0xC000


class NotAnImage(IntakeError):
    code = "intake.not_an_image"
    sentence = N_("This file is neither a DICOM object nor a picture the box knows. It was left where it is.")


class FileEmpty(IntakeError):
    code = "intake.empty"
    sentence = N_(
        "This file is empty: a name without a single byte. That is what is left when a stick is taken out too early. "
        "Copy the image again from the machine, and have the computer eject the stick before it is taken out."
    )


class FileOfZeros(IntakeError):
    code = "intake.zeros"
    sentence = N_(
        "This file holds nothing but zeros: its contents were lost, as when a stick is taken out too early or wears "
        "out. Copy the image again from the machine, onto another stick if it happens again."
    )


class FileGarbled(IntakeError):
    code = "intake.garbled"
    sentence = N_(
        "By its name or by the list on the medium this file is a DICOM image, but it does not contain one: the image "
        "was lost or overwritten. Copy it again from the machine, onto another stick if it happens again."
    )


class PackedArchive(IntakeError):
    code = "intake.archive"
    sentence = N_(
        "This is a packed archive (such as zip), and the box opens none. Unpack it and give the images themselves."
    )


class PhonePicture(IntakeError):
    code = "intake.phone_picture"
    sentence = N_(
        "This is a picture as phones store them (HEIC or AVIF), which the box does not open. Save it as JPEG or PNG "
        "and give it again; an iPhone takes JPEG with the camera set to “Most Compatible”."
    )


class ProtocolBroken(IntakeError):
    code = "intake.protocol"
    sentence = N_(
        "The sending machine broke the rules of the DICOM network protocol, so its connection was ended; nothing of "
        "the message was kept. Send it again; if it stays so, call the machine's service."
    )


class Truncated(IntakeError):
    code = "intake.truncated"
    sentence = N_("The object is incomplete: it ends inside {where}. Send or copy it again.")
    dimse_status = 0xC001
    where: str


class EndNotMarked(Truncated):
    """Of a format that need not say where it ends; *where* is its name."""

    code = "intake.end_not_marked"
    sentence = N_(
        "The box found no marked end in this {where} clip, so nobody can say whether it is whole. Copy it again from "
        "the machine; if it stays so, have the machine save it as MP4, AVI or DICOM."
    )


class Malformed(IntakeError):
    code = "intake.malformed"
    sentence = N_("The object breaks the DICOM encoding rules at {where}. Export it again from the machine.")
    dimse_status = 0xC002
    where: str


class NestedTooDeep(IntakeError):
    code = "intake.nested_too_deep"
    sentence = N_("The object nests sequences deeper than {limit} levels, which no real image does. It was refused.")
    dimse_status = 0xC003
    limit: int


class ObjectTooLarge(IntakeError):
    code = "intake.too_large"
    sentence = N_(
        "The object is larger than the {limit_mb} MB this box accepts. Raise [dicom] max_object_mb if it is real."
    )
    dimse_status = 0xA702
    limit_mb: int


class PixelLengthMismatch(IntakeError):
    code = "intake.pixel_length"
    sentence = N_("The header promises {declared} bytes of pixels but {present} are there. Send or copy it again.")
    dimse_status = 0xC004
    declared: int
    present: int


class IdentityMissing(IntakeError):
    code = "intake.identity_missing"
    sentence = N_("The object has no {keyword}, so it cannot be told apart from others. Export it again.")
    dimse_status = 0xC005
    keyword: str


class IdentityMalformed(IntakeError):
    code = "intake.identity_malformed"
    sentence = N_(
        "The {keyword} of the object is not a UID: a UID is made of digits with dots between them. Have the service of "
        "the machine or program that wrote it correct this."
    )
    dimse_status = 0xC00A
    keyword: str


class IdentityTooLong(IntakeError):
    code = "intake.identity_too_long"
    sentence = N_(
        "The {keyword} of the object has {length} characters. DICOM allows 64, and the box takes {limit} at most. Have "
        "the service of the machine or program that wrote it correct this."
    )
    dimse_status = 0xC00B
    keyword: str
    length: int
    limit: int


class IdentityMismatch(IntakeError):
    code = "intake.identity_mismatch"
    sentence = N_("The object inside is not the one announced: its {keyword} differs. Check the sending machine.")
    dimse_status = 0xA900
    keyword: str


class TransferSyntaxRefused(IntakeError):
    code = "intake.transfer_syntax"
    sentence = N_("The box does not take images in the transfer syntax “{name}”. Send it uncompressed or as JPEG.")
    dimse_status = 0xC006
    name: str


class DirectoryRecord(IntakeError):
    code = "intake.directory_record"
    sentence = N_("This is a DICOMDIR, the list of a disc's contents, not an image. The images beside it are read.")
    dimse_status = 0xC007


class InstanceConflict(IntakeError):
    code = "intake.conflict"
    sentence = N_(
        "Another image with the same identity is already here, with different pixels or stored differently. "
        "The first one is used and this one is not; check the machine that made them."
    )
    dimse_status = 0xC008


class HeaderConflict(IntakeError):
    code = "intake.header_conflict"
    sentence = N_(
        "The same image is already here, but its details (such as age, view or patient) differ or are stored "
        "differently. The first one is used and this one is not. Correct a wrong patient or age in the box's viewer."
    )
    dimse_status = 0xC009


class NotARegularFile(IntakeError):
    code = "intake.not_regular"
    sentence = N_("This is a link, a pipe or a device, not a regular file. It was not followed.")


class FileUnreadable(IntakeError):
    code = "intake.unreadable"
    sentence = N_("The file cannot be read: {detail}. Check the stick or the permissions and try again.")
    detail: str


class SpaceShort(IntakeError):
    code = "intake.space_short"
    sentence = N_(
        "The box has only {free_mb} MB of disk left and takes no new image. "
        "Images already accepted are safe; free some space or call the technician."
    )
    dimse_status = 0xA700
    free_mb: int


class NotKept(IntakeError):
    code = "intake.not_kept"
    sentence = N_(
        "The box could not write the object to its disk ({detail}), so it was not accepted. "
        "Send it again; call the technician if that fails too."
    )
    dimse_status = 0xA701
    detail: str

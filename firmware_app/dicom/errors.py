"""Refusals of the DICOM side: objects that are not accepted, archives and worklists that do not answer."""

from __future__ import annotations

from typing import ClassVar

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.errors.box import ServiceError
from firmware_app.core.language import N_


class PacsError(LanternError):
    """An archive that cannot be reached or does not take the results; they stay in the box's queue."""


class PacsUnreachable(PacsError):
    code = "pacs.unreachable"
    sentence = N_(
        "The PACS {pacs} at {host}:{port} cannot be reached ({detail}). The results wait here and are sent when it "
        "answers. Check that it runs, the network, and host and port under [pacs]."
    )
    pacs: str
    host: str
    port: int
    detail: str


PACS_TLS = Refusal(
    PacsError,
    "pacs.tls",
    N_(
        "No encrypted connection to the PACS {pacs} is possible ({detail}). The results wait here. Check tls_ca, "
        "tls_cert and tls_key under [pacs], and whether the PACS expects TLS on this port."
    ),
)


class PacsCallingUnknown(PacsError):
    code = "pacs.calling_unknown"
    sentence = N_(
        "The PACS {pacs} turns this box away because it does not know the AE title {own}. The results wait here. Have "
        "the PACS's administrator enter this box: AE title {own}, its address, and its DICOM port."
    )
    pacs: str
    own: str


class PacsCalledUnknown(PacsError):
    code = "pacs.called_unknown"
    sentence = N_(
        "What answers at {host}:{port} says that its AE title is not {pacs}. The results wait here. Correct ae_title "
        "under [pacs]."
    )
    pacs: str
    host: str
    port: int


class PacsBusy(PacsError):
    code = "pacs.busy"
    sentence = N_("The PACS {pacs} has no free connection at the moment. The results wait here and are sent later.")
    pacs: str


class PacsRejected(PacsError):
    """The numbers are result, source and reason of the A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    code = "pacs.rejected"
    sentence = N_(
        "The PACS {pacs} turns this box away without a reason that the box can name (A-ASSOCIATE-RJ {numbers}). The "
        "results wait here. Ask the PACS's administrator, with these numbers."
    )
    pacs: str
    numbers: str


PACS_ABORTED = Refusal(
    PacsError,
    "pacs.aborted",
    N_(
        "The PACS {pacs} broke off the connection or fell silent in the middle. What it had not confirmed is sent "
        "again; nothing arrives twice."
    ),
)


class PacsNoEcho(PacsError):
    code = "pacs.no_echo"
    sentence = N_(
        "The PACS {pacs} accepts the connection but does not answer a C-ECHO (verification). Ask its administrator "
        "whether the service runs."
    )
    pacs: str


class PacsKindRefused(PacsError):
    code = "pacs.kind_refused"
    sentence = N_(
        "The PACS {pacs} does not take objects of the kind {sop_class}. They wait here. Have its administrator allow "
        "that kind, or take “{kind}” out of objects under [pacs]."
    )
    pacs: str
    sop_class: str
    kind: str


class PacsFull(PacsError):
    code = "pacs.full"
    sentence = N_(
        "The PACS {pacs} has no room left (status {status}). The results wait here and are sent when it has. Tell its "
        "administrator."
    )
    pacs: str
    status: str


class PacsObjectRefused(PacsError):
    code = "pacs.refused"
    sentence = N_(
        "The PACS {pacs} refused an object (status {status}). It waits here and is offered again. Ask the PACS's "
        "administrator, with this status."
    )
    pacs: str
    status: str


PORT_UNUSABLE = Refusal(
    ServiceError,
    "service.port_unusable",
    N_("The address {host}:{port} cannot be listened on: {detail}. Check the host and port in the configuration."),
)


TLS_UNUSABLE = Refusal(
    ServiceError,
    "service.tls",
    N_(
        "The TLS files of the DICOM port cannot be used ({detail}). Correct that file; “lantern config check” says "
        "whether the files fit together."
    ),
)


class EarlierError(LanternError):
    """The archive was not searched, or a study of it was not fetched; nothing of the case has changed."""


EARLIER_UNANSWERED = Refusal(
    EarlierError,
    "earlier.unanswered",
    N_(
        "The PACS {pacs} could not be searched ({detail}). `lantern doctor` says what is wrong with the connection. "
        "Then search again."
    ),
)
"""*detail* is the code of the `PacsError`."""


EARLIER_REFUSED = Refusal(
    EarlierError,
    "earlier.refused",
    N_(
        "The PACS {pacs} refused the search (status {status}). Ask its administrator whether this box may search and "
        "fetch (Query/Retrieve, Study Root, C-FIND and C-GET)."
    ),
)


EARLIER_NO_GET = Refusal(
    EarlierError,
    "earlier.no_get",
    N_(
        "The PACS {pacs} hands out no images on the connection that asks for them (C-GET). Have its administrator "
        "allow that, or send the study to this box from the PACS."
    ),
)


class IntakeError(LanternError):
    """An object was refused at the door.  `dimse_status` is what the sending modality is answered."""

    dimse_status: ClassVar[int] = 0xC000


NOT_AN_IMAGE = Refusal(
    IntakeError,
    "intake.not_an_image",
    N_("This file is neither a DICOM object nor a picture the box knows. It was left where it is."),
)


PROTOCOL_BROKEN = Refusal(
    IntakeError,
    "intake.protocol",
    N_(
        "The sending machine broke the rules of the DICOM network protocol, so its connection was ended; nothing of "
        "the message was kept. Send it again; if it stays so, call the machine's service."
    ),
)


class Truncated(IntakeError):
    code = "intake.truncated"
    sentence = N_("The object is incomplete: it ends inside {where}. Send or copy it again.")
    dimse_status = 0xC001
    where: str


END_NOT_MARKED = Refusal(
    Truncated,
    "intake.end_not_marked",
    N_(
        "The box found no marked end in this {where} clip, so nobody can say whether it is whole. Copy it again from "
        "the machine; if it stays so, have the machine save it as MP4, AVI or DICOM."
    ),
)
"""Of a format that need not say where it ends; *where* is its name."""


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


IDENTITY_MISSING = Refusal(
    IntakeError,
    "intake.identity_missing",
    N_("The object has no {keyword}, so it cannot be told apart from others. Export it again."),
    dimse_status=0xC005,
)


IDENTITY_MALFORMED = Refusal(
    IntakeError,
    "intake.identity_malformed",
    N_(
        "The {keyword} of the object is not a UID: a UID is made of digits with dots between them. Have the service of "
        "the machine or program that wrote it correct this."
    ),
    dimse_status=0xC00A,
)


IDENTITY_TOO_LONG = Refusal(
    IntakeError,
    "intake.identity_too_long",
    N_(
        "The {keyword} of the object has {length} characters. DICOM allows 64, and the box takes {limit} at most. Have "
        "the service of the machine or program that wrote it correct this."
    ),
    dimse_status=0xC00B,
)


IDENTITY_MISMATCH = Refusal(
    IntakeError,
    "intake.identity_mismatch",
    N_("The object inside is not the one announced: its {keyword} differs. Check the sending machine."),
    dimse_status=0xA900,
)


TRANSFER_SYNTAX_REFUSED = Refusal(
    IntakeError,
    "intake.transfer_syntax",
    N_("The box does not take images in the transfer syntax “{name}”. Send it uncompressed or as JPEG."),
    dimse_status=0xC006,
)


class DirectoryRecord(IntakeError):
    code = "intake.directory_record"
    sentence = N_("This is a DICOMDIR, the list of a disc's contents, not an image. The images beside it are read.")
    dimse_status = 0xC007


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


NOT_KEPT_READ_ONLY = Refusal(
    NotKept,
    "intake.read_only",
    N_(
        "The box's disk can only be read ({detail}), so the object was not accepted. Call the technician, and send it "
        "again when the disk can be written."
    ),
)


NOT_KEPT_FAILING = Refusal(
    NotKept,
    "intake.disk_failing",
    N_(
        "The box's disk reports errors ({detail}), so the object was not accepted. Call the technician today, and "
        "send it again when the disk is replaced."
    ),
)


class CannotJudge(LanternError):
    """Nothing is broken, but a number would not be honest."""


class AgeUnknown(CannotJudge):
    code = "age.unknown"
    sentence = N_(
        "The film does not say how old the patient is, and children and adults need different models. Enter the age."
    )

"""The clinic's archive (PACS): why it does not have the results yet."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class PacsError(LanternError):
    """An archive that cannot be reached or does not take the results; they stay in the box's queue."""


class PacsNone(PacsError):
    code = "pacs.none"
    sentence = N_(
        "This box sends to no PACS. Write the PACS's host, port and ae_title under [pacs] in the configuration, set "
        "send = true, and restart the box."
    )


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


class PacsTls(PacsError):
    code = "pacs.tls"
    sentence = N_(
        "No encrypted connection to the PACS {pacs} is possible ({detail}). The results wait here. Check tls_ca, "
        "tls_cert and tls_key under [pacs], and whether the PACS expects TLS on this port."
    )
    pacs: str
    detail: str


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


class PacsAborted(PacsError):
    code = "pacs.aborted"
    sentence = N_(
        "The PACS {pacs} broke off the connection or fell silent in the middle. What it had not confirmed is sent "
        "again; nothing arrives twice."
    )
    pacs: str


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


class PacsNotCommitted(PacsError):
    code = "pacs.not_committed"
    sentence = N_(
        "The PACS {pacs} took an object and then said that it does not keep it (failure reason {failure}). It is sent "
        "again. If this goes on, ask the PACS's administrator, with this reason."
    )
    pacs: str
    failure: str


class PacsUncommitted(PacsError):
    code = "pacs.uncommitted"
    sentence = N_(
        "The PACS {pacs} took the results, but has not said whether it keeps them (Storage Commitment). The box asks "
        "again. The answer comes to this box: have the PACS's administrator enter its address, AE title {own} and "
        "DICOM port. If the PACS never answers, set commitment = false under [pacs]."
    )
    pacs: str
    own: str


class PacsQueueFull(PacsError):
    code = "pacs.queue_full"
    sentence = N_(
        "The objects that wait for a PACS take {used_mb} MB, and [pacs] queue_mb allows {most_mb}. The results of "
        "further cases are made when a PACS has taken some. Nothing is lost."
    )
    used_mb: int
    most_mb: int

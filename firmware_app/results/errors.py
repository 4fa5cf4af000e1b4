"""Refusals of results: exports, reports, feedback and what goes to an archive."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.language import N_
from firmware_app.dicom.errors import PacsError
from firmware_app.imaging.errors import ExportError

PACS_NOT_COMMITTED = Refusal(
    PacsError,
    "pacs.not_committed",
    N_(
        "The PACS {pacs} took an object and then said that it does not keep it (failure reason {failure}). It is sent "
        "again. If this goes on, ask the PACS's administrator, with this reason."
    ),
)


PACS_UNCOMMITTED = Refusal(
    PacsError,
    "pacs.uncommitted",
    N_(
        "The PACS {pacs} took the results, but has not said whether it keeps them (Storage Commitment). The box asks "
        "again. The answer comes to this box: have the PACS's administrator enter its address, AE title {own} and "
        "DICOM port. If the PACS never answers, set commitment = false under [pacs]."
    ),
)


class PacsQueueFull(PacsError):
    code = "pacs.queue_full"
    sentence = N_(
        "The objects that wait for a PACS take {used_mb} MB, and [pacs] queue_mb allows {most_mb}. The results of "
        "further cases are made when a PACS has taken some. Nothing is lost."
    )
    used_mb: int
    most_mb: int


EXPORT_OFF = Refusal(
    ExportError,
    "export.off",
    N_(
        "Export is switched off on this box. The person responsible for its data must write “enabled = true” under "
        "[export] in the configuration; then try again."
    ),
)


FEEDBACK_NO_KEY = Refusal(
    ExportError,
    "export.feedback_key",
    N_(
        "The model engineer's key {path} cannot be used: {detail}. Copy the file feedback.pub that the engineer gave "
        "you there, readable for the viewer, and try again."
    ),
)


FEEDBACK_EMPTY = Refusal(
    ExportError,
    "export.feedback_empty",
    N_("There is no film to give: note the patient's consent on a case, give your judgement on it, and try again."),
)


class ExportFolderUnusable(ExportError):
    code = "export.folder"
    sentence = N_("The folder {path} cannot take the export: {detail}. Name another folder, or repair this one.")
    path: str
    detail: str


EXPORT_FOLDER_MISSING = Refusal(
    ExportError,
    "export.folder_missing",
    N_(
        "There is no folder {path}. Is the stick plugged in? Name a folder that is there; the box makes none, so that "
        "no export lands on its own disk by mistake."
    ),
)


EXPORT_NOT_A_FOLDER = Refusal(
    ExportError, "export.not_a_folder", N_("{path} is not a folder. Name the folder that the export goes to.")
)


EXPORT_FOLDER_OWN = Refusal(
    ExportError,
    "export.own_folder",
    N_("{path} is in the box's own state directory. Name a folder outside of it, as of a stick."),
)


EXPORT_CASE_TOO_LARGE = Refusal(
    ExportError,
    "export.case_too_large",
    N_(
        "The case is larger than a file may be in {path} (4 GB on a stick in FAT32). Format the stick as exFAT, and "
        "export again."
    ),
)


class ExportThere(ExportError):
    code = "export.there"
    sentence = N_("{path} exists already and is not overwritten. Name another folder, or move it away first.")
    path: str


EXPORT_UNSURE = Refusal(
    ExportError,
    "export.unsure",
    N_(
        "The case may or may not be at {path}: the export was interrupted while the file got its name ({detail}). If "
        "it is there, it has left the box; have it opened at the hospital before anyone relies on it. If it is not "
        "there, or does not open, export it again, onto another stick."
    ),
)
"""The disk failed, or a person stopped it, when the finished case had got its name or was about to."""


class ExportUnrecorded(ExportError):
    """It took place: only the last line of the audit is missing."""

    code = "export.unrecorded"
    sentence = N_(
        "{left} of {total} images were exported to {path}, and the export is complete. But its end could not be "
        "written to the audit ({detail}), which will say that the result is unknown. Free space on the box's own disk, "
        "then run “lantern doctor”."
    )
    left: int
    total: int
    path: str
    detail: str


EXPORT_NOT_DICOM = Refusal(
    ExportError,
    "export.not_dicom",
    N_("This is a picture or a clip without a DICOM header; only DICOM images are exported."),
)


EXPORT_GAVE_UP = Refusal(
    ExportError,
    "export.gave_up",
    N_("De-identifying this image stopped the process that does it ({detail}), so it was not exported."),
)


RESULTS_GAVE_UP = Refusal(
    ExportError,
    "export.results_gave_up",
    N_(
        "Making the DICOM objects of this case stopped the process that does it ({detail}), so nothing was written. "
        "Try again; if it happens again, tell the technician the case's number."
    ),
)


FHIR_OFF = Refusal(
    ExportError,
    "export.fhir_off",
    N_(
        "No FHIR server is configured. Write its address as “url” under [fhir] in the configuration, or name a folder "
        "with --fhir."
    ),
)


FHIR_UNREACHABLE = Refusal(
    ExportError,
    "export.fhir_unreachable",
    N_(
        "The FHIR server did not answer ({host}: {detail}). Check its address, its token and its certificate under "
        "[fhir], and the network; then send again, which makes nothing twice."
    ),
)


FHIR_REFUSED = Refusal(
    ExportError,
    "export.fhir_refused",
    N_(
        "The FHIR server {host} took nothing (HTTP {status}: {detail}). Show this to whoever looks after the server; "
        "sending again makes nothing twice."
    ),
)


EXPORT_NO_HOSPITAL = Refusal(
    ExportError,
    "export.no_hospital",
    N_(
        "This box knows no hospital to seal the case for. Provision it first: put the hospital's stick in, or run "
        "“sudo lantern provision”. Then export again."
    ),
)


EXPORT_NO_SIGNER = Refusal(
    ExportError,
    "export.no_signer",
    N_(
        "The box's own key, with which it signs what leaves, cannot be read: {detail}. Nothing was written. Run the "
        "command as root, with sudo."
    ),
)


class ReportError(LanternError):
    """A case cannot be made a PDF."""


class ReportFontMissing(ReportError):
    code = "report.font"
    sentence = N_(
        "This box has no font with Chinese characters, so it makes no PDF. The technician installs one with “sudo apt "
        "install {package}”, or puts a font file into /usr/local/share/fonts. “Report” on the case's page prints from "
        "the browser until then."
    )
    package: str


class ReportGaveUp(ReportError):
    code = "report.gave_up"
    sentence = N_(
        "Making the PDF stopped the process that does it. Try again; if it happens again, print “Report” on "
        "the case's page from the browser, and tell the technician the case's number."
    )
    detail: str
    unsaid = ("detail",)

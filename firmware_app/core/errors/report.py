"""Why a report cannot be printed."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


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


class ReportPersonMissing(ReportError):
    code = "report.person"
    sentence = N_("The PDF names the patient. Say with --person who writes it; “lantern user list” shows the accounts.")

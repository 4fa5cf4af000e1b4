"""Refusals of local operating points, confirmed cases and drift."""

from __future__ import annotations

from firmware_app.cases.errors import CalibrationError
from firmware_app.core.errors.base import Refusal
from firmware_app.core.language import N_
from firmware_app.dicom.errors import CannotJudge

OUTCOMES_UNUSABLE = Refusal(
    CalibrationError,
    "calibration.outcomes",
    N_("Nothing was imported. Lines of the file that cannot be used: {lines}. Correct them and import it again."),
)
"""`lines`: how many lines of the file have an error; nothing of it was imported."""


class OutcomesUnreadable(CalibrationError):
    code = "calibration.outcomes_unreadable"
    sentence = N_("The file {path} cannot be read as a table of outcomes: {detail}.")
    path: str
    detail: str


class ModelSiteUnknown(CalibrationError):
    code = "calibration.place"
    sentence = N_(
        "No film of this machine was read by the model “{pack}”. “lantern calibration show” lists models and machines."
    )
    pack: str


class TooFewConfirmed(CalibrationError):
    """`least`: how many confirmed films of either kind a suggestion needs."""

    code = "calibration.unfounded"
    sentence = N_(
        "Too few films are confirmed to suggest a threshold: at least {least} with the finding and {least} without are "
        "needed."
    )
    least: int


class ProposalOutdated(CalibrationError):
    code = "calibration.outdated"
    sentence = N_("This proposal is not the latest one any more, so it cannot be confirmed. Look at the latest one.")


POINT_ROLE_MISSING = Refusal(
    CalibrationError,
    "calibration.role",
    N_("A threshold is confirmed by a doctor and a technician; the account “{account}” is neither."),
)


class SamePersonAgreed(CalibrationError):
    code = "calibration.same_person"
    sentence = N_("“{account}” has agreed to this threshold already; the second agreement must be another person's.")
    account: str


class NoOperatingPoint(CalibrationError):
    code = "calibration.no_point"
    sentence = N_("The model “{pack}” works with its own threshold on this machine, so there is nothing to undo.")
    pack: str


PACK_UNFIT_HERE = Refusal(
    CannotJudge,
    "pack.unfit_here",
    N_(
        "On films of this machine the model “{pack}” judged too badly, as the clinic's own confirmed films show. It "
        "gives no number here until a person lets it go on. A doctor must read this film."
    ),
)
"""The clinic's own confirmed films have suspended the pack on this machine (`cases.suspensions`)."""

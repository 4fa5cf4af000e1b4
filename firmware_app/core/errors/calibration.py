"""Local calibration: what the clinic confirms of its films, and the operating points that follow."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class CalibrationError(LanternError):
    """A confirmation or an operating point cannot be taken."""


class ConfirmationUnknown(CalibrationError):
    code = "calibration.unknown_finding"
    sentence = N_(
        "No model on this box has given a number for “{finding}” in this case, so there is nothing to confirm."
    )
    finding: str


class ResultShown(CalibrationError):
    code = "calibration.shown"
    sentence = N_(
        "The result of this case has been shown already, or no reading before it was asked for. Enter what you know "
        "as a reading after the result."
    )


class NotSuspended(CalibrationError):
    code = "calibration.not_suspended"
    sentence = N_("The model “{pack}” is not suspended on this machine, so there is nothing to undo.")
    pack: str


class OutcomesUnusable(CalibrationError):
    """`lines`: how many lines of the file have an error; nothing of it was imported."""

    code = "calibration.outcomes"
    sentence = N_(
        "Nothing was imported. Lines of the file that cannot be used: {lines}. Correct them and import it again."
    )
    lines: int


class OutcomesUnreadable(CalibrationError):
    code = "calibration.outcomes_unreadable"
    sentence = N_("The file {path} cannot be read as a table of outcomes: {detail}.")
    path: str
    detail: str


class PlaceUnknown(CalibrationError):
    code = "calibration.place"
    sentence = N_(
        "No film of this machine was read by the model “{pack}”. “lantern calibration show” lists models and machines."
    )
    pack: str


class PointUnfounded(CalibrationError):
    """`least`: how many confirmed films of either kind a suggestion needs."""

    code = "calibration.unfounded"
    sentence = N_(
        "Too few films are confirmed to suggest a threshold: at least {least} with the finding and {least} without are "
        "needed."
    )
    least: int


class PointOutdated(CalibrationError):
    code = "calibration.outdated"
    sentence = N_("This proposal is not the latest one any more, so it cannot be confirmed. Look at the latest one.")


class PointRoleMissing(CalibrationError):
    code = "calibration.role"
    sentence = N_("A threshold is confirmed by a doctor and a technician; the account “{account}” is neither.")
    account: str


class PointSamePerson(CalibrationError):
    code = "calibration.same_person"
    sentence = N_("“{account}” has agreed to this threshold already; the second agreement must be another person's.")
    account: str


class NoPoint(CalibrationError):
    code = "calibration.no_point"
    sentence = N_("The model “{pack}” works with its own threshold on this machine, so there is nothing to undo.")
    pack: str

"""Errors of upkeep that several flats know."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.language import N_


class CareError(LanternError):
    """What the box does for itself by night cannot be done."""


RESET_UNFINISHED = Refusal(
    CareError,
    "setup.reset_unfinished",
    N_(
        "A factory reset of this box was begun and did not come to its end, so nothing of it starts. Run “lantern "
        "factory-reset” again as root: it goes on."
    ),
)

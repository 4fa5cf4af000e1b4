"""Errors of packs that several flats know."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class RuntimeFault(LanternError):
    """An inference runtime cannot be used, or failed while it was."""


class RuntimeUnavailable(RuntimeFault):
    code = "runtime.unavailable"
    sentence = N_("The inference runtime {runtime} cannot be used here: {detail}.")
    runtime: str
    detail: str

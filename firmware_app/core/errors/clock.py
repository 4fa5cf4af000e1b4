"""Errors of the time."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.language import N_


class ClockError(LanternError):
    """A time that cannot be, or a certificate whose dates do not fit the time."""


CERTIFICATE_NOT_YET_BY_CLOCK = Refusal(
    ClockError,
    "clock.certificate_not_yet",
    N_(
        "The certificate {certificate} begins on {starts} and the box's clock says {now}. Nobody on the line has "
        "confirmed the clock, so it is the likely cause: set it with “lantern clock set”."
    ),
)


CERTIFICATE_NOT_YET = Refusal(
    ClockError,
    "clock.certificate_early",
    N_(
        "The certificate {certificate} begins on {starts} only; it is {now}, and the clock is confirmed, so it is not "
        "the cause. Have the certificate made anew."
    ),
)


CERTIFICATE_ENDED_BY_CLOCK = Refusal(
    ClockError,
    "clock.certificate_expired",
    N_(
        "The certificate {certificate} ended on {ends} and the box's clock says {now}. Nobody on the line has "
        "confirmed the clock: check it first, with “lantern clock show”. If it is right, have the certificate made "
        "anew."
    ),
)


CERTIFICATE_ENDED = Refusal(
    ClockError,
    "clock.certificate_ended",
    N_(
        "The certificate {certificate} ended on {ends}; it is {now}, and the clock is confirmed, so it is not the "
        "cause. Have the certificate made anew."
    ),
)

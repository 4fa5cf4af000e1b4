"""The time: what a person may not set it to, and what a certificate's dates mean under a clock that may be wrong."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class ClockError(LanternError):
    """A time that cannot be, or a certificate whose dates do not fit the time."""


class TimeUnclear(ClockError):
    code = "clock.unclear"
    sentence = N_(
        "“{given}” is not a date and time. Write it as in “2026-11-21 03:15”, or with its zone, as in “2026-11-21 "
        "03:15+08:00”."
    )
    given: str


class TimeOutOfRange(ClockError):
    code = "clock.out_of_range"
    sentence = N_("{given} is not possible: the box accepts times from {earliest} to {latest}. Check the year.")
    given: str
    earliest: str
    latest: str


class TimeGoesBack(ClockError):
    code = "clock.goes_back"
    sentence = N_(
        "{given} is before {certain}, a time that a confirmed clock has already shown. Check the date; if the earlier "
        "confirmation was the mistake, repeat the command with --back."
    )
    given: str
    certain: str


# --- certificates that are not the uplink's -----------------------------------------------------------------------


class CertificateNotYetByClock(ClockError):
    code = "clock.certificate_not_yet"
    sentence = N_(
        "The certificate {certificate} begins on {starts} and the box's clock says {now}. Nobody on the line has "
        "confirmed the clock, so it is the likely cause: set it with “lantern clock set”."
    )
    certificate: str
    starts: str
    now: str


class CertificateNotYet(ClockError):
    code = "clock.certificate_early"
    sentence = N_(
        "The certificate {certificate} begins on {starts} only; it is {now}, and the clock is confirmed, so it is not "
        "the cause. Have the certificate made anew."
    )
    certificate: str
    starts: str
    now: str


class CertificateEndedByClock(ClockError):
    code = "clock.certificate_expired"
    sentence = N_(
        "The certificate {certificate} ended on {ends} and the box's clock says {now}. Nobody on the line has "
        "confirmed the clock: check it first, with “lantern clock show”. If it is right, have the certificate made "
        "anew."
    )
    certificate: str
    ends: str
    now: str


class CertificateEnded(ClockError):
    code = "clock.certificate_ended"
    sentence = N_(
        "The certificate {certificate} ended on {ends}; it is {now}, and the clock is confirmed, so it is not the "
        "cause. Have the certificate made anew."
    )
    certificate: str
    ends: str
    now: str

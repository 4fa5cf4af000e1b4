"""Checks the dates of certificates against the box's time instead of the machine's.

OpenSSL uses the machine's clock, and a box without a battery clock would be cut off in 1970.  So OpenSSL skips the
dates, and they are checked here.  An untrusted time may be too early, so a certificate that "begins later" is accepted
then: its authority has signed that this day has come.  An expired certificate is refused; `Fault.by_clock` says whether
a wrong clock is the likely cause.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from firmware_app.core import clock
from firmware_app.core.clock.memory import TimeSource
from firmware_app.core.errors import (
    CertificateEnded,
    CertificateEndedByClock,
    CertificateNotYet,
    CertificateNotYetByClock,
    ClockError,
)

NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h; the module ssl has no name for it."""
_CONFIRMED: Final = (TimeSource.HOSPITAL, TimeSource.NETWORK)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a certificate is not valid now: it has `ended`, or else has not begun."""

    ended: bool
    by_clock: bool
    starts: datetime
    ends: datetime
    now: datetime


def judge(certificate: x509.Certificate, going_by: clock.Clock | None = None) -> Fault | None:
    """What is wrong with the dates of *certificate*, if anything is."""
    timepiece = going_by or clock.here()
    standing, ceiling = timepiece.standing(), timepiece.memory().ceiling()
    now, starts, ends = standing.stamp.at, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    ended = now > ends and standing.source is not TimeSource.HOSPITAL_ALONE  # else the hospital could not correct it
    fault = Fault(ended, standing.source not in _CONFIRMED, starts, ends, now)
    early = now < starts and (standing.stamp.trusted or starts.timestamp() > ceiling)
    return fault if fault.ended or early else None


class PeerNotInDate(ssl.SSLCertVerificationError):
    """The peer's certificate is genuine, but not valid now."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"the certificate {'has ended' if fault.ended else 'has not begun'}")
        self.fault = fault


class _DatedSocket(ssl.SSLSocket):
    """Checks the peer's dates at the end of the handshake, before any data is sent."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        shown = self.getpeercert(binary_form=True)
        if shown is not None and self.context.verify_mode is not ssl.CERT_NONE:
            fault = judge(x509.load_der_x509_certificate(shown))
            if fault is not None:
                raise PeerNotInDate(fault)


def go_by_box_time(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make every connection of *context* check dates by the box's time; returns it."""
    context.verify_flags |= NO_CHECK_TIME
    context.sslsocket_class = _DatedSocket
    return context


def out_of_date(path: Path | None) -> Iterator[ClockError]:
    """What is wrong with the dates of the certificates in the PEM file at *path*, as far as it can be read."""
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes()) if path is not None else []
    except (OSError, ValueError):
        return  # the user of the file reports that it is unusable
    for certificate in certificates:
        if (fault := judge(certificate)) is not None:
            yield sentence(fault, path.name if path is not None else "")


def sentence(fault: Fault, certificate: str) -> ClockError:
    """The error for a person."""
    now, starts, ends = f"{fault.now:%Y-%m-%d %H:%M}", f"{fault.starts:%Y-%m-%d}", f"{fault.ends:%Y-%m-%d}"
    if fault.ended:
        return (CertificateEndedByClock if fault.by_clock else CertificateEnded)(certificate, ends, now)
    return (CertificateNotYetByClock if fault.by_clock else CertificateNotYet)(certificate, starts, now)

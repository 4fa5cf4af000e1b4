"""Whether the hospital's certificates and its revocation list hold now: by these broker and clients judge each other.

A start under a clock that was ahead leaves dates in the future behind.  The broker then refuses everybody, and says so
in its own log only; so `serve`, its page and “lantern-hospital broker” look at the dates themselves and name the cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from firmware_app.core.errors import (
    BoxCertificateEarly,
    DateError,
    LanternError,
    OwnCertificateEarly,
    OwnCertificateEnded,
    OwnCertificateUnusable,
)
from firmware_app.uplink.messages.envelope import Enrolment
from firmware_app.uplink.messages.summary import decode
from hospital.keys import authority, revocation

_OWN: Final = ("ca.crt", "broker.crt", f"{authority.RECEIVER.lower()}.crt")


def faults(tls: Path, now: datetime | None = None) -> list[DateError]:
    """What keeps every client from the broker at *now* (default: the present): the first certificate, and the list."""
    now = now or datetime.now(UTC)
    own = next((error for name in _OWN if (error := _certificate(tls / name, now)) is not None), None)
    return [error for error in (own, revocation.fault(tls, now)) if error is not None]


def early_boxes(boxes: Path, now: datetime | None = None) -> Iterator[BoxCertificateEarly]:
    """The boxes whose certificate, as it was last given to them in the folder *boxes*, begins later than *now*: they
    were enrolled while the clock was ahead."""
    now = now or datetime.now(UTC)
    for file in sorted(boxes.glob("*.enrolment.json")):
        try:
            given = decode(file.read_bytes().strip(), Enrolment)
            starts = x509.load_pem_x509_certificate(given.certificate.encode()).not_valid_before_utc
        except (OSError, ValueError, LanternError):
            continue
        if starts > now:
            yield BoxCertificateEarly(box=given.box, starts=f"{starts:%Y-%m-%d}", now=_text(now))


def _certificate(file: Path, now: datetime) -> DateError | None:
    try:
        made = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return OwnCertificateUnusable(path=str(file))
    if made.not_valid_before_utc > now:
        return OwnCertificateEarly(file=file.name, starts=f"{made.not_valid_before_utc:%Y-%m-%d}", now=_text(now))
    if made.not_valid_after_utc < now:
        return OwnCertificateEnded(file=file.name, ends=f"{made.not_valid_after_utc:%Y-%m-%d}", now=_text(now))
    return None


def _text(now: datetime) -> str:
    return f"{now:%Y-%m-%d %H:%M} UTC"

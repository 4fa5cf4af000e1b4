"""Certificate dates at the DICOM port: clients' are checked by the box's time, the box's own are only logged."""

from __future__ import annotations

import logging
import ssl

from firmware_app.core.certificates import (
    PeerOutOfDate,
    check_dates_by_box_time,
    explain_certificate_fault,
    list_date_problems,
)
from firmware_app.core.errors import ClockError
from firmware_app.core.settings import DicomSection

log = logging.getLogger("lantern.gateway")


def check_client_dates(context: ssl.SSLContext, config: DicomSection) -> ssl.SSLContext:
    """*context*, which then checks its clients' dates by the box's time.

    An out-of-date certificate of the box itself is only logged: the modality's clock decides whether it is accepted.
    """
    for path in (config.tls_cert, config.tls_ca):
        for error in list_date_problems(path):
            log.warning("%s", error)
    return check_dates_by_box_time(context)


def explain_refusal(error: ssl.SSLCertVerificationError, address: str) -> ClockError | None:
    """The error for a client whose certificate is out of date; None where the dates are not the reason."""
    return explain_certificate_fault(error.fault, address) if isinstance(error, PeerOutOfDate) else None

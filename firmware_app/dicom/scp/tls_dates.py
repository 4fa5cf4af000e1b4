"""Certificate dates at the DICOM port: clients' are checked by the box's time, the box's own are only logged."""

from __future__ import annotations

import logging
import ssl

from firmware_app.core.clock.certificates import PeerNotInDate, go_by_box_time, out_of_date, sentence
from firmware_app.core.errors import ClockError
from firmware_app.core.settings import DicomSection

log = logging.getLogger("lantern.gateway")


def watched(context: ssl.SSLContext, config: DicomSection) -> ssl.SSLContext:
    """*context*, which then checks its clients' dates by the box's time.

    An out-of-date certificate of the box itself is only logged: the modality's clock decides whether it is accepted.
    """
    for path in (config.tls_cert, config.tls_ca):
        for error in out_of_date(path):
            log.warning("%s", error)
    return go_by_box_time(context)


def refusal(error: ssl.SSLCertVerificationError, address: str) -> ClockError | None:
    """The error for a client whose certificate is out of date; None where the dates are not the reason."""
    return sentence(error.fault, address) if isinstance(error, PeerNotInDate) else None

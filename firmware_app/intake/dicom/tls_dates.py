"""The dates of certificates at the DICOM port: the clients' by the box's time, the box's own for the log."""

from __future__ import annotations

import logging
import ssl

from firmware_app.clock.certificates import PeerNotInDate, go_by_box_time, out_of_date, sentence
from firmware_app.config import Dicom
from firmware_app.errors import ClockError

log = logging.getLogger("lantern.gateway")


def watched(context: ssl.SSLContext, config: Dicom) -> ssl.SSLContext:
    """*context*, judging its clients' dates by the box's time.  What is wrong with the box's own is said, and no more:
    whether a modality takes it is decided by that modality's clock."""
    for path in (config.tls_cert, config.tls_ca):
        for error in out_of_date(path):
            log.warning("%s", error)
    return go_by_box_time(context)


def told(error: ssl.SSLCertVerificationError, address: str) -> ClockError | None:
    """The error of a client whose certificate does not hold now; None where the dates are not the reason."""
    return sentence(error.fault, address) if isinstance(error, PeerNotInDate) else None

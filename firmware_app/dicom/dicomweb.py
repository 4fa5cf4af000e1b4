"""DICOMweb (PS3.18) for its neighbours: where its socket lies, and which results it offers.

Images come in by STOW-RS, through the same door as every other way; results go out by QIDO- and WADO-RS.  The service
listens on a Unix socket that the TLS front alone may open, and the front lets nobody there without a client certificate
of `[dicomweb] client_ca`.  So a request that comes here is an authenticated one.  The module loads no pydicom.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

SOCKET_NAME: Final = "dicomweb.sock"
INSTALLED_SOCKET: Final = Path("/run/lantern-dicomweb") / SOCKET_NAME
"""On an installed box, in a folder whose group are the gateway and the front (systemd/lantern.tmpfiles)."""
CLIENT_HEADER: Final = "X-Lantern-Client"
"""The header in which the front says whose certificate it has checked: the subject (RFC 2253)."""


def socket_path(run: Path) -> Path:
    """Where this gateway opens it: in the installed box's folder, else in *run*."""
    return INSTALLED_SOCKET if os.access(INSTALLED_SOCKET.parent, os.W_OK) else run / SOCKET_NAME


@dataclass(frozen=True, slots=True)
class OfferedResult:
    """One object; `file` is below ``results/``, and its metadata lies beside it.

    `attributes` is DICOM JSON (PS3.18 F), without sequences and long values.  `bulk` has, by tag, first byte, length
    and number of frames of the long values in the file.
    """

    case: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    file: str
    bytes: int
    attributes: Mapping[str, Any]
    bulk: Mapping[str, Sequence[int]]


class OfferedObjects(Protocol):
    """Where the offered objects are found (`results.offered_results.OfferedResults`)."""

    def find(
        self, study: str | None = None, series: str | None = None, sop: str | None = None
    ) -> list[OfferedResult]: ...

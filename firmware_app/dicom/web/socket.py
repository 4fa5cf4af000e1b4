"""Where DICOMweb's Unix socket lies, for the gateway that opens it and the TLS front that connects to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NAME: Final = "dicomweb.sock"
INSTALLED: Final = Path("/run/lantern-dicomweb") / NAME
"""On an installed box, in a folder whose group are the gateway and the front (systemd/lantern.tmpfiles)."""
CLIENT: Final = "X-Lantern-Client"
"""The header in which the front says whose certificate it has checked: the subject (RFC 2253)."""


def socket_path(run: Path) -> Path:
    """Where this gateway opens it: in the installed box's folder, else in *run*."""
    return INSTALLED if os.access(INSTALLED.parent, os.W_OK) else run / NAME

"""What this box is called on the clinic's network, and the short name of its hardware before it has another.

python -m firmware_app.appliance.network_name     what `lantern-mdns.service` runs: avahi calls the machine so
from now on
"""

from __future__ import annotations

import hashlib
import hmac
import sys
import time
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import NAME_NOT_TAKEN
from firmware_app.appliance.provisioning_answers import UNPROVISIONED
from firmware_app.core import programs
from firmware_app.core.errors import LanternError
from firmware_app.core.programs import ProgramFailed, ProgramMissing
from firmware_app.core.settings import Config, load_config

_AVAHI: Final = ("org.freedesktop.Avahi", "/", "org.freedesktop.Avahi.Server")
_ASK_S: Final = 10
_PATIENCE_S: Final = 30.0
_MACHINE_ID: Final = Path("/etc/machine-id")  # machine-id(5)


def read_hardware_name(path: Path = _MACHINE_ID) -> str:
    """Six hexadecimal digits that stay with this installation; machine-id(5) asks not to show the id itself."""
    try:
        secret = path.read_bytes().strip()
    except OSError:
        secret = b""
    return hmac.new(secret, b"lantern box", hashlib.sha256).hexdigest()[:6]


def make_mdns_host(box: str) -> str:
    """The mDNS name (RFC 6762) without `.local`; *box* is its id, also that of a box without one."""
    return f"lantern-{read_hardware_name() if box == UNPROVISIONED else box}"


def make_page_address(config: Config) -> str:
    """Where a browser in the clinic finds this box."""
    return f"https://{make_mdns_host(config.box.id)}.local/"


def main() -> int:
    """Tell avahi the name; it keeps up to date what addresses are behind it."""
    try:
        wanted = make_mdns_host(load_config().box.id)
        _announce(wanted)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{wanted}.local")
    return 0


def _announce(wanted: str) -> None:
    """Return when avahi has taken the name *wanted*; raises `NAME_NOT_TAKEN`."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        detail = "avahi"
        try:
            if _call_avahi("GetHostName") == f's "{wanted}"':
                return
            _call_avahi("SetHostName", "s", wanted)
        except ProgramFailed as error:
            if isinstance(error, ProgramMissing):
                deadline = 0.0
            detail = str(error)
        if time.monotonic() > deadline:
            raise NAME_NOT_TAKEN(name=wanted, detail=detail)
        time.sleep(0.5)  # avahi takes a name only when it has made sure that nobody else answers to the one before


def _call_avahi(method: str, *arguments: str) -> str:
    """What avahi answers over D-Bus (avahi-daemon's org.freedesktop.Avahi.Server.xml); raises `ProgramFailed`."""
    answer = programs.run_program("busctl", "call", *_AVAHI, method, *arguments, seconds=_ASK_S)
    return answer.decode("utf-8", "replace").strip()


if __name__ == "__main__":
    sys.exit(main())

"""What this box is called on the clinic's network, and the short name of its hardware before it has another.

python -m firmware_app.device.naming     what `lantern-mdns.service` runs: avahi calls the machine so from now on
"""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from firmware_app.config import Config, load
from firmware_app.device.answers import UNPROVISIONED
from firmware_app.errors import LanternError

_AVAHI: Final = ("org.freedesktop.Avahi", "/", "org.freedesktop.Avahi.Server")
_ASK_S: Final = 10
_PATIENCE_S: Final = 30.0
_MACHINE_ID: Final = Path("/etc/machine-id")  # machine-id(5)


def machine(path: Path = _MACHINE_ID) -> str:
    """Six hexadecimal digits that stay with this installation; machine-id(5) asks not to show the id itself."""
    try:
        secret = path.read_bytes().strip()
    except OSError:
        secret = b""
    return hmac.new(secret, b"lantern box", hashlib.sha256).hexdigest()[:6]


def host(box: str) -> str:
    """The mDNS name (RFC 6762) without `.local`; *box* is its id, also that of a box without one."""
    return f"lantern-{machine() if box == UNPROVISIONED else box}"


def address(config: Config) -> str:
    """Where a browser in the clinic finds this box."""
    return f"https://{host(config.box.id)}.local/"


def main() -> int:
    """Tell avahi the name; it keeps up to date what addresses are behind it."""
    try:
        wanted = host(load().box.id)
    except LanternError as error:
        print(error, file=sys.stderr)
        return 1
    deadline = time.monotonic() + _PATIENCE_S
    while _avahi("GetHostName") != f's "{wanted}"':
        _avahi("SetHostName", "s", wanted)
        if time.monotonic() > deadline:
            print(f"avahi does not take the name {wanted}", file=sys.stderr)
            return 1
        time.sleep(0.5)  # avahi takes a name only when it has made sure that nobody else answers to the one before
    print(f"{wanted}.local")
    return 0


def _avahi(method: str, *arguments: str) -> str:
    """What avahi answers over D-Bus (avahi-daemon's org.freedesktop.Avahi.Server.xml); empty when it refuses."""
    command = ["busctl", "call", *_AVAHI, method, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ASK_S)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

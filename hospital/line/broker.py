"""The files that mosquitto is started with, and how a running one is told to read them again.

The certificate's name is the client's user name and client id, whatever the client sends (`use_username_as_clientid`).
So no client can end another's connection or take its session. The ACL names every kind of message, and the limits bound
what one client can make the broker store.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from firmware_app.uplink.messages.summary import Kind
from hospital.keys import authority, keyring
from hospital.line import enrol_broker

UP: Final = (Kind.BIRTH, Kind.DEATH, Kind.ALERT, Kind.DIGEST, Kind.HEALTH, Kind.DRIFT)
DOWN: Final = tuple(kind for kind in Kind if kind not in UP)

LAYOUT: Final = "# Lantern's broker, layout 2."
"""First line of a configuration as this version writes it; another first line is that of an earlier version."""

_MOSQUITTO: Final = """\
{layout}  For mosquitto 2.0 or later.  “lantern-hospital broker --update” writes it again.
per_listener_settings false
# Started by root, mosquitto becomes this user, who owns the files named here.
user {user}
listener {listener}
cafile {tls}/ca.crt
certfile {tls}/broker.crt
keyfile {tls}/broker.key
crlfile {tls}/revoked.pem
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
max_connections 10000
allow_anonymous false
acl_file {broker}/acl
pid_file {broker}/mosquitto.pid
# Bytes of one packet; then messages and bytes that wait for one client, and all that the broker holds.
max_packet_size 32768
max_inflight_messages 1000
max_queued_messages 100000
max_queued_bytes 67108864
memory_limit 268435456
persistence true
persistence_location {broker}/
persistence_file sessions.db
autosave_interval 60
persistent_client_expiration 14d
"""


def write(broker: Path, tls: Path, port: int, revoked: Iterable[str] = ()) -> None:
    """Make `mosquitto.conf` and the `acl`, which gives the boxes *revoked* no rights.

    An existing configuration keeps its listener, and a copy of it is saved.
    """
    keyring.make_folder(broker)
    file, listener = broker / "mosquitto.conf", str(port)
    if file.exists():
        before = file.read_text("utf-8")
        match = re.search(r"^listener +(.+)$", before, re.MULTILINE)
        listener = match[1] if match else listener
        keyring.write_file(broker / "mosquitto.conf.before", before.encode())
    config = _MOSQUITTO.format(
        layout=LAYOUT,
        user=pwd.getpwuid(broker.stat().st_uid).pw_name,
        listener=listener,
        tls=tls.resolve(),
        broker=broker.resolve(),
    )
    keyring.write_file(file, config.encode())
    write_acl(broker, revoked)
    enrol_broker.write(broker, tls, int(listener.split()[0]))


def write_acl(broker: Path, revoked: Iterable[str]) -> bool:
    """Make the `acl` anew; returns whether that changed it.

    A revoked box may write and read nothing, also with a certificate that is not on the list: one that was issued after
    the copy was made from which this hospital was put back.
    """
    file, content = broker / "acl", _acl(revoked).encode()
    changed = not file.exists() or file.read_bytes() != content
    keyring.write_private(file, content)
    return changed


def is_current(broker: Path) -> bool:
    """Whether the configuration is of this version; True where there is none, because the broker is another's."""
    file = broker / "mosquitto.conf"
    return not file.exists() or (file.read_text("utf-8").startswith(LAYOUT) and enrol_broker.is_current(broker))


def process(broker: Path) -> int | None:
    """The process number of the running mosquitto of this folder; None when none of ours runs here."""
    try:
        number = int((broker / "mosquitto.pid").read_text("ascii"))
        # Where systemd hides other units' processes (ProtectProc=) it cannot be seen, but can still be signalled.
        name = Path(f"/proc/{number}/comm")
        if name.exists() and "mosquitto" not in name.read_text("utf-8"):
            return None
    except (OSError, ValueError):
        return None
    try:
        os.kill(number, 0)
    except PermissionError:  # it runs as another user
        return number
    except OSError:
        return None
    return number


def reread(broker: Path) -> bool:
    """Have the mosquitto of this folder read its revocation list and ACL again; False when none of ours runs here."""
    number = process(broker)
    if number is None:
        return False
    try:
        os.kill(number, signal.SIGHUP)
    except OSError:
        return False
    return True


def local_address(broker: Path) -> tuple[str, int] | None:
    """Where the running mosquitto of this folder listens; None when none of ours runs here."""
    file = broker / "mosquitto.conf"
    if process(broker) is None or not file.exists():
        return None
    match = re.search(r"^listener +(\d+)(?: +([\w.:-]+))?", file.read_text("utf-8"), re.MULTILINE)
    return (match[2] or "127.0.0.1", int(match[1])) if match else None


def acl_lines(box: str) -> str:
    """What one box needs in mosquitto's ACL where the patterns of `broker/acl` are not used."""
    return "\n".join([f"user {box}", *_rights("topic", box)]) + "\n"


def _acl(revoked: Iterable[str]) -> str:
    return "\n".join(
        [
            "# A box writes and reads under its own name only; the name is that of its certificate.",
            *_rights("pattern", "%u"),
            "",
            f"user {authority.RECEIVER}",
            *(f"topic read lantern/v1/up/+/{kind.value}" for kind in UP),
            *(f"topic write lantern/v1/down/+/{kind.value}" for kind in DOWN),
            "",
            *(line for box in sorted(revoked) for line in (f"user {box}", "topic deny #")),
            "",
        ]
    )


def _rights(word: str, box: str) -> list[str]:
    up = [f"{word} write lantern/v1/up/{box}/{kind.value}" for kind in UP]
    return up + [f"{word} read lantern/v1/down/{box}/{kind.value}" for kind in DOWN]

"""A second mosquitto, to which a box without a certificate may come: only to ask to be enrolled.

It is a process of its own, because mosquitto's memory, retained messages and sessions are not counted by listener: on
the line's broker a stranger could fill what the alerts need.  This one stores nothing, and may be off without harm.
"""

from __future__ import annotations

import base64
import hashlib
import pwd
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.uplink.messages.enrolling import MOST_BYTES, TOPIC, port_beside
from hospital.keys import authority, keyring

CONFIG: Final = "enrolling.conf"
_SECRET: Final = "enrolling.password"
_HASHED: Final = "enrolling.passwords"
_ACL: Final = "enrolling.acl"
_ROUNDS: Final = 10_000
_FRONT: Final = re.compile(r"^# front (\d+)(?: +([\w.:-]+))?$", re.MULTILINE)
_LISTENER: Final = re.compile(r"^listener +(\d+)(?: +([\w.:-]+))?", re.MULTILINE)

_MOSQUITTO: Final = """\
# Where boxes ask to be enrolled.  For mosquitto 2.0 or later; “lantern-hospital broker --update” writes it again.
# “lantern-hospital serve” listens for boxes on the port named next (an address may follow it), shares the room out
# between theirs, and passes what they send to the listener below.
# front {front}
per_listener_settings false
user {user}
listener {listener}
certfile {tls}/broker.crt
keyfile {tls}/broker.key
tls_version tlsv1.2
# A box has no certificate yet: anybody may come, and the ACL says what for.
require_certificate false
allow_anonymous true
allow_zero_length_clientid false
password_file {broker}/{passwords}
acl_file {broker}/{acl}
max_connections 200
max_keepalive 120
# Nothing is kept, neither on the disk nor for later.
persistence false
retain_available false
persistent_client_expiration 1h
max_packet_size {packet}
max_inflight_messages 20
max_queued_messages 200
max_queued_bytes 1048576
memory_limit 67108864
"""

_RIGHTS: Final = """\
# A client writes and reads under its own client id only, which a box draws at random; “+” and “#” are in none.
pattern write {topic}/up/%c
pattern read {topic}/down/%c

user {receiver}
topic read {topic}/up/+
topic write {topic}/down/+
"""


def write(broker: Path, tls: Path, line: int) -> None:
    """Make the configuration, beside that of the line's broker, which listens on the port *line*.

    An existing one keeps where boxes arrive, and the receiver its password.
    """
    file, place = broker / CONFIG, front(broker)
    arrive, listener = str(port_beside(line)), f"{port_beside(port_beside(line))} 127.0.0.1"
    if place is not None:
        arrive, listener = f"{place.port} {place.address}".strip(), f"{place.broker} 127.0.0.1"
    elif file.exists() and (match := _LISTENER.search(file.read_text("utf-8"))):  # of an earlier version
        arrive = f"{match[1]} {match[2] or ''}".strip()
    config = _MOSQUITTO.format(
        front=arrive,
        user=pwd.getpwuid(broker.stat().st_uid).pw_name,
        listener=listener,
        tls=tls.resolve(),
        broker=broker.resolve(),
        passwords=_HASHED,
        acl=_ACL,
        packet=MOST_BYTES + 1024,
    )
    if not (tls / _SECRET).exists():
        keyring.write_private(tls / _SECRET, secrets.token_urlsafe(32).encode())
    keyring.write_private(broker / _HASHED, f"{authority.RECEIVER}:{_hashed(password(tls))}\n".encode())
    keyring.write_private(broker / _ACL, _RIGHTS.format(topic=TOPIC, receiver=authority.RECEIVER).encode())
    keyring.write_file(file, config.encode())


@dataclass(frozen=True, slots=True)
class FrontPlace:
    """Where boxes arrive (an empty address: every one of this machine), and the port of the broker behind."""

    port: int
    address: str
    broker: int


def front(broker: Path) -> FrontPlace | None:
    """What the configuration says of it; None where there is none, or that of an earlier version without a front."""
    file = broker / CONFIG
    text = file.read_text("utf-8") if file.exists() else ""
    arrive, listener = _FRONT.search(text), _LISTENER.search(text)
    if arrive is None or listener is None:
        return None
    return FrontPlace(int(arrive[1]), arrive[2] or "", int(listener[1]))


def is_current(broker: Path) -> bool:
    """Whether the configuration, if there is one, is of this version."""
    return not (broker / CONFIG).exists() or front(broker) is not None


def password(tls: Path) -> str:
    """With which the receiver comes; raises FileNotFoundError where this hospital has no such broker."""
    return (tls / _SECRET).read_text("ascii")


def _hashed(plain: str) -> str:
    """As `mosquitto_passwd` writes it: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", plain.encode("ascii"), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"

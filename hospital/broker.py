"""The files that the two mosquittos are started with, and how a running one is told to read them again.

On the uplink's broker the certificate's name is the client's user name and client id, whatever the client sends
(`use_username_as_clientid`).  So no client can end another's connection or take its session.  The ACL names every kind
of message, and the limits bound what one client can make the broker store.

To the enrolment broker a box without a certificate may come, only to ask to be enrolled.  It is a process of its own,
because mosquitto's memory, retained messages and sessions are not counted by listener: on the uplink's broker a
stranger could fill what the alerts need.  It stores nothing, and may be off without harm.
"""

from __future__ import annotations

import base64
import hashlib
import os
import pwd
import re
import secrets
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.uplink.messages.enrolment import ENROLMENT_TOPIC, MOST_ENROLMENT_BYTES, enrolment_port
from firmware_app.uplink.messages.summary import Kind
from hospital import certificate_authority, keyring

UPWARD_KINDS: Final = (Kind.BIRTH, Kind.DEATH, Kind.ALERT, Kind.DIGEST, Kind.HEALTH, Kind.DRIFT)
DOWNWARD_KINDS: Final = tuple(kind for kind in Kind if kind not in UPWARD_KINDS)

CONFIG_LAYOUT: Final = "# Lantern's broker, layout 2."
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


def write_broker_files(broker: Path, tls: Path, port: int, revoked: Iterable[str] = ()) -> None:
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
        layout=CONFIG_LAYOUT,
        user=pwd.getpwuid(broker.stat().st_uid).pw_name,
        listener=listener,
        tls=tls.resolve(),
        broker=broker.resolve(),
    )
    keyring.write_file(file, config.encode())
    write_acl(broker, revoked)
    write_enrolment_broker_files(broker, tls, int(listener.split()[0]))


def write_acl(broker: Path, revoked: Iterable[str]) -> bool:
    """Make the `acl` anew; returns whether that changed it.

    A revoked box may write and read nothing, also with a certificate that is not on the list: one that was issued after
    the copy was made from which this hospital was put back.
    """
    file, content = broker / "acl", _format_acl(revoked).encode()
    changed = not file.exists() or file.read_bytes() != content
    keyring.write_private(file, content)
    return changed


def are_broker_files_current(broker: Path) -> bool:
    """Whether the configuration is of this version; True where there is none, because the broker is another's."""
    file = broker / "mosquitto.conf"
    return not file.exists() or (
        file.read_text("utf-8").startswith(CONFIG_LAYOUT) and is_enrolment_config_current(broker)
    )


def find_broker_process(broker: Path) -> int | None:
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
    number = find_broker_process(broker)
    if number is None:
        return False
    try:
        os.kill(number, signal.SIGHUP)
    except OSError:
        return False
    return True


def find_broker_address(broker: Path) -> tuple[str, int] | None:
    """Where the running mosquitto of this folder listens; None when none of ours runs here."""
    file = broker / "mosquitto.conf"
    if find_broker_process(broker) is None or not file.exists():
        return None
    match = re.search(r"^listener +(\d+)(?: +([\w.:-]+))?", file.read_text("utf-8"), re.MULTILINE)
    return (match[2] or "127.0.0.1", int(match[1])) if match else None


def format_box_acl(box: str) -> str:
    """What one box needs in mosquitto's ACL where the patterns of `broker/acl` are not used."""
    return "\n".join([f"user {box}", *_format_rights("topic", box)]) + "\n"


def _format_acl(revoked: Iterable[str]) -> str:
    return "\n".join(
        [
            "# A box writes and reads under its own name only; the name is that of its certificate.",
            *_format_rights("pattern", "%u"),
            "",
            f"user {certificate_authority.RECEIVER_NAME}",
            *(f"topic read lantern/v1/up/+/{kind.value}" for kind in UPWARD_KINDS),
            *(f"topic write lantern/v1/down/+/{kind.value}" for kind in DOWNWARD_KINDS),
            "",
            *(line for box in sorted(revoked) for line in (f"user {box}", "topic deny #")),
            "",
        ]
    )


def _format_rights(word: str, box: str) -> list[str]:
    up = [f"{word} write lantern/v1/up/{box}/{kind.value}" for kind in UPWARD_KINDS]
    return up + [f"{word} read lantern/v1/down/{box}/{kind.value}" for kind in DOWNWARD_KINDS]


ENROLMENT_CONFIG: Final = "enrolling.conf"
_RECEIVER_PASSWORD_FILE: Final = "enrolling.password"
_PASSWORD_HASHES_FILE: Final = "enrolling.passwords"
_ENROLMENT_ACL_FILE: Final = "enrolling.acl"
_ROUNDS: Final = 10_000
_FRONT: Final = re.compile(r"^# front (\d+)(?: +([\w.:-]+))?$", re.MULTILINE)
_LISTENER: Final = re.compile(r"^listener +(\d+)(?: +([\w.:-]+))?", re.MULTILINE)

_ENROLMENT_MOSQUITTO: Final = """\
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

_ENROLMENT_ACL: Final = """\
# A client writes and reads under its own client id only, which a box draws at random; “+” and “#” are in none.
pattern write {topic}/up/%c
pattern read {topic}/down/%c

user {receiver}
topic read {topic}/up/+
topic write {topic}/down/+
"""


def write_enrolment_broker_files(broker: Path, tls: Path, line: int) -> None:
    """Make the configuration, beside that of the line's broker, which listens on the port *line*.

    An existing one keeps where boxes arrive, and the receiver its password.
    """
    file, place = broker / ENROLMENT_CONFIG, read_front_address(broker)
    arrive, listener = str(enrolment_port(line)), f"{enrolment_port(enrolment_port(line))} 127.0.0.1"
    if place is not None:
        arrive, listener = f"{place.port} {place.address}".strip(), f"{place.broker} 127.0.0.1"
    elif file.exists() and (match := _LISTENER.search(file.read_text("utf-8"))):  # of an earlier version
        arrive = f"{match[1]} {match[2] or ''}".strip()
    config = _ENROLMENT_MOSQUITTO.format(
        front=arrive,
        user=pwd.getpwuid(broker.stat().st_uid).pw_name,
        listener=listener,
        tls=tls.resolve(),
        broker=broker.resolve(),
        passwords=_PASSWORD_HASHES_FILE,
        acl=_ENROLMENT_ACL_FILE,
        packet=MOST_ENROLMENT_BYTES + 1024,
    )
    if not (tls / _RECEIVER_PASSWORD_FILE).exists():
        keyring.write_private(tls / _RECEIVER_PASSWORD_FILE, secrets.token_urlsafe(32).encode())
    keyring.write_private(
        broker / _PASSWORD_HASHES_FILE,
        f"{certificate_authority.RECEIVER_NAME}:{_hash_password(read_receiver_password(tls))}\n".encode(),
    )
    keyring.write_private(
        broker / _ENROLMENT_ACL_FILE,
        _ENROLMENT_ACL.format(topic=ENROLMENT_TOPIC, receiver=certificate_authority.RECEIVER_NAME).encode(),
    )
    keyring.write_file(file, config.encode())


@dataclass(frozen=True, slots=True)
class FrontAddress:
    """Where boxes arrive (an empty address: every one of this machine), and the port of the broker behind."""

    port: int
    address: str
    broker: int


def read_front_address(broker: Path) -> FrontAddress | None:
    """What the configuration says of it; None where there is none, or that of an earlier version without a front."""
    file = broker / ENROLMENT_CONFIG
    text = file.read_text("utf-8") if file.exists() else ""
    arrive, listener = _FRONT.search(text), _LISTENER.search(text)
    if arrive is None or listener is None:
        return None
    return FrontAddress(int(arrive[1]), arrive[2] or "", int(listener[1]))


def is_enrolment_config_current(broker: Path) -> bool:
    """Whether the configuration, if there is one, is of this version."""
    return not (broker / ENROLMENT_CONFIG).exists() or read_front_address(broker) is not None


def read_receiver_password(tls: Path) -> str:
    """With which the receiver comes; raises FileNotFoundError where this hospital has no such broker."""
    return (tls / _RECEIVER_PASSWORD_FILE).read_text("ascii")


def _hash_password(plain: str) -> str:
    """As mosquitto_passwd(1) writes it: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", plain.encode("ascii"), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"

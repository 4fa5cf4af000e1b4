"""From a topic and its bytes to a verified message, or to the reason why it is none.  No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_app.uplink.errors import BOX_UNKNOWN, EnvelopeMalformed
from firmware_app.uplink.messages.envelope import open_sealed, read_wire_version
from firmware_app.uplink.messages.message import WireVersion
from firmware_app.uplink.messages.summary import BOX_ID, Kind, UpMessage, decode_up
from hospital.errors import BOX_REVOKED, MISADDRESSED, TOPIC_UNKNOWN
from hospital.keyring import Keyring

_TOPIC = re.compile(rf"lantern/v1/up/({BOX_ID})/(birth|death|alert|digest|health|drift)", re.ASCII)
_SECOND_SINCE = (0, 2)


@dataclass(frozen=True, slots=True)
class OpenedMessage:
    """A message that is what it says, from the box whose topic it came under."""

    message: UpMessage
    body: bytes
    version: WireVersion


def parse_topic(topic: str) -> tuple[str, Kind]:
    """The box and the kind a topic names; raises `TOPIC_UNKNOWN`."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        raise TOPIC_UNKNOWN()
    return match[1], Kind(match[2])


def is_second_version(payload: bytes) -> bool:
    """Whether an envelope is of form 2, which can be told without a key."""
    try:
        return read_wire_version(payload) is WireVersion.SECOND
    except EnvelopeMalformed:
        return False


def choose_wire_version(version: str) -> WireVersion:
    """The latest form that a box with this version of the program reads (`Presence.version`)."""
    major, minor = version.split(".")[:2]
    return WireVersion.SECOND if (int(major), int(minor)) >= _SECOND_SINCE else WireVersion.FIRST


def open_message(
    payload: bytes, box: str, kind: Kind, keys: Keyring, boxes: Mapping[str, Ed25519PublicKey | None]
) -> OpenedMessage:
    """The verified message in *payload*; raises the `LanternError` that says why there is none."""
    if box not in boxes:
        raise BOX_UNKNOWN(box=box)
    verify = boxes[box]
    if verify is None:
        raise BOX_REVOKED(box=box)
    body = open_sealed(payload, kind, box, signer=verify, private=keys.private, retired=keys.retired)
    version = read_wire_version(payload)
    message = decode_up(body, first=version is WireVersion.FIRST)
    if message.origin.box != box or message.kind is not kind:
        raise MISADDRESSED()
    return OpenedMessage(message, body, version)

"""The edges of an envelope: what the right key signed and sealed is refused too when its form is another one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firmware_app.errors import EnvelopeMalformed, SignatureForged
from firmware_app.uplink.envelope import (
    MOST_ENVELOPE,
    SUITE,
    context,
    key_id,
    open_sealed,
    open_signed,
    seal,
    sign,
)
from firmware_app.uplink.form import MOST_BYTES
from firmware_app.uplink.summary import Kind

BOX, HOSPITAL = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
KEY = key_id(HOSPITAL.public_key())
BOUND = context(b"up", Kind.ALERT, KEY, "clinic-7")
PAD = 256
ROOM = PAD - 66  # what of the first block is left behind signature and length


def envelope(body: bytes, padding: bytes, *, length: int | None = None, signed: bytes | None = None) -> bytes:
    """What a box could make that holds its keys and breaks the form."""
    signature = BOX.sign(BOUND + b"\x00" + (body if signed is None else signed))
    plain = signature + (len(body) if length is None else length).to_bytes(2) + body + padding
    return b"LNU1" + KEY + SUITE.encrypt(plain, HOSPITAL.public_key(), BOUND)


def opened(sealed: bytes) -> bytes:
    return open_sealed(sealed, Kind.ALERT, "clinic-7", BOX.public_key(), {KEY: HOSPITAL})


def test_the_form_itself_opens() -> None:
    assert opened(envelope(b"{}", bytes(ROOM - 2))) == b"{}"
    assert opened(envelope(b"x" * ROOM, b"")) == b"x" * ROOM


@pytest.mark.parametrize(
    "sealed",
    [
        pytest.param(envelope(b"{}", bytes(ROOM - 3) + b"\x01"), id="padding that says something"),
        pytest.param(envelope(b"{}", bytes(ROOM - 2 + PAD)), id="a block of padding more than needed"),
        pytest.param(envelope(b"{}", bytes(PAD + ROOM - 3)), id="no multiple of 256"),
        pytest.param(envelope(b"x" * ROOM, b"", length=ROOM + 1), id="a length beyond the end"),
    ],
)
def test_another_padding_is_no_envelope(sealed: bytes) -> None:
    with pytest.raises(EnvelopeMalformed):
        opened(sealed)


def test_the_signature_is_of_this_body() -> None:
    with pytest.raises(SignatureForged):
        opened(envelope(b"{}", bytes(ROOM - 2), signed=b"[]"))


def test_the_longest_message_opens_and_a_longer_envelope_is_not_looked_at() -> None:
    longest = seal(b"x" * MOST_BYTES, Kind.ALERT, "clinic-7", BOX, HOSPITAL.public_key())
    assert len(longest) == MOST_ENVELOPE
    assert len(opened(longest)) == MOST_BYTES
    with pytest.raises(EnvelopeMalformed):
        opened(longest + b"\x00")


def test_the_hospitals_longest_message_opens_and_a_longer_one_is_not_looked_at() -> None:
    longest = sign(b"x" * MOST_BYTES, Kind.ACK, "clinic-7", BOX)
    assert len(open_signed(longest, Kind.ACK, "clinic-7", BOX.public_key())) == MOST_BYTES
    with pytest.raises(EnvelopeMalformed):
        open_signed(longest + b"x", Kind.ACK, "clinic-7", BOX.public_key())

"""The edges of an envelope: what the right key signed and sealed is refused too when its form is another one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firmware_app.uplink.errors import ENVELOPE_UNDECRYPTABLE, EnvelopeMalformed, SignatureForged
from firmware_app.uplink.messages.envelope import (
    MOST_ENVELOPE,
    SUITE,
    bind_context,
    key_id,
    open_sealed,
    open_signed,
    seal,
    sign,
)
from firmware_app.uplink.messages.message import MOST_MESSAGE_BYTES, WireVersion
from firmware_app.uplink.messages.summary import Kind
from tests.refusals import raises_refusal

BOX, HOSPITAL = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
KEY = key_id(HOSPITAL.public_key())
PAD = 256  # of form 1
ROOM = {WireVersion.FIRST: PAD - 66, WireVersion.SECOND: 2_048 - 66}  # what is left behind signature and length


def envelope(
    version: WireVersion, body: bytes, padding: bytes, *, length: int | None = None, signed: bytes | None = None
) -> bytes:
    """What a box could make that holds its keys and breaks the form."""
    bound = bind_context(b"up", Kind.ALERT, KEY, "clinic-7", version)
    signature = BOX.sign(bound + b"\x00" + (body if signed is None else signed))
    plain = signature + (len(body) if length is None else length).to_bytes(2) + body + padding
    return b"LNU%d" % version + KEY + SUITE.encrypt(plain, HOSPITAL.public_key(), bound)


def opened(sealed: bytes) -> bytes:
    return open_sealed(sealed, Kind.ALERT, "clinic-7", BOX.public_key(), {KEY: HOSPITAL})


@pytest.mark.parametrize("version", WireVersion)
def test_the_form_itself_opens(version: WireVersion) -> None:
    room = ROOM[version]
    assert opened(envelope(version, b"{}", bytes(room - 2))) == b"{}"
    assert opened(envelope(version, b"x" * room, b"")) == b"x" * room


@pytest.mark.parametrize("version", WireVersion)
@pytest.mark.parametrize(
    ("longer", "last"),
    [
        pytest.param(-1, b"\x01", id="padding that says something"),
        pytest.param(PAD, b"", id="a block of padding more than needed"),
        pytest.param(PAD - 1, b"", id="no multiple of 256"),
        pytest.param(-1, b"", id="padding less than needed"),
    ],
)
def test_another_padding_is_no_envelope(version: WireVersion, longer: int, last: bytes) -> None:
    with pytest.raises(EnvelopeMalformed):
        opened(envelope(version, b"{}", bytes(ROOM[version] - 2 + longer) + last))


@pytest.mark.parametrize("version", WireVersion)
def test_a_length_beyond_the_end_is_no_envelope(version: WireVersion) -> None:
    with pytest.raises(EnvelopeMalformed):
        opened(envelope(version, b"x" * ROOM[version], b"", length=ROOM[version] + 1))


@pytest.mark.parametrize("version", WireVersion)
def test_the_signature_is_of_this_body(version: WireVersion) -> None:
    with pytest.raises(SignatureForged):
        opened(envelope(version, b"{}", bytes(ROOM[version] - 2), signed=b"[]"))


def test_the_envelope_of_one_form_is_none_of_the_other() -> None:
    sealed = seal(b"{}", Kind.ALERT, "clinic-7", BOX, HOSPITAL.public_key(), WireVersion.FIRST)
    with raises_refusal(ENVELOPE_UNDECRYPTABLE):
        opened(b"LNU2" + sealed[4:])


def test_the_longest_message_opens_and_a_longer_envelope_is_not_looked_at() -> None:
    longest = seal(b"x" * MOST_MESSAGE_BYTES, Kind.ALERT, "clinic-7", BOX, HOSPITAL.public_key(), WireVersion.FIRST)
    assert len(longest) == MOST_ENVELOPE
    assert len(opened(longest)) == MOST_MESSAGE_BYTES
    with pytest.raises(EnvelopeMalformed):
        opened(longest + b"\x00")


def test_the_hospitals_longest_message_opens_and_a_longer_one_is_not_looked_at() -> None:
    longest = sign(b"x" * MOST_MESSAGE_BYTES, Kind.ACK, "clinic-7", BOX)
    assert len(open_signed(longest, Kind.ACK, "clinic-7", BOX.public_key())) == MOST_MESSAGE_BYTES
    with pytest.raises(EnvelopeMalformed):
        open_signed(longest + b"x", Kind.ACK, "clinic-7", BOX.public_key())

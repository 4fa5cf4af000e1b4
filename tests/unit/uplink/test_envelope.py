"""A sealed message opens only where, from whom and as what it was meant; docs/uplink.md shows the bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_app.core.errors import LanternError
from firmware_app.uplink.errors import (
    ENVELOPE_UNDECRYPTABLE,
    SEAL_KEY_RETIRED,
    SEAL_KEY_UNKNOWN,
    EnvelopeMalformed,
    MessageInvalid,
    MessageTooLarge,
    SignatureForged,
)
from firmware_app.uplink.messages.envelope import (
    MOST_ENVELOPE,
    SUITE,
    BoxBundle,
    bind_context,
    key_id,
    open_sealed,
    open_signed,
    read_wire_version,
    seal,
    sign,
)
from firmware_app.uplink.messages.message import MOST_MESSAGE_BYTES, WireVersion
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import FirstReceipt, Kind, Receipt, body_hash, decode, decode_up
from tests.refusals import raises_refusal

BOX, HOSPITAL = Ed25519PrivateKey.from_private_bytes(b"b" * 32), X25519PrivateKey.from_private_bytes(b"h" * 32)
KEY = key_id(HOSPITAL.public_key())
DOCUMENT = Path(__file__).parents[3] / "docs" / "uplink.md"


def opened(envelope: bytes, **changes: Any) -> bytes:
    asked: dict[str, Any] = {
        "kind": Kind.ALERT,
        "box": "a",
        "signer": BOX.public_key(),
        "private": {KEY: HOSPITAL},
        **changes,
    }
    return open_sealed(envelope, **asked)


def sealed(body: bytes = b"{}") -> bytes:
    return seal(body, Kind.ALERT, "a", BOX, HOSPITAL.public_key())


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=1900), st.sampled_from(WireVersion))
def test_what_is_sealed_opens(body: bytes, version: WireVersion) -> None:
    envelope = seal(body, Kind.ALERT, "a", BOX, HOSPITAL.public_key(), version)
    assert opened(envelope) == body
    assert body not in envelope or len(body) < 4
    assert len(envelope) <= MOST_ENVELOPE


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(sealed()) * 8 - 1))
def test_a_flipped_bit_is_refused_with_a_reason(bit: int) -> None:
    envelope = bytearray(sealed())
    envelope[bit // 8] ^= 1 << bit % 8
    expected = EnvelopeMalformed if bit < 32 else SEAL_KEY_UNKNOWN if bit < 96 else ENVELOPE_UNDECRYPTABLE
    with raises_refusal(expected):
        opened(bytes(envelope))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(sealed()) - 1))
def test_a_cut_off_message_is_refused(length: int) -> None:
    with raises_refusal(EnvelopeMalformed, ENVELOPE_UNDECRYPTABLE):
        opened(sealed()[:length])


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    for envelope in (data, b"LNU1" + KEY + data, b"LNU2" + KEY + data):
        with pytest.raises(LanternError):
            opened(envelope)
    with pytest.raises(LanternError):
        open_signed(b"LND1" + data, Kind.ACK, "a", BOX.public_key())


def test_it_opens_only_where_and_as_what_it_was_meant() -> None:
    envelope = sealed()
    with raises_refusal(ENVELOPE_UNDECRYPTABLE):
        opened(envelope, kind=Kind.DIGEST)
    with raises_refusal(ENVELOPE_UNDECRYPTABLE):
        opened(envelope, box="b")
    with pytest.raises(SignatureForged):
        opened(envelope, signer=Ed25519PrivateKey.generate().public_key())
    with raises_refusal(SEAL_KEY_UNKNOWN):
        opened(envelope, private={})
    with raises_refusal(SEAL_KEY_RETIRED):
        opened(envelope, private={}, retired={KEY})


def test_a_signature_for_one_hospital_is_none_for_another() -> None:
    other = X25519PrivateKey.generate()
    plain = SUITE.decrypt(sealed()[12:], HOSPITAL, bind_context(b"up", Kind.ALERT, KEY, "a"))
    theirs = key_id(other.public_key())
    passed_on = SUITE.encrypt(plain, other.public_key(), bind_context(b"up", Kind.ALERT, theirs, "a"))
    with pytest.raises(SignatureForged):
        opened(b"LNU2" + theirs + passed_on, private={theirs: other})


def test_the_length_tells_nothing() -> None:
    lengths = {len(sealed(b"x" * size)) for size in (0, 1, 190, 191, 1_000, WireVersion.SECOND.most_bytes)}
    assert lengths == {12 + 32 + 2_048 + 16}


def test_in_form_1_the_length_tells_no_more_than_a_multiple_of_256() -> None:
    hospital = HOSPITAL.public_key()
    lengths = [len(seal(b"x" * size, Kind.ALERT, "a", BOX, hospital, WireVersion.FIRST)) for size in range(192)]
    assert set(lengths[:191]) == {316}
    assert lengths[191] == 572


@pytest.mark.parametrize("version", WireVersion)
def test_too_long_a_body_is_not_sealed(version: WireVersion) -> None:
    longest = b"x" * version.most_bytes
    assert opened(seal(longest, Kind.ALERT, "a", BOX, HOSPITAL.public_key(), version)) == longest
    with pytest.raises(MessageTooLarge):
        seal(longest + b"x", Kind.ALERT, "a", BOX, HOSPITAL.public_key(), version)
    with pytest.raises(MessageTooLarge):
        sign(b"x" * (MOST_MESSAGE_BYTES + 1), Kind.ACK, "a", BOX)


def test_the_hospitals_word_is_for_one_box_and_one_purpose() -> None:
    signed = sign(b"{}", Kind.ACK, "a", BOX)
    assert open_signed(signed, Kind.ACK, "a", BOX.public_key()) == b"{}"
    for kind, box, key in ((Kind.KEYS, "a", BOX), (Kind.ACK, "b", BOX), (Kind.ACK, "a", Ed25519PrivateKey.generate())):
        with pytest.raises(SignatureForged):
            open_signed(signed, kind, box, key.public_key())


@pytest.mark.parametrize("point", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ff" * 32])
def test_a_point_of_small_order_on_the_wire_is_refused(point: str) -> None:
    with raises_refusal(ENVELOPE_UNDECRYPTABLE):
        opened(b"LNU2" + KEY + bytes.fromhex(point) + bytes(272))


def test_a_key_of_small_order_is_no_key() -> None:
    with pytest.raises(MessageInvalid):
        parse_seal_key("00" * 32)


def test_a_box_proves_that_it_holds_its_key() -> None:
    made = BoxBundle.made("a", BOX, "04" + "1" * 128)
    made.prove()
    with pytest.raises(SignatureForged):
        BoxBundle("b", made.verify, made.tls, made.proof).prove()
    assert re.fullmatch(r"([0-9a-f]{4} ){3}[0-9a-f]{4}", made.fingerprint)


# --- the vectors of the document ------------------------------------------------------------------------------------


def vectors() -> dict[str, Any]:
    text = DOCUMENT.read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text.split("```json vectors\n")[1].split("```")[0])
    return loaded


@pytest.mark.parametrize(
    ("version", "name"), [*((version, "up") for version in WireVersion), (WireVersion.SECOND, "figures")]
)
def test_the_documents_messages_open_as_it_says(version: WireVersion, name: str) -> None:
    known = vectors()
    hospital = X25519PrivateKey.from_private_bytes(bytes.fromhex(known["hospital_seal_private"]))
    box = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["box_sign_private"]))
    up = known[f"form {version}"][name]
    key = key_id(hospital.public_key())
    assert key.hex() == known["hospital_seal_key_id"]
    bound = bind_context(b"up", Kind(up["kind"]), key, up["box"], version)
    assert bound == up["info"].replace("\\0", "\0").encode("ascii")
    envelope = bytes.fromhex(up["envelope"])
    body = open_sealed(envelope, Kind(up["kind"]), up["box"], box.public_key(), {key: hospital})
    assert (body.decode(), read_wire_version(envelope)) == (up["body"], version)
    assert decode_up(body, first=version is WireVersion.FIRST).encode() == body
    assert box.sign(bound + b"\x00" + body).hex() == up["signature"]


@pytest.mark.parametrize("version", WireVersion)
def test_the_documents_receipt_is_signed_as_it_says(version: WireVersion) -> None:
    known = vectors()
    down = known[f"form {version}"]["down"]
    hospital = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["hospital_sign_private"]))
    signed = sign(down["body"].encode(), Kind(down["kind"]), down["box"], hospital, version)
    assert signed.hex() == down["envelope"]
    body = open_signed(signed, Kind.ACK, down["box"], hospital.public_key())
    if version is WireVersion.FIRST:
        assert decode(body, FirstReceipt).taken == (7,)
    else:
        (taken,) = decode(body, Receipt).taken
        assert (taken.seq, taken.body) == (7, body_hash(known["form 2"]["up"]["body"].encode()))

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
    MessageTooLarge,
    SignatureForged,
)
from firmware_app.uplink.messages.box_reports import decode_up
from firmware_app.uplink.messages.envelope import (
    ENVELOPE_BYTES,
    SUITE,
    BoxBundle,
    bind_context,
    compute_key_id,
    open_sealed,
    open_signed,
    seal,
    sign,
)
from firmware_app.uplink.messages.message import MOST_BODY_BYTES, MOST_MESSAGE_BYTES
from firmware_app.uplink.messages.summary import Kind, Receipt, decode, hash_body
from tests.refusals import raises_refusal

BOX, HOSPITAL = Ed25519PrivateKey.from_private_bytes(b"b" * 32), X25519PrivateKey.from_private_bytes(b"h" * 32)
KEY = compute_key_id(HOSPITAL.public_key())
DOCUMENT = Path(__file__).parents[3] / "docs" / "uplink.md"


def open_envelope(envelope: bytes, **changes: Any) -> bytes:
    asked: dict[str, Any] = {
        "kind": Kind.ALERT,
        "box": "a",
        "signer": BOX.public_key(),
        "private": {KEY: HOSPITAL},
        **changes,
    }
    return open_sealed(envelope, **asked)


def seal_body(body: bytes = b"{}") -> bytes:
    return seal(body, Kind.ALERT, "a", BOX, HOSPITAL.public_key())


@settings(deadline=None)
@given(st.binary(max_size=MOST_BODY_BYTES))
def test_what_is_sealed_opens_and_its_length_tells_nothing(body: bytes) -> None:
    envelope = seal_body(body)
    assert open_envelope(envelope) == body
    assert body not in envelope or len(body) < 4
    assert len(envelope) == ENVELOPE_BYTES


@settings(deadline=None)
@given(st.integers(0, ENVELOPE_BYTES * 8 - 1))
def test_a_flipped_bit_is_refused_with_a_reason(bit: int) -> None:
    envelope = bytearray(seal_body())
    envelope[bit // 8] ^= 1 << bit % 8
    expected = EnvelopeMalformed if bit < 32 else SEAL_KEY_UNKNOWN if bit < 96 else ENVELOPE_UNDECRYPTABLE
    with raises_refusal(expected):
        open_envelope(bytes(envelope))


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    for envelope in (data, (b"LNU2" + KEY + data).ljust(ENVELOPE_BYTES, b"\0"), seal_body()[: len(data)]):
        with pytest.raises(LanternError):
            open_envelope(envelope)
    with pytest.raises(LanternError):
        open_signed(b"LND2" + data, Kind.ACK, "a", BOX.public_key())


def test_it_opens_only_where_and_as_what_it_was_meant() -> None:
    envelope = seal_body()
    with raises_refusal(ENVELOPE_UNDECRYPTABLE):
        open_envelope(envelope, kind=Kind.DIGEST)
    with raises_refusal(ENVELOPE_UNDECRYPTABLE):
        open_envelope(envelope, box="b")
    with pytest.raises(SignatureForged):
        open_envelope(envelope, signer=Ed25519PrivateKey.generate().public_key())
    with raises_refusal(SEAL_KEY_UNKNOWN):
        open_envelope(envelope, private={})
    with raises_refusal(SEAL_KEY_RETIRED):
        open_envelope(envelope, private={}, retired={KEY})


def test_a_signature_for_one_hospital_is_none_for_another() -> None:
    other = X25519PrivateKey.generate()
    plain = SUITE.decrypt(seal_body()[12:], HOSPITAL, bind_context(b"up", Kind.ALERT, KEY, "a"))
    theirs = compute_key_id(other.public_key())
    passed_on = SUITE.encrypt(plain, other.public_key(), bind_context(b"up", Kind.ALERT, theirs, "a"))
    with pytest.raises(SignatureForged):
        open_envelope(b"LNU2" + theirs + passed_on, private={theirs: other})


@pytest.mark.parametrize(
    ("body", "padding", "length", "signed", "refused"),
    [
        pytest.param(b"{}", bytes(MOST_BODY_BYTES - 3) + b"\1", 2, b"{}", EnvelopeMalformed, id="words in the padding"),
        pytest.param(b"{}", bytes(MOST_BODY_BYTES - 1), 2, b"{}", EnvelopeMalformed, id="a byte more"),
        pytest.param(b"{}", bytes(MOST_BODY_BYTES - 3), 2, b"{}", EnvelopeMalformed, id="a byte less"),
        pytest.param(
            b"x" * MOST_BODY_BYTES, b"", MOST_BODY_BYTES + 1, b"{}", EnvelopeMalformed, id="a length beyond the end"
        ),
        pytest.param(b"{}", bytes(MOST_BODY_BYTES - 2), 2, b"[]", SignatureForged, id="the signature of another body"),
    ],
)
def test_what_the_right_keys_sealed_in_another_form_is_refused(
    body: bytes, padding: bytes, length: int, signed: bytes, refused: type[LanternError]
) -> None:
    bound = bind_context(b"up", Kind.ALERT, KEY, "a")
    plain = BOX.sign(bound + b"\0" + signed) + length.to_bytes(2) + body + padding
    with pytest.raises(refused):
        open_envelope(b"LNU2" + KEY + SUITE.encrypt(plain, HOSPITAL.public_key(), bound))


def test_too_long_a_body_is_neither_sealed_nor_signed_nor_looked_at() -> None:
    with pytest.raises(MessageTooLarge):
        seal_body(b"x" * (MOST_BODY_BYTES + 1))
    longest = sign(b"x" * MOST_MESSAGE_BYTES, Kind.ACK, "a", BOX)
    assert len(open_signed(longest, Kind.ACK, "a", BOX.public_key())) == MOST_MESSAGE_BYTES
    with pytest.raises(EnvelopeMalformed):
        open_signed(longest + b"x", Kind.ACK, "a", BOX.public_key())
    with pytest.raises(MessageTooLarge):
        sign(b"x" * (MOST_MESSAGE_BYTES + 1), Kind.ACK, "a", BOX)


def test_the_hospitals_word_is_for_one_box_and_one_purpose() -> None:
    signed = sign(b"{}", Kind.ACK, "a", BOX)
    assert open_signed(signed, Kind.ACK, "a", BOX.public_key()) == b"{}"
    for kind, box, key in ((Kind.KEYS, "a", BOX), (Kind.ACK, "b", BOX), (Kind.ACK, "a", Ed25519PrivateKey.generate())):
        with pytest.raises(SignatureForged):
            open_signed(signed, kind, box, key.public_key())


@pytest.mark.parametrize("point", ["00" * 32, "01" + "00" * 31])
def test_a_point_of_small_order_on_the_wire_is_refused(point: str) -> None:
    with raises_refusal(ENVELOPE_UNDECRYPTABLE):
        open_envelope((b"LNU2" + KEY + bytes.fromhex(point)).ljust(ENVELOPE_BYTES, b"\0"))


def test_a_box_proves_that_it_holds_both_of_its_keys() -> None:
    made = BoxBundle.create("a", BOX, "04" + "1" * 128)
    made.check_proof()
    for box, tls in (("b", made.tls), ("a", "04" + "2" * 128)):
        with pytest.raises(SignatureForged):
            BoxBundle(box, made.verify, tls, made.proof).check_proof()
    assert re.fullmatch(r"([0-9a-f]{4} ){3}[0-9a-f]{4}", made.fingerprint)


# --- the vectors of the document ------------------------------------------------------------------------------------


def vectors() -> dict[str, Any]:
    text = DOCUMENT.read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text.split("```json vectors\n")[1].split("```")[0])
    return loaded


@pytest.mark.parametrize("name", ["up", "figures"])
def test_the_documents_messages_open_as_it_says(name: str) -> None:
    known = vectors()
    hospital = X25519PrivateKey.from_private_bytes(bytes.fromhex(known["hospital_seal_private"]))
    box = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["box_sign_private"]))
    up, key = known[name], compute_key_id(hospital.public_key())
    assert key.hex() == known["hospital_seal_key_id"]
    bound = bind_context(b"up", Kind(up["kind"]), key, up["box"])
    assert bound == up["info"].replace("\\0", "\0").encode("ascii")
    body = open_sealed(bytes.fromhex(up["envelope"]), Kind(up["kind"]), up["box"], box.public_key(), {key: hospital})
    assert body.decode() == up["body"]
    assert decode_up(body).encode() == body
    assert box.sign(bound + b"\x00" + body).hex() == up["signature"]


def test_the_documents_receipt_is_signed_as_it_says() -> None:
    known = vectors()
    down = known["down"]
    hospital = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(known["hospital_sign_private"]))
    signed = sign(down["body"].encode(), Kind(down["kind"]), down["box"], hospital)
    assert signed.hex() == down["envelope"]
    (taken,) = decode(open_signed(signed, Kind.ACK, down["box"], hospital.public_key()), Receipt).taken
    assert (taken.seq, taken.body) == (7, hash_body(known["up"]["body"].encode()))

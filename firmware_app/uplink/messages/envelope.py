"""How a message is sealed, signed and opened: pure functions of bytes and keys (wire format: docs/uplink.md).

Up, from box to hospital: HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) to the hospital's sealing key, with the
box's Ed25519 signature inside.  HPKE's `info` and the signature both bind the version, the hospital's key, the box and
the kind, so a message opens only at that hospital, as one of that box and of that kind.

    LNU2 | key id, 8 | HPKE: enc, 32 + ( signature, 64 | length, 2 | body | zeros to 2,048 bytes ) + tag, 16

Down, from hospital to box: nothing secret, signed with the hospital's Ed25519 key over the same context.

    LND2 | key id, 8 | signature, 64 | body
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Container, Mapping
from typing import Annotated, ClassVar, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from firmware_app.uplink.errors import (
    ENVELOPE_UNDECRYPTABLE,
    SEAL_KEY_RETIRED,
    SEAL_KEY_UNKNOWN,
    EnvelopeMalformed,
    MessageTooLarge,
    SignatureForged,
)
from firmware_app.uplink.messages.message import (
    LENGTH_BYTES,
    MOST_BODY_BYTES,
    MOST_MESSAGE_BYTES,
    PLAIN_BYTES,
    SIGNATURE_BYTES,
    Message,
    bounded_int,
    bounded_tuple,
    matching_text,
    message,
)
from firmware_app.uplink.messages.public_keys import SealKey, VerifyKey, parse_verify_key
from firmware_app.uplink.messages.summary import BOX_ID, Kind

SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_UP, _DOWN = b"LNU2", b"LND2"
_MAGIC, _ID, _ENC, _TAG = 4, 8, 32, 16
_HEAD: Final = _MAGIC + _ID
ENVELOPE_BYTES: Final = _HEAD + _ENC + PLAIN_BYTES + _TAG
"""The length of every envelope that goes up."""


def compute_key_id(public: X25519PublicKey | Ed25519PublicKey) -> bytes:
    """The first 8 bytes of the SHA-256 of the raw public key."""
    return hashlib.sha256(public.public_bytes_raw()).digest()[:_ID]


def bind_context(direction: bytes, kind: Kind, key: bytes, box: str) -> bytes:
    """What seal and signature are bound to: version, direction, kind, the hospital's key id (hexadecimal), the box."""
    return b"\x00".join((b"lantern/2", direction, kind.encode(), key.hex().encode(), box.encode()))


# --- up -----------------------------------------------------------------------------------------------------------


def seal(body: bytes, kind: Kind, box: str, signer: Ed25519PrivateKey, hospital: X25519PublicKey) -> bytes:
    """The envelope of *body*; all envelopes have the same length.  Raises `MessageTooLarge`."""
    if len(body) > MOST_BODY_BYTES:
        raise MessageTooLarge(size=len(body), limit=MOST_BODY_BYTES)
    key = compute_key_id(hospital)
    bound = bind_context(b"up", kind, key, box)
    plain = signer.sign(bound + b"\x00" + body) + len(body).to_bytes(LENGTH_BYTES) + body
    return _UP + key + SUITE.encrypt(plain.ljust(PLAIN_BYTES, b"\x00"), hospital, bound)


def open_sealed(
    envelope: bytes,
    kind: Kind,
    box: str,
    signer: Ed25519PublicKey,
    private: Mapping[bytes, X25519PrivateKey],
    retired: Container[bytes] = (),
) -> bytes:
    """The body of an envelope that came from *box* as *kind*.

    *private* are the hospital's keys by id, *retired* the ids of keys that it has deleted.  Raises `EnvelopeMalformed`,
    `SEAL_KEY_UNKNOWN`, `SEAL_KEY_RETIRED`, `ENVELOPE_UNDECRYPTABLE`, `SignatureForged`.
    """
    if len(envelope) != ENVELOPE_BYTES or envelope[:_MAGIC] != _UP:
        raise EnvelopeMalformed(where=f"{len(envelope)} B")
    key = envelope[_MAGIC:_HEAD]
    if key not in private:
        raise (SEAL_KEY_RETIRED if key in retired else SEAL_KEY_UNKNOWN)(key=key.hex())
    bound = bind_context(b"up", kind, key, box)
    try:
        plain = SUITE.decrypt(envelope[_HEAD:], private[key], bound)
    except (InvalidTag, ValueError):  # ValueError: an `enc` of small order
        raise ENVELOPE_UNDECRYPTABLE() from None
    body = _remove_padding(plain)
    _verify(signer, plain[:SIGNATURE_BYTES], bound + b"\x00" + body)
    return body


def _remove_padding(plain: bytes) -> bytes:
    start = SIGNATURE_BYTES + LENGTH_BYTES
    end = start + int.from_bytes(plain[SIGNATURE_BYTES:start])
    if end > len(plain) or any(plain[end:]):
        raise EnvelopeMalformed(where="padding")
    return plain[start:end]


# --- down ---------------------------------------------------------------------------------------------------------


def sign(body: bytes, kind: Kind, box: str, signer: Ed25519PrivateKey) -> bytes:
    """*body* with the hospital's signature, for *box* and *kind* only."""
    if len(body) > MOST_MESSAGE_BYTES:
        raise MessageTooLarge(size=len(body), limit=MOST_MESSAGE_BYTES)
    key = compute_key_id(signer.public_key())
    return _DOWN + key + signer.sign(bind_context(b"down", kind, key, box) + b"\x00" + body) + body


def open_signed(envelope: bytes, kind: Kind, box: str, hospital: Ed25519PublicKey) -> bytes:
    """The body of what *hospital* signed for *box*; raises `EnvelopeMalformed` or `SignatureForged`."""
    start = _HEAD + SIGNATURE_BYTES
    if not start < len(envelope) <= start + MOST_MESSAGE_BYTES or envelope[:_MAGIC] != _DOWN:
        raise EnvelopeMalformed(where=f"{len(envelope)} B")
    key, body = envelope[_MAGIC:_HEAD], envelope[start:]
    if key != compute_key_id(hospital):
        raise SignatureForged
    _verify(hospital, envelope[_HEAD:start], bind_context(b"down", kind, key, box) + b"\x00" + body)
    return body


def _verify(signer: Ed25519PublicKey, signature: bytes, signed: bytes) -> None:
    try:
        signer.verify(signature, signed)
    except InvalidSignature:
        raise SignatureForged from None


# --- files that people carry between box and hospital, once -------------------------------------------------------

_RAW: Final = matching_text(r"[0-9a-f]{64}")
_PEM: Final = matching_text(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{1,4000}-----END CERTIFICATE-----\n")
_HOST: Final = matching_text(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")


@message
class HospitalBundle(Message):
    """What a box must know of the hospital: its public keys, its broker, and the CA of the broker's certificate."""

    name: ClassVar = "lantern-hospital"
    verify: VerifyKey
    seal: SealKey
    serial: Annotated[int, bounded_int(1, 10**6)]
    host: Annotated[str, _HOST]
    port: Annotated[int, bounded_int(1, 65535)]
    authority: Annotated[str, _PEM]

    @property
    def verify_key(self) -> Ed25519PublicKey:
        return parse_verify_key(self.verify)

    @property
    def fingerprint(self) -> str:
        return compute_fingerprint(self)


@message
class BoxBundle(Message):
    """What the hospital needs to enrol a box: its id, its Ed25519 key and the key of its TLS certificate (P-256)."""

    name: ClassVar = "lantern-box"
    box: Annotated[str, matching_text(BOX_ID)]
    verify: VerifyKey
    tls: Annotated[str, matching_text(r"04[0-9a-f]{128}")]  # SEC 1, uncompressed point
    proof: Annotated[str, matching_text(r"[0-9a-f]{128}")]

    @classmethod
    def create(cls, box: str, signer: Ed25519PrivateKey, tls: str) -> BoxBundle:
        """The bundle, proved with the box's own key."""
        proof = signer.sign(_claim_bytes(box, tls)).hex()
        return cls(box, signer.public_key().public_bytes_raw().hex(), tls, proof)

    @property
    def verify_key(self) -> Ed25519PublicKey:
        return parse_verify_key(self.verify)

    def check_proof(self) -> None:
        """Raise `SignatureForged` unless whoever made it holds the box's key."""
        _verify(self.verify_key, bytes.fromhex(self.proof), _claim_bytes(self.box, self.tls))

    @property
    def fingerprint(self) -> str:
        return compute_fingerprint(self)


@message
class Enrolment(Message):
    """The hospital's answer to a `BoxBundle`: the certificate with which the box may talk to the broker."""

    name: ClassVar = "lantern-enrolment"
    box: Annotated[str, matching_text(BOX_ID)]
    certificate: Annotated[str, _PEM]


_PLAIN_TEXT: Final = matching_text(r"[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,60}")
_AE_TITLE: Final = matching_text(r"[ -\[\]-~]{1,16}")  # PS3.5 6.2, VR AE


@message
class Provisioning(Message):
    """Everything that a box needs at its first start.  A person carries it; it is never sent over MQTT."""

    name: ClassVar = "lantern-provisioning"
    box: Annotated[str, matching_text(BOX_ID)]
    clinic: Annotated[str, _PLAIN_TEXT]
    language: Annotated[str, matching_text(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")]
    zone: Annotated[str, matching_text(r"[A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){0,2}")]
    ae_title: Annotated[str, _AE_TITLE]
    calling: Annotated[tuple[Annotated[str, _AE_TITLE], ...], bounded_tuple(64)]
    pacs_host: Annotated[str, matching_text(r"([A-Za-z0-9][A-Za-z0-9.:-]{0,252})?")]  # empty: none
    pacs_port: Annotated[int, bounded_int(1, 65535)]
    pacs_ae_title: Annotated[str, _AE_TITLE]
    device: Annotated[str, matching_text(r"([0-9a-f]{6})?")]  # the machine it is for; empty: any
    hospital: HospitalBundle
    claim: Annotated[str, _RAW]  # `compute_claim_mark` of the code on the label
    nonce: Annotated[
        str, matching_text(r"[0-9a-f]{32}")
    ]  # `ProvisioningFinder.make_nonce`; earlier versions drew all of it
    made: Annotated[int, bounded_int(0, 2**40)]  # both in Unix seconds of the hospital's clock
    expires: Annotated[int, bounded_int(0, 2**40)]


@message
class SignedProvisioning(Message):
    """A provisioning file: what it says, and the signature of the hospital that it names."""

    name: ClassVar = "lantern-provisioning-signed"
    content: Provisioning
    signature: Annotated[str, matching_text(r"[0-9a-f]{128}")]

    @classmethod
    def create(cls, content: Provisioning, signer: Ed25519PrivateKey) -> SignedProvisioning:
        return cls(content, signer.sign(_encode_signed(content)).hex())

    def check_signature(self) -> None:
        """Raise `SignatureForged` unless the hospital named inside signed it.

        Whether that hospital is to be trusted is for the caller to decide.
        """
        _verify(self.content.hospital.verify_key, bytes.fromhex(self.signature), _encode_signed(self.content))


def _encode_signed(content: Provisioning) -> bytes:
    return b"\x00".join((b"lantern/1", b"provisioning", content.box.encode(), content.encode()))


def compute_claim_mark(code: str, nonce: str, box: str, hospital: str) -> str:
    """Proof that whoever made a provisioning file knows the *code* on the box's label and meant this *hospital*.

    *hospital* is its verifying key, in hexadecimal.  The box computes the mark from its label and compares.  The code
    has 58 bits and a stick with the file may be lost: scrypt (RFC 7914) with 16 MiB makes each guess expensive.
    """
    return _stretch_code(code, b"claim", nonce, box, hospital).hex()


_FINDABLE: Final = "6c6e6631"  # the first 4 bytes of a nonce; one that was all drawn has them once in 2^32
_DRAWN_DIGITS: Final = 8


class ProvisioningFinder:
    """Finds the file of a label's code among all files of one hospital with a single scrypt.

    Each file's nonce ends with an HMAC over the rest of it and the box's id, under its code's key at this *hospital*.

    It only says where to look: the file is believed by its `compute_claim_mark`. Who holds n files tests a guess on all
    of them at once, which takes log2(n) of the code's 58 bits.
    """

    def __init__(self, code: str, hospital: str) -> None:
        self._key = _stretch_code(code, b"find", hospital)

    def make_nonce(self, box: str) -> str:
        """A fresh nonce for the file of *box*."""
        head = _FINDABLE + secrets.token_hex(_DRAWN_DIGITS // 2)
        return head + self._mark(head, box)

    def matches(self, nonce: str, box: str) -> bool:
        """Whether the file of *box* with this *nonce* is the code's."""
        head = nonce[: len(_FINDABLE) + _DRAWN_DIGITS]
        return hmac.compare_digest(head + self._mark(head, box), nonce)

    def _mark(self, head: str, box: str) -> str:
        return hmac.digest(self._key, f"{head}\x00{box}".encode(), "sha256").hex()[: 32 - len(head)]


def is_findable(nonce: str) -> bool:
    """Whether a file with this *nonce* was made for a `ProvisioningFinder`; one of an earlier version was not."""
    return nonce.startswith(_FINDABLE)


def derive_enrolment_key(code: str, nonce: str, box: str) -> bytes:
    """The key that box and hospital share for one enrolment over the line (`messages/enrolment.py`), from the label's
    *code*: 32 bytes, as dear to guess as the mark above."""
    return _stretch_code(code, b"enrol", nonce, box)


def normalize_code(code: str) -> str:
    """*code* as it is compared: a person may type spaces, hyphens and small letters."""
    return re.sub(r"[\s\-]", "", code).upper()


def _stretch_code(code: str, purpose: bytes, *context: str) -> bytes:
    salt = b"\x00".join((b"lantern/1", purpose, *(part.encode() for part in context)))
    plain = normalize_code(code).encode("utf-8", "replace")
    return hashlib.scrypt(plain, salt=salt, n=2**14, r=8, p=1, dklen=32)


def compute_fingerprint(bundle: Message) -> str:
    """64 bits of a bundle's hash, in groups that two people can compare over the telephone."""
    digest = hashlib.sha256(bundle.encode()).hexdigest()[:16]
    return " ".join(digest[at : at + 4] for at in range(0, 16, 4))


def _claim_bytes(box: str, tls: str) -> bytes:
    return b"\x00".join((b"lantern/1", b"box", box.encode(), tls.encode()))

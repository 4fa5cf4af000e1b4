"""Enrolment over the line: a request of the box and an answer of the hospital, each proved with the label's code.

    request    the box's bundle, a nonce, and an HMAC-SHA256 over both
    answer     the request's hash, the hospital's bundle, the box's certificate, and an HMAC-SHA256 over all three

The key of both HMACs is scrypt of the code with the nonce and the box's id (`derive_enrolment_key`).  Nothing in them
is secret: the proofs say that the sender has the label.  So neither needs a certificate, a clock or a trusted broker.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated, ClassVar, Final

from firmware_app.uplink.errors import ENROLMENT_PROOF_WRONG
from firmware_app.uplink.messages.envelope import BoxBundle, Enrolment, HospitalBundle, derive_enrolment_key
from firmware_app.uplink.messages.message import Message, bounded_int, matching_text, message

MOST_ENROLMENT_BYTES: Final = 6_144
"""The longest of the two, in bytes."""
ENROLMENT_TOPIC: Final = "lantern/v1/enrol"
TOKEN_PATTERN: Final = r"[0-9a-f]{32}"
"""A box draws one at each start.  It is its client id, and the end of the topics that it may write and read."""
_RAW: Final = matching_text(r"[0-9a-f]{64}")
_HOST: Final = matching_text(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")


def enrolment_port(line: int) -> int:
    """The port on which boxes ask to be enrolled: the next after that of the line."""
    return line + 1 if line < 65_535 else line - 1


@message
class EnrolRequest(Message):
    """What a box asks."""

    name: ClassVar = "enrol"
    box: BoxBundle
    nonce: Annotated[str, matching_text(r"[0-9a-f]{32}")]
    proof: Annotated[str, _RAW]

    @classmethod
    def create(cls, box: BoxBundle, code: str) -> tuple[EnrolRequest, bytes]:
        """A request of *box*, and the key with which its answer is proved."""
        nonce = secrets.token_hex(16)
        key = derive_enrolment_key(code, nonce, box.box)
        return cls(box, nonce, _request_proof(key, box, nonce)), key

    def check_proof(self, code: str) -> bytes:
        """The key of the answer; raises `ENROLMENT_PROOF_WRONG` unless the request was made with *code*, and
        `SignatureForged` unless by the holder of the box's key."""
        key = derive_enrolment_key(code, self.nonce, self.box.box)
        if not hmac.compare_digest(_request_proof(key, self.box, self.nonce), self.proof):
            raise ENROLMENT_PROOF_WRONG(box=self.box.box)
        self.box.check_proof()
        return key


@message
class EnrolAnswer(Message):
    """What the hospital answers."""

    name: ClassVar = "enrolled"
    request: Annotated[str, _RAW]
    hospital: HospitalBundle
    enrolment: Enrolment
    proof: Annotated[str, _RAW]

    @classmethod
    def create(cls, request: bytes, hospital: HospitalBundle, enrolment: Enrolment, key: bytes) -> EnrolAnswer:
        """The answer to *request* as it came, proved with its *key*."""
        asked = hashlib.sha256(request).hexdigest()
        return cls(asked, hospital, enrolment, _answer_proof(key, asked, hospital, enrolment))

    def check_proof(self, request: bytes, key: bytes) -> None:
        """Raise `ENROLMENT_PROOF_WRONG` unless a holder of the code has answered exactly *request*."""
        proof = _answer_proof(key, hashlib.sha256(request).hexdigest(), self.hospital, self.enrolment)
        if not hmac.compare_digest(proof, self.proof):
            raise ENROLMENT_PROOF_WRONG(box=self.enrolment.box)


@message
class EnrolCall(Message):
    """What root leaves for the uplink, which alone may dial: where to ask, and the request.  The key stays root's."""

    name: ClassVar = "enrol-call"
    host: Annotated[str, _HOST]
    port: Annotated[int, bounded_int(1, 65535)]
    request: EnrolRequest


def _request_proof(key: bytes, box: BoxBundle, nonce: str) -> str:
    return _proof(key, b"request", nonce.encode(), box.encode())


def _answer_proof(key: bytes, asked: str, hospital: HospitalBundle, enrolment: Enrolment) -> str:
    return _proof(key, b"answer", asked.encode(), hospital.encode(), enrolment.encode())


def _proof(key: bytes, *parts: bytes) -> str:
    """The parts are canonical JSON or hexadecimal, so none holds the zero byte between them."""
    return hmac.digest(key, b"\x00".join((b"lantern/1", b"enrol", *parts)), "sha256").hex()

"""Public keys in messages.  A key of small order is refused: anybody could sign for it or open what is sealed to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import AfterValidator

from firmware_app.uplink.errors import MessageInvalid

_FIELD: Final = 2**255 - 19
_DIGITS: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def parse_seal_key(raw: str) -> X25519PublicKey:
    """The public key of 64 hexadecimal digits; raises `MessageInvalid` for one of small order."""
    if not (_DIGITS.fullmatch(raw) and _is_usable_x25519(bytes.fromhex(raw))):
        raise MessageInvalid(field="seal")
    return X25519PublicKey.from_public_bytes(bytes.fromhex(raw))


def parse_verify_key(raw: str) -> Ed25519PublicKey:
    """The public key of 64 hexadecimal digits; raises `MessageInvalid` for one of small order."""
    if not (_DIGITS.fullmatch(raw) and _is_usable_ed25519(bytes.fromhex(raw))):
        raise MessageInvalid(field="verify")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw))


def _check_key(parse: Callable[[str], object]) -> AfterValidator:
    def check(raw: str) -> str:
        try:
            parse(raw)
        except MessageInvalid:
            raise ValueError("no usable key") from None
        return raw

    return AfterValidator(check)


SealKey = Annotated[str, _check_key(parse_seal_key)]
"""An X25519 public key (RFC 7748), raw, in hexadecimal."""
VerifyKey = Annotated[str, _check_key(parse_verify_key)]
"""An Ed25519 public key (RFC 8032), raw, in hexadecimal."""


def _is_usable_x25519(public: bytes) -> bool:
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # the shared secret would be zero
        return False
    return True


def _is_usable_ed25519(public: bytes) -> bool:
    """Whether the key has a large order.

    It checks the same point on Curve25519, u = (1 + y) / (1 - y) (RFC 7748 4.1): X25519 refuses those of small order.
    """
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    if y >= _FIELD or y == 1:
        return False
    return _is_usable_x25519(((1 + y) * pow(1 - y, -1, _FIELD) % _FIELD).to_bytes(32, "little"))

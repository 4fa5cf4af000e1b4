"""Public keys in messages.  A key of small order is refused: anybody could sign for it or open what is sealed to it."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from firmware_app.uplink.errors import (
    MessageInvalid,
)
from firmware_app.uplink.messages.message import Text

_FIELD: Final = 2**255 - 19


class SealKey(Text):
    """An X25519 public key (RFC 7748), raw, in hexadecimal."""

    def __init__(self) -> None:
        super().__init__(r"[0-9a-f]{64}")

    def accepts(self, value: object) -> bool:
        return super().accepts(value) and isinstance(value, str) and _is_usable_x25519(bytes.fromhex(value))


class VerifyKey(Text):
    """An Ed25519 public key (RFC 8032), raw, in hexadecimal."""

    def __init__(self) -> None:
        super().__init__(r"[0-9a-f]{64}")

    def accepts(self, value: object) -> bool:
        return super().accepts(value) and isinstance(value, str) and _is_usable_ed25519(bytes.fromhex(value))


def parse_seal_key(raw: str) -> X25519PublicKey:
    """The public key of 64 hexadecimal digits; raises `MessageInvalid` for one of small order."""
    if not SealKey().accepts(raw):
        raise MessageInvalid(field="seal")
    return X25519PublicKey.from_public_bytes(bytes.fromhex(raw))


def parse_verify_key(raw: str) -> Ed25519PublicKey:
    """The public key of 64 hexadecimal digits; raises `MessageInvalid` for one of small order."""
    if not VerifyKey().accepts(raw):
        raise MessageInvalid(field="verify")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw))


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

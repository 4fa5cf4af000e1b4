"""A file of a backup on the clinic's own disk or share: whoever finds the disk reads nothing, nor does the box itself.

It is locked to the public half of a recovery code, which is shown once, on paper.  The box keeps that half alone: what
a thief finds on the box opens no backup.

    LNB1 | key id, 8 | HPKE: enc, 32 + file key, 32 + tag, 16
    pieces of 256 KiB of the content, the last one shorter, each under AES-256-GCM with the file key + tag, 16

HPKE, pieces and nonces are those of `sealed_export`: no piece can be left out, moved or taken from another file.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firmware_app.core.errors import BackupDamaged, RecoveryCodeInvalid, RecoveryCodeOther
from firmware_app.uplink.messages.envelope import SUITE, key_id

PIECE: Final = 1 << 18
_MAGIC: Final = b"LNB1"
_ID, _KEY, _TAG, _ENC = 8, 32, 16, 32
HEAD: Final = len(_MAGIC) + _ID + _ENC + _KEY + _TAG
_PURPOSE: Final = b"lantern\0backup\0001"
_SECRET_BYTES, _CHECK_BYTES, _GROUP = 20, 2, 4
_LIKE: Final = str.maketrans("01", "OI")  # base32 has neither; a reader of paper may type them


def new_code() -> str:
    """A recovery code of 160 bits, in groups for paper; its last letters tell a slip of the pen."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    text = base64.b32encode(secret + _check(secret)).decode().rstrip("=")
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def key_of(code: str) -> X25519PrivateKey:
    """The private key of a recovery code as a person types it; raises `RecoveryCodeInvalid`."""
    text = re.sub(r"[\s-]", "", code).upper().translate(_LIKE)
    try:
        given = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raise RecoveryCodeInvalid from None
    secret, check = given[:_SECRET_BYTES], given[_SECRET_BYTES:]
    if len(secret) != _SECRET_BYTES or check != _check(secret):
        raise RecoveryCodeInvalid
    return X25519PrivateKey.from_private_bytes(HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret))


def _check(secret: bytes) -> bytes:
    return hashlib.sha256(_PURPOSE + secret).digest()[:_CHECK_BYTES]


class Sink(Protocol):
    """What content is written into."""

    def write(self, data: bytes, /) -> int: ...


class Locker:
    """Writes content into *handle*, an empty file; `finish` makes it whole."""

    def __init__(self, handle: Sink, public: X25519PublicKey) -> None:
        key, mark = secrets.token_bytes(_KEY), key_id(public)
        self._handle, self._cipher, self._number = handle, AESGCM(key), 0
        self._waiting = bytearray()
        handle.write(_MAGIC + mark + SUITE.encrypt(key, public, _PURPOSE + mark))

    def write(self, data: bytes) -> int:
        """Take *data*, as a file would."""
        self._waiting += data
        while len(self._waiting) > PIECE:
            self._piece(PIECE, last=False)
        return len(data)

    def finish(self) -> None:
        self._piece(len(self._waiting), last=True)

    def _piece(self, size: int, *, last: bool) -> None:
        piece = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._handle.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1


def opened(handle: BinaryIO, private: X25519PrivateKey, name: str) -> Iterator[bytes]:
    """The content of the locked file *name* from *handle*, each piece authenticated before it is given.

    Raises `RecoveryCodeOther`, and `BackupDamaged` for a file that was cut or changed, at the latest at its end.
    """
    mark = key_id(private.public_key())
    head = handle.read(HEAD)
    if len(head) < HEAD or not head.startswith(_MAGIC):
        raise BackupDamaged(file=name)
    if head[len(_MAGIC) : len(_MAGIC) + _ID] != mark:
        raise RecoveryCodeOther
    try:
        cipher = AESGCM(SUITE.decrypt(head[len(_MAGIC) + _ID :], private, _PURPOSE + mark))
        piece, number = handle.read(PIECE + _TAG), 0
        while True:
            following = handle.read(PIECE + _TAG)
            yield cipher.decrypt(_nonce(number, last=not following), piece, None)
            if not following:
                return
            piece, number = following, number + 1
    except (InvalidTag, ValueError):
        raise BackupDamaged(file=name) from None


def mark_of(path: Path) -> bytes | None:
    """The id of the key that the file at *path* is locked with; None where that is no locked file."""
    with path.open("rb") as handle:
        head = handle.read(HEAD)
    whole = len(head) == HEAD and head.startswith(_MAGIC)
    return head[len(_MAGIC) : len(_MAGIC) + _ID] if whole else None


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])

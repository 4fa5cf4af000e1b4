"""Encrypted files: a case that a person carries to the hospital (LNX1), and a file of a backup (LNB1).

Both hold their content in pieces of 256 KiB, the last one shorter, each under AES-256-GCM with the file key + tag, 16.
Piece number N has the nonce N (11 bytes, big endian) and a byte that is 1 for the last piece (the STREAM construction
of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): no piece can be left out, moved or taken from another file.

A sealed export can be made by one box only and opened by one hospital only.  It is never sent over MQTT, and no process
of the box writes it: a named person asks for it at the console (`firmware_app.results.sealed_case`), and
``lantern-hospital open`` opens it.

    LNX1 | key id, 8 | box, 40 | HPKE: enc, 32 + ( file key, 32 | length, 8 | SHA-256, 32 | signature, 64 ) + tag, 16

The box's Ed25519 signature is over the file key, the length and the hash of all content, so the sender is proved before
the first piece is decrypted.  The head is written last: an unfinished file begins with zeros and is refused.

A locked file of a backup lies on the clinic's own disk or share.  It is locked to the public half of a recovery code,
which is shown once, on paper.  The box keeps that half alone, so a thief who has disk and box opens no backup.

    LNB1 | key id, 8 | HPKE: enc, 32 + file key, 32 + tag, 16
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firmware_app.uplink.errors import (
    BOX_UNKNOWN,
    CARRIED_CUT,
    CARRIED_ELSEWHERE,
    CARRIED_KEY_RETIRED,
    CARRIED_UNKNOWN,
    RECOVERY_CODE_INVALID,
    BackupDamaged,
    CarriedAltered,
    RecoveryCodeOther,
    SignatureForged,
)
from firmware_app.uplink.messages.envelope import SUITE, compute_key_id
from firmware_app.uplink.messages.summary import BOX_ID

PIECE_BYTES: Final = 1 << 18
_EXPORT_MAGIC: Final = b"LNX1"
_ID, _BOX, _KEY, _LENGTH, _HASH, _SIGNATURE, _TAG = 8, 40, 32, 8, 32, 64, 16
_CLEAR: Final = len(_EXPORT_MAGIC) + _ID + _BOX
_INSIDE: Final = _KEY + _LENGTH + _HASH + _SIGNATURE
EXPORT_HEAD_BYTES: Final = _CLEAR + 32 + _INSIDE + _TAG


class ByteSink(Protocol):
    """What content is written into."""

    def write(self, data: bytes, /) -> int: ...


class _PieceWriter:
    """Encrypts content into *handle*, a piece at a time."""

    def __init__(self, handle: ByteSink, key: bytes) -> None:
        self._handle, self._cipher, self._number = handle, AESGCM(key), 0
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        """Take *data*; at most two pieces are held in memory."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES):
            self._waiting += view[start : start + PIECE_BYTES]
            while len(self._waiting) > PIECE_BYTES:
                self._write_piece(PIECE_BYTES, last=False)

    def finish(self) -> None:
        self._write_piece(len(self._waiting), last=True)

    def _write_piece(self, size: int, *, last: bool) -> None:
        piece = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._handle.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1


class SealedExportWriter:
    """Writes content into *handle*, an empty file that can seek; before `finish` the file cannot be opened."""

    def __init__(self, handle: BinaryIO, box: str, signer: Ed25519PrivateKey, hospital: X25519PublicKey) -> None:
        self._handle, self._box, self._signer, self._hospital = handle, box, signer, hospital
        self._key = secrets.token_bytes(_KEY)
        self._pieces = _PieceWriter(handle, self._key)
        self._digest, self._length = hashlib.sha256(), 0
        handle.write(bytes(EXPORT_HEAD_BYTES))

    def write(self, data: bytes) -> None:
        """Take *data*."""
        self._digest.update(data)
        self._length += len(data)
        self._pieces.write(data)

    def finish(self) -> None:
        """Write the last piece and the head, durably, in this order."""
        self._pieces.finish()
        _flush_to_disk(self._handle)
        key = compute_key_id(self._hospital)
        bound = _bind_context(key, self._box)
        head = self._key + self._length.to_bytes(_LENGTH) + self._digest.digest()
        inside = head + self._signer.sign(bound + b"\x00" + head)
        self._handle.seek(0)
        self._handle.write(_EXPORT_MAGIC + key + self._box.encode().ljust(_BOX, b"\x00"))
        self._handle.write(SUITE.encrypt(inside, self._hospital, bound))
        _flush_to_disk(self._handle)


@dataclass(frozen=True, slots=True)
class _ExportHead:
    """The head of a file, its signature checked."""

    box: str
    key: bytes
    length: int
    digest: bytes


class SealedExportReader:
    """The content of a sealed file, piece by piece, each authenticated before `read` returns it.

    At the end of the content its hash is checked; `finish` reads to there.  Opening raises `CARRIED_UNKNOWN`,
    `CARRIED_CUT`, `CARRIED_ELSEWHERE`, `CARRIED_KEY_RETIRED`, `BOX_UNKNOWN` or `SignatureForged`, reading
    `CarriedAltered`.
    """

    def __init__(
        self,
        handle: BinaryIO,
        boxes: Mapping[str, Ed25519PublicKey],
        private: Mapping[bytes, X25519PrivateKey],
        retired: Container[bytes] = (),
    ) -> None:
        """*boxes* are those that the hospital knows, *private* its keys by id, *retired* the ids of former ones."""
        try:
            head = handle.read(EXPORT_HEAD_BYTES)
        except OSError:  # a failing stick, or no regular file
            raise CarriedAltered(piece=0) from None
        self._head = _open_head(head, boxes, private, retired)
        self.box = self._head.box
        _require_size(handle, self._head.length)
        self._pieces, self._left = self._opening(handle), b""

    def read(self, size: int) -> bytes:
        """At most *size* more bytes; none at the end, when the whole content has proved to be what the box signed."""
        if not self._left:
            self._left = next(self._pieces, b"")
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def finish(self) -> None:
        """Read what is left."""
        while self.read(PIECE_BYTES):
            pass

    def _opening(self, handle: BinaryIO) -> Iterator[bytes]:
        cipher, digest = AESGCM(self._head.key), hashlib.sha256()
        count = _count_pieces(self._head.length)
        for number in range(count):
            is_last = number == count - 1
            try:
                piece = cipher.decrypt(_nonce(number, last=is_last), handle.read(PIECE_BYTES + _TAG), None)
            except (InvalidTag, ValueError, OSError):  # ValueError: shorter than a tag; OSError: a stick that is ill
                raise CarriedAltered(piece=number + 1) from None
            digest.update(piece)
            if is_last and digest.digest() != self._head.digest:
                raise CarriedAltered(piece=number + 1)
            yield piece


def _open_head(
    head: bytes,
    boxes: Mapping[str, Ed25519PublicKey],
    private: Mapping[bytes, X25519PrivateKey],
    retired: Container[bytes],
) -> _ExportHead:
    key, box = (
        head[len(_EXPORT_MAGIC) : len(_EXPORT_MAGIC) + _ID],
        head[len(_EXPORT_MAGIC) + _ID : _CLEAR].rstrip(b"\x00"),
    )
    name = box.decode("ascii", "replace")
    if (
        len(head) != EXPORT_HEAD_BYTES
        or not head.startswith(_EXPORT_MAGIC)
        or re.fullmatch(BOX_ID, name, re.ASCII) is None
    ):
        raise CARRIED_UNKNOWN()
    if key not in private:
        raise (CARRIED_KEY_RETIRED if key in retired else CARRIED_ELSEWHERE)(key=key.hex())
    if name not in boxes:
        raise BOX_UNKNOWN(box=name)
    bound = _bind_context(key, name)
    try:
        inside = SUITE.decrypt(head[_CLEAR:], private[key], bound)
    except (InvalidTag, ValueError):  # ValueError: an `enc` of small order
        raise CarriedAltered(piece=0) from None
    head, signature = inside[:-_SIGNATURE], inside[-_SIGNATURE:]
    try:
        boxes[name].verify(signature, bound + b"\x00" + head)
    except InvalidSignature:
        raise SignatureForged from None
    length = int.from_bytes(head[_KEY : _KEY + _LENGTH])
    return _ExportHead(name, head[:_KEY], length, head[_KEY + _LENGTH :])


def _require_size(handle: BinaryIO, length: int) -> None:
    """Raise unless the file is as long as its head says; cheap, so it comes before any decryption."""
    wanted = EXPORT_HEAD_BYTES + length + _TAG * _count_pieces(length)
    size = os.fstat(handle.fileno()).st_size
    if size < wanted:
        raise CARRIED_CUT(missing=wanted - size)
    if size > wanted:
        raise CarriedAltered(piece=_count_pieces(length))


def _count_pieces(length: int) -> int:
    return max(1, -(-length // PIECE_BYTES))


def _bind_context(key: bytes, box: str) -> bytes:
    """What HPKE and signature are bound to: version, purpose, the key id, the box (see `envelope.bind_context`)."""
    return b"\x00".join((b"lantern/1", b"carried", b"export", key.hex().encode(), box.encode()))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def _flush_to_disk(handle: BinaryIO) -> None:
    handle.flush()
    os.fsync(handle.fileno())


_LOCKED_MAGIC: Final = b"LNB1"
LOCKED_HEAD_BYTES: Final = len(_LOCKED_MAGIC) + _ID + 32 + _KEY + _TAG
_BACKUP_PURPOSE: Final = b"lantern\0backup\0001"
_SECRET_BYTES, _CHECK_BYTES, _GROUP = 20, 2, 4
_LOOK_ALIKES: Final = str.maketrans("01", "OI")  # base32 has neither; a reader of paper may type them


def make_recovery_code() -> str:
    """A recovery code of 160 bits, in groups for paper; its last letters tell a slip of the pen."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    text = base64.b32encode(secret + _compute_check(secret)).decode().rstrip("=")
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def derive_recovery_key(code: str) -> X25519PrivateKey:
    """The private key of a recovery code as a person types it; raises `RECOVERY_CODE_INVALID`."""
    text = re.sub(r"[\s-]", "", code).upper().translate(_LOOK_ALIKES)
    try:
        given = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raise RECOVERY_CODE_INVALID() from None
    secret, check = given[:_SECRET_BYTES], given[_SECRET_BYTES:]
    if len(secret) != _SECRET_BYTES or check != _compute_check(secret):
        raise RECOVERY_CODE_INVALID()
    return X25519PrivateKey.from_private_bytes(HKDF(SHA256(), 32, salt=None, info=_BACKUP_PURPOSE).derive(secret))


def _compute_check(secret: bytes) -> bytes:
    return hashlib.sha256(_BACKUP_PURPOSE + secret).digest()[:_CHECK_BYTES]


class LockedFileWriter:
    """Writes content into *handle*, an empty file; `finish` makes it whole."""

    def __init__(self, handle: ByteSink, public: X25519PublicKey) -> None:
        key, mark = secrets.token_bytes(_KEY), compute_key_id(public)
        self._pieces = _PieceWriter(handle, key)
        handle.write(_LOCKED_MAGIC + mark + SUITE.encrypt(key, public, _BACKUP_PURPOSE + mark))

    def write(self, data: bytes) -> int:
        """Take *data*, as a file would."""
        self._pieces.write(data)
        return len(data)

    def finish(self) -> None:
        self._pieces.finish()


def read_locked_file(handle: BinaryIO, private: X25519PrivateKey, name: str) -> Iterator[bytes]:
    """The content of the locked file *name* from *handle*, each piece authenticated before it is given.

    Raises `RecoveryCodeOther`, and `BackupDamaged` for a file that was cut or changed, at the latest at its end.
    """
    mark = compute_key_id(private.public_key())
    head = handle.read(LOCKED_HEAD_BYTES)
    if len(head) < LOCKED_HEAD_BYTES or not head.startswith(_LOCKED_MAGIC):
        raise BackupDamaged(file=name)
    if head[len(_LOCKED_MAGIC) : len(_LOCKED_MAGIC) + _ID] != mark:
        raise RecoveryCodeOther
    try:
        cipher = AESGCM(SUITE.decrypt(head[len(_LOCKED_MAGIC) + _ID :], private, _BACKUP_PURPOSE + mark))
        piece, number = handle.read(PIECE_BYTES + _TAG), 0
        while True:
            following = handle.read(PIECE_BYTES + _TAG)
            yield cipher.decrypt(_nonce(number, last=not following), piece, None)
            if not following:
                return
            piece, number = following, number + 1
    except (InvalidTag, ValueError):
        raise BackupDamaged(file=name) from None


def read_locked_key_id(path: Path) -> bytes | None:
    """The id of the key that the file at *path* is locked with; None where that is no locked file."""
    with path.open("rb") as handle:
        head = handle.read(LOCKED_HEAD_BYTES)
    whole = len(head) == LOCKED_HEAD_BYTES and head.startswith(_LOCKED_MAGIC)
    return head[len(_LOCKED_MAGIC) : len(_LOCKED_MAGIC) + _ID] if whole else None

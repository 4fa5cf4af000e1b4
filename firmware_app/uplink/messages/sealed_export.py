"""A case that a person carries to the hospital: one file that only this box can make and only that hospital can open.

It is never sent over MQTT, and no process of the box writes it: a named person asks for it at the console
(`firmware_app.results.export.sealed_case`), and ``lantern-hospital open`` opens it.

    LNX1 | key id, 8 | box, 40 | HPKE: enc, 32 + ( file key, 32 | length, 8 | SHA-256, 32 | signature, 64 ) + tag, 16
    pieces of 256 KiB of the content, the last one shorter, each under AES-256-GCM with the file key + tag, 16

Piece number N has the nonce N (11 bytes, big endian) and a byte that is 1 for the last piece (the STREAM construction
of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): no piece can be left out, moved or taken from another file.  The
box's Ed25519 signature is over the file key, the length and the hash of all content, so the sender is proved before
the first piece is decrypted.  The head is written last: an unfinished file begins with zeros and is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from firmware_app.core.errors import (
    BoxUnknown,
    CarriedAltered,
    CarriedCut,
    CarriedElsewhere,
    CarriedKeyRetired,
    CarriedUnknown,
    LanternError,
    SignatureForged,
)
from firmware_app.uplink.messages.credentials import open_keys
from firmware_app.uplink.messages.envelope import SUITE, HospitalBundle, key_id
from firmware_app.uplink.messages.keys import seal_key
from firmware_app.uplink.messages.summary import BOX_ID

PIECE: Final = 1 << 18
_MAGIC: Final = b"LNX1"
_ID, _BOX, _KEY, _LENGTH, _HASH, _SIGNATURE, _TAG = 8, 40, 32, 8, 32, 64, 16
_CLEAR: Final = len(_MAGIC) + _ID + _BOX
_INSIDE: Final = _KEY + _LENGTH + _HASH + _SIGNATURE
HEAD: Final = _CLEAR + 32 + _INSIDE + _TAG


def newest(hospital: HospitalBundle, box: str, signed: bytes | None) -> X25519PublicKey:
    """The hospital's current sealing key: that of its bundle, unless its latest keys message to *box* has a newer one.

    *signed* is that message.  An invalid one is ignored; a weak key in the bundle raises `MessageInvalid`.
    """
    if signed is not None:
        try:
            keys, _ = open_keys(signed, box, hospital)
            if keys.serial > hospital.serial:
                return seal_key(keys.seal)
        except LanternError:  # the uplink has logged it
            pass
    return seal_key(hospital.seal)


class Sealer:
    """Writes content into *handle*, an empty file that can seek; before `finish` the file cannot be opened."""

    def __init__(self, handle: BinaryIO, box: str, signer: Ed25519PrivateKey, hospital: X25519PublicKey) -> None:
        self._handle, self._box, self._signer, self._hospital = handle, box, signer, hospital
        self._key = secrets.token_bytes(_KEY)
        self._cipher = AESGCM(self._key)
        self._digest, self._length, self._number = hashlib.sha256(), 0, 0
        self._waiting = bytearray()
        handle.write(bytes(HEAD))

    def write(self, data: bytes) -> None:
        """Take *data*; at most two pieces are held in memory."""
        self._digest.update(data)
        self._length += len(data)
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            self._waiting += view[start : start + PIECE]
            while len(self._waiting) > PIECE:
                self._piece(PIECE, last=False)

    def finish(self) -> None:
        """Write the last piece and the head, durably, in this order."""
        self._piece(len(self._waiting), last=True)
        _sync(self._handle)
        key = key_id(self._hospital)
        bound = _bound(key, self._box)
        head = self._key + self._length.to_bytes(_LENGTH) + self._digest.digest()
        inside = head + self._signer.sign(bound + b"\x00" + head)
        self._handle.seek(0)
        self._handle.write(_MAGIC + key + self._box.encode().ljust(_BOX, b"\x00"))
        self._handle.write(SUITE.encrypt(inside, self._hospital, bound))
        _sync(self._handle)

    def _piece(self, size: int, *, last: bool) -> None:
        piece = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._handle.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1


@dataclass(frozen=True, slots=True)
class _Head:
    """The head of a file, its signature checked."""

    box: str
    key: bytes
    length: int
    digest: bytes


class Opened:
    """The content of a sealed file, piece by piece, each authenticated before `read` returns it.

    At the end of the content its hash is checked; `finish` reads to there.  Opening raises `CarriedUnknown`,
    `CarriedCut`, `CarriedElsewhere`, `CarriedKeyRetired`, `BoxUnknown` or `SignatureForged`, reading `CarriedAltered`.
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
            head = handle.read(HEAD)
        except OSError:  # a failing stick, or no regular file
            raise CarriedAltered(piece=0) from None
        self._head = _opened(head, boxes, private, retired)
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
        while self.read(PIECE):
            pass

    def _opening(self, handle: BinaryIO) -> Iterator[bytes]:
        cipher, digest = AESGCM(self._head.key), hashlib.sha256()
        count = _pieces(self._head.length)
        for number in range(count):
            is_last = number == count - 1
            try:
                piece = cipher.decrypt(_nonce(number, last=is_last), handle.read(PIECE + _TAG), None)
            except (InvalidTag, ValueError, OSError):  # ValueError: shorter than a tag; OSError: a stick that is ill
                raise CarriedAltered(piece=number + 1) from None
            digest.update(piece)
            if is_last and digest.digest() != self._head.digest:
                raise CarriedAltered(piece=number + 1)
            yield piece


def _opened(
    head: bytes,
    boxes: Mapping[str, Ed25519PublicKey],
    private: Mapping[bytes, X25519PrivateKey],
    retired: Container[bytes],
) -> _Head:
    key, box = head[len(_MAGIC) : len(_MAGIC) + _ID], head[len(_MAGIC) + _ID : _CLEAR].rstrip(b"\x00")
    name = box.decode("ascii", "replace")
    if len(head) != HEAD or not head.startswith(_MAGIC) or re.fullmatch(BOX_ID, name, re.ASCII) is None:
        raise CarriedUnknown
    if key not in private:
        raise (CarriedKeyRetired if key in retired else CarriedElsewhere)(key=key.hex())
    if name not in boxes:
        raise BoxUnknown(box=name)
    bound = _bound(key, name)
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
    return _Head(name, head[:_KEY], length, head[_KEY + _LENGTH :])


def _require_size(handle: BinaryIO, length: int) -> None:
    """Raise unless the file is as long as its head says; cheap, so it comes before any decryption."""
    wanted = HEAD + length + _TAG * _pieces(length)
    size = os.fstat(handle.fileno()).st_size
    if size < wanted:
        raise CarriedCut(missing=wanted - size)
    if size > wanted:
        raise CarriedAltered(piece=_pieces(length))


def _pieces(length: int) -> int:
    return max(1, -(-length // PIECE))


def _bound(key: bytes, box: str) -> bytes:
    """What HPKE and signature are bound to: version, purpose, the key id, the box (see `envelope.context`)."""
    return b"\x00".join((b"lantern/1", b"carried", b"export", key.hex().encode(), box.encode()))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def _sync(handle: BinaryIO) -> None:
    handle.flush()
    os.fsync(handle.fileno())

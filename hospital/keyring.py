"""The hospital's keys in one folder: the signing key that boxes trust, the sealing key of today, the ids of old ones.

Rotation destroys the old sealing key: what was captured under it can never be opened again.  Nothing is lost by that,
because a box keeps each summary until its receipt has come and seals it afresh whenever it sends it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from firmware_app.errors import KeysExist, KeysMissing
from firmware_app.uplink.envelope import key_id

PrivateKey = Ed25519PrivateKey | X25519PrivateKey


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys, loaded.  `private` and `retired` are by `envelope.key_id`."""

    signer: Ed25519PrivateKey
    serial: int
    current: bytes
    private: dict[bytes, X25519PrivateKey]
    retired: frozenset[bytes]

    @property
    def seal_public(self) -> str:
        """Today's sealing key as it is published: raw, hexadecimal."""
        return self.private[self.current].public_key().public_bytes_raw().hex()

    @property
    def verify_public(self) -> str:
        """The key that verifies the hospital's signature: raw, hexadecimal."""
        return self.signer.public_key().public_bytes_raw().hex()


def make(folder: Path) -> Keyring:
    """The first keys; raises `KeysExist`."""
    if _index(folder).exists():
        raise KeysExist(path=str(folder))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / "sign.pem", pem(Ed25519PrivateKey.generate()))
    _publish(folder, 1, _new_seal(folder), [])
    return load(folder)


def rotate(folder: Path) -> Keyring:
    """A fresh sealing key; the old one is destroyed.  Raises `KeysMissing`."""
    before = load(folder)
    fresh = _new_seal(folder)
    _publish(folder, before.serial + 1, fresh, [key.hex() for key in (*before.retired, before.current)])
    (folder / f"seal-{before.current.hex()}.pem").unlink()
    return load(folder)


def load(folder: Path) -> Keyring:
    """The keys in *folder*; raises `KeysMissing`."""
    try:
        index = json.loads(_index(folder).read_text("utf-8"))
        signer = load_pem_private_key((folder / "sign.pem").read_bytes(), None)
        seal = load_pem_private_key((folder / f"seal-{index['current']}.pem").read_bytes(), None)
    except FileNotFoundError:
        raise KeysMissing(path=str(folder)) from None
    if not isinstance(signer, Ed25519PrivateKey) or not isinstance(seal, X25519PrivateKey):
        raise KeysMissing(path=str(folder))
    current = bytes.fromhex(index["current"])
    return Keyring(signer, index["serial"], current, {current: seal}, frozenset(map(bytes.fromhex, index["retired"])))


def changed(folder: Path) -> int:
    """A number that differs after a rotation; cheap to ask."""
    return _index(folder).stat().st_mtime_ns


def pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_private(path: Path, data: bytes) -> None:
    """A file only its owner may read, durable on return."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as handle:  # noqa: PTH123 - the descriptor carries the mode
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _new_seal(folder: Path) -> str:
    key = X25519PrivateKey.generate()
    name = key_id(key.public_key()).hex()
    write_private(folder / f"seal-{name}.pem", pem(key))
    return name


def _publish(folder: Path, serial: int, current: str, retired: list[str]) -> None:
    fresh = _index(folder).with_suffix(".new")
    write_private(fresh, json.dumps({"serial": serial, "current": current, "retired": retired}).encode())
    fresh.replace(_index(folder))


def _index(folder: Path) -> Path:
    return folder / "keys.json"

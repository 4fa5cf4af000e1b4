"""The hospital's keys in one folder: the signing key that boxes trust, the sealing key of today, the ids of old ones.

Rotation destroys the old sealing key, so captured messages can never be opened again. Nothing is lost: a box keeps each
summary until its receipt has come, and seals it anew whenever it sends it. The index names the one sealing key that may
exist. Any other is left from an interrupted rotation, and is destroyed when the folder is next loaded.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from firmware_app.uplink.messages.envelope import compute_key_id
from hospital.errors import KEYS_EXIST, KEYS_MISSING

PrivateKey = Ed25519PrivateKey | X25519PrivateKey


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys, loaded.  `private` and `retired` are by `envelope.compute_key_id`."""

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


def make_keys(folder: Path) -> Keyring:
    """The first keys; raises `KEYS_EXIST`."""
    make_folder(folder, 0o700)
    with lock_folder(folder):
        if _index_path(folder).exists():
            raise KEYS_EXIST(path=str(folder))
        write_private(folder / "sign.pem", encode_private_key(Ed25519PrivateKey.generate()))
        _publish(folder, 1, _make_seal_key(folder), [])
        return _load(folder)


def rotate(folder: Path) -> Keyring:
    """A fresh sealing key; the old one is destroyed.  Raises `KEYS_MISSING`."""
    with lock_folder(folder):
        before = _load(folder)
        fresh = _make_seal_key(folder)
        _publish(folder, before.serial + 1, fresh, [key.hex() for key in (*before.retired, before.current)])
        return _load(folder)


def replace_seal(folder: Path, least: int) -> Keyring:
    """A fresh sealing key whose number is at least *least*, also where today's is missing.  Raises `KEYS_MISSING`."""
    with lock_folder(folder):
        try:
            index = json.loads(_index_path(folder).read_text("utf-8"))
        except FileNotFoundError:
            raise KEYS_MISSING(path=str(folder)) from None
        fresh = _make_seal_key(folder)
        _publish(folder, max(index["serial"] + 1, least), fresh, [*index["retired"], index["current"]])
        return _load(folder)


def load_keys(folder: Path) -> Keyring:
    """The keys in *folder*, and in it no sealing key beside today's; raises `KEYS_MISSING`."""
    with lock_folder(folder):
        return _load(folder)


def _load(folder: Path) -> Keyring:
    try:
        index = json.loads(_index_path(folder).read_text("utf-8"))
        signer = load_pem_private_key((folder / "sign.pem").read_bytes(), None)
        seal = load_pem_private_key(_seal_path(folder, index["current"]).read_bytes(), None)
    except FileNotFoundError:
        raise KEYS_MISSING(path=str(folder)) from None
    if not isinstance(signer, Ed25519PrivateKey) or not isinstance(seal, X25519PrivateKey):
        raise KEYS_MISSING(path=str(folder))
    _destroy_others(folder, index["current"])
    current = bytes.fromhex(index["current"])
    return Keyring(signer, index["serial"], current, {current: seal}, frozenset(map(bytes.fromhex, index["retired"])))


def _destroy_others(folder: Path, current: str) -> None:
    """No sealing key but *current* stays, also after a power cut."""
    others = [path for path in folder.glob("seal-*.pem") if path != _seal_path(folder, current)]
    for path in others:
        path.unlink()
    if others:
        sync(folder)


def read_change_mark(folder: Path) -> int:
    """A number that changes with a rotation; cheap to read."""
    return _index_path(folder).stat().st_mtime_ns


def encode_private_key(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_private(path: Path, data: bytes) -> None:
    """A file only its owner may read, durable on return; root writes it for the owner of the folder."""
    write_file(path, data, 0o600)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Like `write_private`, with the given *mode*."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as handle:  # noqa: PTH123 - the descriptor carries the mode
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def make_folder(path: Path, mode: int = 0o755) -> None:
    """A folder, where there is none; root makes it for the owner of the one that it lies in."""
    if path.is_dir():
        return
    path.mkdir(parents=True, mode=mode)
    if os.geteuid() == 0:
        around = path.parent.stat()
        os.chown(path, around.st_uid, around.st_gid)


def _make_seal_key(folder: Path) -> str:
    key = X25519PrivateKey.generate()
    name = compute_key_id(key.public_key()).hex()
    write_private(_seal_path(folder, name), encode_private_key(key))
    return name


def _publish(folder: Path, serial: int, current: str, retired: list[str]) -> None:
    fresh = _index_path(folder).with_suffix(".new")
    write_private(fresh, json.dumps({"serial": serial, "current": current, "retired": retired}).encode())
    sync(folder)  # the key that the new index names is there before that index is
    fresh.replace(_index_path(folder))
    sync(folder)


def sync(folder: Path) -> None:
    """Make new, renamed and removed entries of *folder* durable on the disk (fsync)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the exclusive lock of *folder*; raises `KEYS_MISSING` where there is none.

    A key that is not in the index yet must not pass for an old one, and no revoked certificate may leave the list.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise KEYS_MISSING(path=str(folder)) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # the kernel releases it when the process ends
        yield
    finally:
        os.close(descriptor)


def _seal_path(folder: Path, name: str) -> Path:
    return folder / f"seal-{name}.pem"


def _index_path(folder: Path) -> Path:
    return folder / "keys.json"

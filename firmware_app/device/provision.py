"""`lantern provision`: from a fresh box to one that the hospital knows, in two steps with a file carried between them.

First the box makes its keys and its identity from the hospital's public bundle, and writes what the hospital needs to
enrol it; the private keys never leave the folder.  Then the hospital's answer completes it.
"""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import segno
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from firmware_app.errors import BoxIdInvalid, BundleInvalid, NotProvisioned, ProvisionedAlready
from firmware_app.store.layout import sync_directory
from firmware_app.uplink.credentials import bundle
from firmware_app.uplink.envelope import BoxBundle, Enrolment, HospitalBundle, seal_key
from firmware_app.uplink.summary import BOX_ID

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Keys:
    """The files of a box's identity, below one folder; the private ones only the uplink's user may read."""

    folder: Path

    @property
    def identity(self) -> Path:
        return self.folder / "identity.pem"

    @property
    def tls_key(self) -> Path:
        return self.folder / "tls.key"

    @property
    def tls_cert(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def tls_ca(self) -> Path:
        return self.folder / "authority.crt"

    @property
    def hospital(self) -> Path:
        return self.folder / "hospital.json"

    @property
    def box(self) -> Path:
        return self.folder / "box.json"


def begin(folder: Path, box: str, hospital_file: Path) -> tuple[BoxBundle, HospitalBundle]:
    """Make the box's keys in *folder*.  Asked again with the same id, it answers the same and makes nothing anew.

    Raises `BoxIdInvalid`, `BundleInvalid` or `ProvisionedAlready`.
    """
    if re.fullmatch(BOX_ID, box, re.ASCII) is None:
        raise BoxIdInvalid(box=box[:40])
    hospital = bundle(hospital_file, HospitalBundle)
    seal_key(hospital.seal)
    keys = Keys(folder)
    if keys.box.exists():
        made = bundle(keys.box, BoxBundle)
        if made.box != box:
            raise ProvisionedAlready(box=made.box, folder=str(folder))
    else:
        made = _made(keys, box)
    _write(keys.tls_ca, hospital.authority.encode(), 0o644)
    _write(keys.hospital, hospital.encode() + b"\n", 0o644)
    sync_directory(folder)
    return made, hospital


def _made(keys: Keys, box: str) -> BoxBundle:
    """Fresh keys; the bundle is written last, so that half a provisioning is done again."""
    keys.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    identity, tls = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    _write(keys.identity, _pem(identity), 0o600)
    _write(keys.tls_key, _pem(tls), 0o600)
    point = tls.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    made = BoxBundle.made(box, identity, point)
    _write(keys.box, made.encode() + b"\n", 0o644)
    return made


def complete(folder: Path, enrolment_file: Path) -> str:
    """Take the hospital's answer; returns the box's id.  Raises `NotProvisioned` or `BundleInvalid`."""
    keys = Keys(folder)
    if not keys.box.exists():
        raise NotProvisioned(folder=str(folder))
    made = bundle(keys.box, BoxBundle)
    answer = bundle(enrolment_file, Enrolment)
    certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
    own = load_pem_private_key(keys.tls_key.read_bytes(), None)
    if answer.box != made.box or certificate.public_key() != own.public_key():
        raise BundleInvalid(path=str(enrolment_file), detail="it was made for another box")
    _write(keys.tls_cert, answer.certificate.encode(), 0o644)
    sync_directory(folder)
    return made.box


def settings(folder: Path) -> dict[str, dict[str, str | int | bool]]:
    """The configuration of a provisioned box: section -> key -> value.  `enabled` is true once it is enrolled."""
    keys = Keys(folder.resolve())
    hospital = bundle(keys.hospital, HospitalBundle)
    return {
        "box": {"id": bundle(keys.box, BoxBundle).box},
        "uplink": {
            "enabled": keys.tls_cert.exists(),
            "host": hospital.host,
            "port": hospital.port,
            "tls_ca": str(keys.tls_ca),
            "tls_cert": str(keys.tls_cert),
            "tls_key": str(keys.tls_key),
            "identity": str(keys.identity),
            "hospital": str(keys.hospital),
        },
    }


def as_toml(found: dict[str, dict[str, str | int | bool]]) -> str:
    """*found* by `settings` as lines for the configuration file."""
    lines: list[str] = []
    for section, values in found.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def qr(made: BoxBundle) -> str:
    """The bundle as a QR code of terminal characters, for the hospital's camera."""
    drawn = io.StringIO()
    segno.make_qr(made.encode(), error="l").terminal(drawn, compact=True)
    return drawn.getvalue()


_CHUNK: Final = 64


def printed(made: BoxBundle) -> str:
    """The bundle as text that survives a telephone or a chat: one file, broken into lines of 64."""
    text = made.encode().decode("ascii")
    return "\n".join(text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK))


def _write(path: Path, data: bytes, mode: int) -> None:
    """Durable and whole under its name, or not there at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as handle:  # noqa: PTH123 - the descriptor carries the mode
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

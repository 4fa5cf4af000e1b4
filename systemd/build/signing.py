"""The key that signs system updates, and its certificate, which every image carries: RAUC takes no other's files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Keys:
    """Two PEM files."""

    key: Path
    certificate: Path


def load_keys(folder: Path) -> Keys:
    """Those in *folder*; made there where there are none."""
    found = Keys(folder / "update.key", folder / "update.pem")
    if not found.key.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make_keys(found)
    return found


def _make_keys(wanted: Keys) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lantern system updates")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # As the box's own certificates: no clock that is behind makes it "not yet valid".
        .not_valid_before(datetime(2019, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 12, 31, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    wanted.key.touch(0o600)
    wanted.key.write_bytes(pem)
    wanted.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))

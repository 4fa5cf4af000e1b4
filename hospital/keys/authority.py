"""The hospital's own certificate authority for its broker: one certificate each for broker, receiver and box.

Certificates name a box by its id in the common name, which mosquitto takes as user name and as client id
(hospital/line/broker.py).
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware_app.core.errors import KeysMissing
from hospital.keys.keyring import make_folder, write_file, write_private

RECEIVER: Final = "HOSPITAL"
"""The receiver's user name at the broker; capitals, so that no box id can ever be it."""

_AUTHORITY_DAYS: Final = 3652
_LEAF_DAYS: Final = 1826
BACKDATED: Final = timedelta(days=2)
"""A machine whose clock runs behind must not find a fresh certificate or list "not yet valid"."""


def make(folder: Path, host: str) -> None:
    """The authority, the broker's certificate for *host* (a name or an address) and the receiver's."""
    make_folder(folder, 0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Lantern hospital authority")
    certificate = (
        _builder(name, name, key.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "ca.key", pem(key))
    write_file(folder / "ca.crt", certificate.public_bytes(Encoding.PEM))
    for file, subject, server in (("broker", host, True), (RECEIVER.lower(), RECEIVER, False)):
        leaf = ec.generate_private_key(ec.SECP256R1())
        write_private(folder / f"{file}.key", pem(leaf))
        write_file(folder / f"{file}.crt", issue(folder, subject, leaf.public_key(), server=server).encode())


def issue(
    folder: Path, subject: str, public: ec.EllipticCurvePublicKey, *, server: bool = False, days: int = _LEAF_DAYS
) -> str:
    """A certificate (PEM) for *subject*: of a server under that host name, or of a client of that user name."""
    authority, key = load(folder)
    use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(subject), authority.subject, public, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if server:
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(subject)]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def box_key(point: str) -> ec.EllipticCurvePublicKey:
    """The P-256 key of an uncompressed SEC 1 point in hexadecimal; ValueError when it is not on the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(point))


def certificate(folder: Path) -> x509.Certificate:
    """The authority's certificate.  Raises OSError or ValueError."""
    return x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())


def load(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority's certificate and key; raises `KeysMissing`."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    except FileNotFoundError:
        raise KeysMissing(path=str(folder)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeysMissing(path=str(folder))
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

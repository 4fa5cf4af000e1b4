"""The box's own certificate authority, and the certificate with which its page speaks TLS.

    authority/   authority.key: root only
    front/       lantern-ca.crt, its certificate, for everybody; server.pem, for the front's group: the page's key and
                 certificate in one file, so that nobody ever reads one without the other

No clock decides whether a page opens: both certificates begin in 2019, whatever time it is on the box, so neither a
box without a battery nor one that is years ahead makes a certificate that a right phone calls "not yet valid".
(Apple also lets certificates that begin before July 2019 last longer than 825 days.)  Nothing made here ever ends
because the box's clock is wrong: the authority ends in 2049 in any case, and is never made anew by a date.
"""

from __future__ import annotations

import grp
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware_app.appliance.errors import AUTHORITY_UNUSABLE, FRONT_NOT_WRITABLE
from firmware_app.core.state_dir import StateDir, sync_directory, write_atomically

Address = IPv4Address | IPv6Address

GROUP: Final = "lantern-web"
BEGINS: Final = datetime(2019, 1, 1, tzinfo=UTC)
ENDS: Final = datetime(2049, 12, 31, tzinfo=UTC)
_NO_CLOCK_BEFORE: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LASTS: Final = timedelta(days=3652)
_RENEWED: Final = timedelta(days=730)
"""So long before its end the certificate is made anew: a box may stand switched off for a year."""
HOME_DOMAINS: Final = ("local", "lan", "home", "home.arpa", "internal", "localdomain", "localhost")
"""Domains of a clinic's own network.  A stolen authority that a PC trusts can certify these names only, and no bank."""


@dataclass(frozen=True, slots=True)
class PageNames:
    """The names and addresses by which browsers ask for this box."""

    dns: tuple[str, ...]
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorityFiles:
    """The files' paths, below the state directory."""

    root: Path

    @property
    def key(self) -> Path:
        return self.root / "authority" / "authority.key"

    @property
    def server(self) -> Path:
        return self.root / "front" / "server.pem"

    @property
    def public(self) -> Path:
        return self.root / "front" / "lantern-ca.crt"


def prepare_certificates(state: StateDir, names: PageNames, moment: datetime) -> bool:
    """Make each file that is missing, ends soon or names another box. True when anything was written.

    Raises `AUTHORITY_UNUSABLE` and `FRONT_NOT_WRITABLE`.
    """
    files = AuthorityFiles(state.root)
    try:
        files.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.public.parent.mkdir(mode=0o755, exist_ok=True)
        files.public.parent.chmod(0o755)  # whatever the caller's umask: its certificates are for everybody
        made = not files.public.exists() and not files.server.exists()
        if made:  # also when a power cut came between the first two files: nobody has seen that key
            _establish(files, names)
        key, authority = _load(files)
        wanted = filter_certifiable_names(authority, names)
        if made or _is_renewal_due(files, authority, wanted, moment):
            made = True
            _issue(files, key, authority, wanted, moment)
        _hand_over(files.server)
    except PermissionError as error:
        raise FRONT_NOT_WRITABLE(path=str(state.root), detail=error.strerror or "") from None
    return made


def load_authority(state: StateDir) -> x509.Certificate | None:
    """The authority's certificate; None before it is made."""
    try:
        return x509.load_pem_x509_certificate(AuthorityFiles(state.root).public.read_bytes())
    except (OSError, ValueError):
        return None


def read_authority_fingerprint(state: StateDir) -> str | None:
    """SHA-256 of the authority's certificate, as phones and browsers write it; None before it is made."""
    certificate = load_authority(state)
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper() if certificate else None


def read_names(certificate: x509.Certificate) -> PageNames:
    """The names and addresses in a certificate."""
    value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = cast(list[Address], value.get_values_for_type(x509.IPAddress))  # networks are for constraints alone
    return PageNames(tuple(value.get_values_for_type(x509.DNSName)), tuple(addresses))


def filter_certifiable_names(authority: x509.Certificate, names: PageNames) -> PageNames:
    """Those of *names* that the authority may certify (RFC 5280 4.2.1.10), in a fixed order."""
    value = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    domains = [subtree.value for subtree in value.permitted_subtrees or () if isinstance(subtree, x509.DNSName)]
    dns = sorted({name for name in names.dns if any(f".{name}".endswith(f".{domain}") for domain in domains)})
    return PageNames(tuple(dns), tuple(sorted(set(names.addresses), key=lambda one: (one.version, int(one)))))


# --- making -------------------------------------------------------------------------------------------------------


def _establish(files: AuthorityFiles, names: PageNames) -> None:
    """Make the authority.  Its name holds part of its key, so that a box installed twice shows two."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lantern"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Lantern box {identifier.digest[:4].hex()}"),
        ]
    )
    permitted = [x509.DNSName(domain) for domain in dict.fromkeys((*HOME_DOMAINS, *names.dns))]
    made = (
        x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=BEGINS,
            not_valid_after=ENDS,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_make_key_usage(signs_certificates=True), critical=True)
        # Addresses stay free: some clinics' networks use public ones, and no bank is asked for by its address.
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_file(files.key, _encode_pem(key), 0o600)
    _write_file(files.public, made.public_bytes(Encoding.PEM), 0o644)


def _load(files: AuthorityFiles) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = cast(ec.EllipticCurvePrivateKey, load_pem_private_key(files.key.read_bytes(), None))
        authority = x509.load_pem_x509_certificate(files.public.read_bytes())
    except FileNotFoundError as error:
        raise AUTHORITY_UNUSABLE(path=str(files.root), detail=f"{Path(error.filename).name} is missing") from None
    except ValueError:
        raise AUTHORITY_UNUSABLE(path=str(files.root), detail="a file is damaged") from None
    if authority.public_key() != key.public_key():
        raise AUTHORITY_UNUSABLE(path=str(files.root), detail="its key and its certificate do not fit")
    return key, authority


def _is_renewal_due(files: AuthorityFiles, authority: x509.Certificate, wanted: PageNames, moment: datetime) -> bool:
    """Whether the certificate of the page must be made anew."""
    try:
        pem = files.server.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.verify_directly_issued_by(authority)
        fits = certificate.public_key() == load_pem_private_key(pem, None).public_key()
    except (OSError, ValueError, TypeError, x509.InvalidVersion, InvalidSignature):
        return True
    ends_soon = certificate.not_valid_after_utc < ENDS and moment > certificate.not_valid_after_utc - _RENEWED
    return not fits or ends_soon or read_names(certificate) != wanted


def _issue(
    files: AuthorityFiles,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    names: PageNames,
    moment: datetime,
) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    ends = min(max(moment, _NO_CLOCK_BEFORE) + _LASTS, ENDS) if moment < ENDS else ENDS
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (names.dns or ("lantern",))[0][:64])])
    listed = [*map(x509.DNSName, names.dns), *map(x509.IPAddress, names.addresses)]
    builder = x509.CertificateBuilder(
        issuer_name=authority.subject,
        subject_name=subject,
        public_key=own.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=BEGINS,
        not_valid_after=ends,
    )
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_make_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(listed), False),
        (x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical)
    made = builder.sign(key, hashes.SHA256())
    _write_file(files.server, _encode_pem(own) + made.public_bytes(Encoding.PEM), 0o600)


def _make_key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _encode_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_file(path: Path, data: bytes, mode: int) -> None:
    write_atomically(path, data, mode)
    sync_directory(path.parent)


def _hand_over(server: Path) -> None:
    """Let the front's group read its key. Done at each check: a power cut may follow right after the file."""
    try:
        os.chown(server, -1, grp.getgrnam(GROUP).gr_gid)
    except (KeyError, PermissionError):  # no such group here, or not root: a laptop, a test
        return
    server.chmod(0o640)

"""The hospital's certificate authority: issues and revokes certificates, and checks their dates.

It issues one certificate each for broker, receiver and box.  A certificate names a box by its id in the common name,
which mosquitto takes as user name and as client id (hospital/broker.py).

tls/issued/BOX/SERIAL.crt   each certificate as it was issued
tls/revoked.pem             the signed list of revoked ones (RFC 5280, 5), which the broker holds every client against

With a list that has ended, that begins later than now or that cannot be read, the broker refuses every client (RFC
5280, 6.3.3).  So the list is valid for a year and renewed after half of it, and at once when any of these is so.

A start under a clock that was ahead leaves dates in the future behind.  The broker then refuses everybody, and says so
in its own log only.  So `serve`, its page and “lantern-hospital broker” check the dates here and name the cause.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware_app.core.errors import LanternError
from firmware_app.uplink.messages.envelope import Enrolment
from firmware_app.uplink.messages.summary import decode
from hospital import keyring
from hospital.errors import (
    KEYS_MISSING,
    LIST_OVER,
    OWN_CERTIFICATE_EARLY,
    OWN_CERTIFICATE_ENDED,
    OWN_CERTIFICATE_UNUSABLE,
    DateError,
    ListNotYet,
    ListUnusable,
)
from hospital.keyring import make_folder, write_file, write_private

RECEIVER_NAME: Final = "HOSPITAL"
"""The receiver's user name at the broker; capitals, so that no box id can ever be it."""

_AUTHORITY_DAYS: Final = 3652
_LEAF_DAYS: Final = 1826
BACKDATED: Final = timedelta(days=2)
"""A machine whose clock runs behind must not find a fresh certificate or list "not yet valid"."""


def make_authority(folder: Path, host: str) -> None:
    """The authority, the broker's certificate for *host* (a name or an address) and the receiver's."""
    make_folder(folder, 0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _make_common_name("Lantern hospital authority")
    certificate = (
        _start_certificate(name, name, key.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_make_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "ca.key", encode_private_key(key))
    write_file(folder / "ca.crt", certificate.public_bytes(Encoding.PEM))
    for file, subject, server in (("broker", host, True), (RECEIVER_NAME.lower(), RECEIVER_NAME, False)):
        leaf = ec.generate_private_key(ec.SECP256R1())
        write_private(folder / f"{file}.key", encode_private_key(leaf))
        write_file(folder / f"{file}.crt", issue(folder, subject, leaf.public_key(), server=server).encode())


def issue(
    folder: Path, subject: str, public: ec.EllipticCurvePublicKey, *, server: bool = False, days: int = _LEAF_DAYS
) -> str:
    """A certificate (PEM) for *subject*: of a server under that host name, or of a client of that user name."""
    authority, key = load_authority(folder)
    use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _start_certificate(_make_common_name(subject), authority.subject, public, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_make_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if server:
        builder = builder.add_extension(x509.SubjectAlternativeName([_make_alternative_name(subject)]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def parse_box_key(point: str) -> ec.EllipticCurvePublicKey:
    """The P-256 key of an uncompressed SEC 1 point in hexadecimal; ValueError when it is not on the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(point))


def load_authority_certificate(folder: Path) -> x509.Certificate:
    """The authority's certificate.  Raises OSError or ValueError."""
    return x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())


def load_authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority's certificate and key; raises `KEYS_MISSING`."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    except FileNotFoundError:
        raise KEYS_MISSING(path=str(folder)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KEYS_MISSING(path=str(folder))
    return certificate, key


def _start_certificate(
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


def _make_key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
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


def _make_common_name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _make_alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def encode_private_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


REVOCATION_LIST: Final = "revoked.pem"
_DAYS: Final = timedelta(days=365)
_RENEWED_BEFORE: Final = _DAYS / 2


def keep_certificate(tls: Path, box: str, certificate: x509.Certificate) -> None:
    """Remember that *box* was given *certificate*."""
    keyring.make_folder(tls / "issued", 0o700)
    folder = tls / "issued" / box
    keyring.make_folder(folder, 0o700)
    written = folder / f"{certificate.serial_number:x}.crt"
    keyring.write_file(written, certificate.public_bytes(Encoding.PEM))
    keyring.sync(folder)


def list_issued_certificates(tls: Path, box: str, enrolment: Path) -> list[x509.Certificate]:
    """The certificates of *box*.  What an earlier version gave it is known from its *enrolment* file alone."""
    with suppress(FileNotFoundError, LanternError, ValueError):
        last = decode(enrolment.read_bytes().strip(), Enrolment).certificate
        keep_certificate(tls, box, x509.load_pem_x509_certificate(last.encode()))
    files = sorted((tls / "issued" / box).glob("*.crt"))
    return [x509.load_pem_x509_certificate(file.read_bytes()) for file in files]


def select_other_keys(
    certificates: Iterable[x509.Certificate], public: ec.EllipticCurvePublicKey
) -> list[x509.Certificate]:
    """Those that were not given to the holder of *public*."""
    return [certificate for certificate in certificates if certificate.public_key() != public]


def select_unrevoked(tls: Path, certificates: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """Those that are not on the list."""
    entries = _read_list_entries(tls)
    return [certificate for certificate in certificates if certificate.serial_number not in entries]


def revoke_certificates(tls: Path, certificates: Iterable[x509.Certificate]) -> int:
    """Put *certificates* on the list; returns how many were not on it."""
    with keyring.lock_folder(tls):
        entries = _read_list_entries(tls)
        fresh = {certificate.serial_number for certificate in certificates} - entries.keys()
        if fresh or not (tls / REVOCATION_LIST).exists():
            _write_list(tls, entries | dict.fromkeys(fresh, datetime.now(UTC)))
    return len(fresh)


def renew_revocation_list(tls: Path, known: Callable[[], Iterable[x509.Certificate]] = tuple) -> bool:
    """Write the list again when the broker cannot go by it (`find_list_fault`), or half of its validity is over;
    returns whether it did.  *known* gives the certificates that must be on a list whose entries cannot be read any
    more."""
    with keyring.lock_folder(tls):
        now = datetime.now(UTC)
        wrong, entries = find_list_fault(tls, now), _read_list_entries(tls)
        if isinstance(wrong, ListUnusable):
            entries |= dict.fromkeys((certificate.serial_number for certificate in known()), now)
        if wrong is None and _find_list_end(_read_list(tls)) - now > _RENEWED_BEFORE:
            return False
        if isinstance(wrong, ListNotYet) and now < load_authority(tls)[0].not_valid_before_utc:
            return False  # the clock is behind: a list of that time would soon have ended
        _write_list(tls, entries)
    return True


def find_list_fault(tls: Path, now: datetime) -> DateError | None:
    """Why a broker refuses every client over the list at *now*; None where it does not."""
    try:
        listed = _read_list(tls)
        public = load_authority_certificate(tls).public_key()
        if not listed.is_signature_valid(public):  # type: ignore[arg-type]
            return ListUnusable(path=str(tls / REVOCATION_LIST))
    except (OSError, ValueError, TypeError):
        return ListUnusable(path=str(tls / REVOCATION_LIST))
    if listed.last_update_utc > now:
        return ListNotYet(starts=f"{listed.last_update_utc:%Y-%m-%d}", now=f"{now:%Y-%m-%d %H:%M} UTC")
    if _find_list_end(listed) < now:
        return LIST_OVER(ends=f"{_find_list_end(listed):%Y-%m-%d}", now=f"{now:%Y-%m-%d %H:%M} UTC")
    return None


def _find_list_end(listed: x509.CertificateRevocationList) -> datetime:
    return listed.next_update_utc or datetime.min.replace(tzinfo=UTC)


def _read_list_entries(tls: Path) -> dict[int, datetime]:
    """Serial number and date of each revoked certificate; none where the list cannot be read, which `find_list_fault`
    tells."""
    try:
        return {entry.serial_number: entry.revocation_date_utc for entry in _read_list(tls)}
    except (OSError, ValueError):
        return {}


def _read_list(tls: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((tls / REVOCATION_LIST).read_bytes())


def _write_list(tls: Path, entries: dict[int, datetime]) -> None:
    """Write the list.  The caller has the lock: what another process adds after *entries* were read would be lost."""
    certificate, key = load_authority(tls)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(now - BACKDATED)
        .next_update(now + _DAYS)
    )
    for serial, date in entries.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date)
        builder = builder.add_revoked_certificate(entry.build())
    fresh = tls / f"{REVOCATION_LIST}.new"
    keyring.write_file(fresh, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    fresh.replace(tls / REVOCATION_LIST)
    keyring.sync(tls)


_OWN_CERTIFICATES: Final = ("ca.crt", "broker.crt", f"{RECEIVER_NAME.lower()}.crt")


def find_date_faults(tls: Path, now: datetime | None = None) -> list[DateError]:
    """What keeps every client from the broker at *now* (default: the present): the first certificate, and the list."""
    now = now or datetime.now(UTC)
    own = next(
        (error for name in _OWN_CERTIFICATES if (error := _find_certificate_fault(tls / name, now)) is not None), None
    )
    return [error for error in (own, find_list_fault(tls, now)) if error is not None]


def _find_certificate_fault(file: Path, now: datetime) -> DateError | None:
    try:
        made = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return OWN_CERTIFICATE_UNUSABLE(path=str(file))
    if made.not_valid_before_utc > now:
        return OWN_CERTIFICATE_EARLY(
            file=file.name, starts=f"{made.not_valid_before_utc:%Y-%m-%d}", now=_format_moment(now)
        )
    if made.not_valid_after_utc < now:
        return OWN_CERTIFICATE_ENDED(
            file=file.name, ends=f"{made.not_valid_after_utc:%Y-%m-%d}", now=_format_moment(now)
        )
    return None


def _format_moment(now: datetime) -> str:
    return f"{now:%Y-%m-%d %H:%M} UTC"

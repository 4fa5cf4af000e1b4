"""Every certificate that was issued to a box, and the signed list of the revoked ones.

tls/issued/BOX/SERIAL.crt   each certificate as it was issued
tls/revoked.pem             the list (RFC 5280, 5), which the broker holds every client against

With an expired list the broker would refuse every box. So the list is valid for a year and renewed after half of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from firmware_app.errors import LanternError
from firmware_app.sealed.envelope import Enrolment
from firmware_app.sealed.summary import decode
from hospital.keys import authority, keyring

LIST: Final = "revoked.pem"
_DAYS: Final = timedelta(days=365)
_RENEWED_BEFORE: Final = _DAYS / 2


def keep(tls: Path, box: str, certificate: x509.Certificate) -> None:
    """Remember that *box* was given *certificate*."""
    keyring.make_folder(tls / "issued", 0o700)
    folder = tls / "issued" / box
    keyring.make_folder(folder, 0o700)
    written = folder / f"{certificate.serial_number:x}.crt"
    keyring.write_file(written, certificate.public_bytes(Encoding.PEM))
    keyring.sync(folder)


def issued(tls: Path, box: str, enrolment: Path) -> list[x509.Certificate]:
    """The certificates of *box*.  What an earlier version gave it is known from its *enrolment* file alone."""
    with suppress(FileNotFoundError, LanternError, ValueError):
        last = decode(enrolment.read_bytes().strip(), Enrolment).certificate
        keep(tls, box, x509.load_pem_x509_certificate(last.encode()))
    files = sorted((tls / "issued" / box).glob("*.crt"))
    return [x509.load_pem_x509_certificate(file.read_bytes()) for file in files]


def with_another_key(
    certificates: Iterable[x509.Certificate], public: ec.EllipticCurvePublicKey
) -> list[x509.Certificate]:
    """Those that were not given to the holder of *public*."""
    return [certificate for certificate in certificates if certificate.public_key() != public]


def still_good(tls: Path, certificates: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """Those that are not on the list."""
    entries = _entries(tls)
    return [certificate for certificate in certificates if certificate.serial_number not in entries]


def revoke(tls: Path, certificates: Iterable[x509.Certificate]) -> int:
    """Put *certificates* on the list; returns how many were not on it."""
    with keyring.alone(tls):
        entries = _entries(tls)
        fresh = {one.serial_number for one in certificates} - entries.keys()
        if fresh or not (tls / LIST).exists():
            _write(tls, entries | dict.fromkeys(fresh, datetime.now(UTC)))
    return len(fresh)


def renew(tls: Path) -> bool:
    """Renew the list when there is none or half of its validity is over; returns whether it did."""
    file = tls / LIST
    with keyring.alone(tls):
        if file.exists() and _read(file).next_update_utc - datetime.now(UTC) > _RENEWED_BEFORE:  # type: ignore[operator]
            return False
        _write(tls, _entries(tls))
    return True


def _entries(tls: Path) -> dict[int, datetime]:
    """Serial number and date of each revoked certificate."""
    file = tls / LIST
    if not file.exists():
        return {}
    return {entry.serial_number: entry.revocation_date_utc for entry in _read(file)}


def _read(file: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(file.read_bytes())


def _write(tls: Path, entries: dict[int, datetime]) -> None:
    """Write the list.  The caller is `alone`: what another process adds after *entries* were read would be lost."""
    certificate, key = authority.load(tls)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(now - authority.BACKDATED)
        .next_update(now + _DAYS)
    )
    for serial, date in entries.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date)
        builder = builder.add_revoked_certificate(entry.build())
    fresh = tls / f"{LIST}.new"
    keyring.write_file(fresh, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    fresh.replace(tls / LIST)
    keyring.sync(tls)

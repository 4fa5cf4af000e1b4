"""Every certificate that was issued to a box, and the signed list of the revoked ones.

tls/issued/BOX/SERIAL.crt   each certificate as it was issued
tls/revoked.pem             the list (RFC 5280, 5), which the broker holds every client against

With a list that has ended, that begins later than now or that cannot be read, the broker refuses every client (RFC
5280, 6.3.3). So the list is valid for a year and renewed after half of it, and at once when any of these is so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from firmware_app.core.errors import DateError, LanternError, ListNotYet, ListOver, ListUnusable
from firmware_app.uplink.messages.envelope import Enrolment
from firmware_app.uplink.messages.summary import decode
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


def renew(tls: Path, known: Callable[[], Iterable[x509.Certificate]] = tuple) -> bool:
    """Write the list again when the broker cannot go by it (`fault`), or half of its validity is over; returns whether
    it did.  *known* gives the certificates that must be on a list whose entries cannot be read any more."""
    with keyring.alone(tls):
        now = datetime.now(UTC)
        wrong, entries = fault(tls, now), _entries(tls)
        if isinstance(wrong, ListUnusable):
            entries |= dict.fromkeys((one.serial_number for one in known()), now)
        if wrong is None and _ends(_read(tls)) - now > _RENEWED_BEFORE:
            return False
        if isinstance(wrong, ListNotYet) and now < authority.load(tls)[0].not_valid_before_utc:
            return False  # the clock is behind: a list of that time would soon have ended
        _write(tls, entries)
    return True


def fault(tls: Path, now: datetime) -> DateError | None:
    """Why a broker refuses every client over the list at *now*; None where it does not."""
    try:
        listed = _read(tls)
        public = authority.certificate(tls).public_key()
        if not listed.is_signature_valid(public):  # type: ignore[arg-type]
            return ListUnusable(path=str(tls / LIST))
    except (OSError, ValueError, TypeError):
        return ListUnusable(path=str(tls / LIST))
    if listed.last_update_utc > now:
        return ListNotYet(starts=f"{listed.last_update_utc:%Y-%m-%d}", now=f"{now:%Y-%m-%d %H:%M} UTC")
    if _ends(listed) < now:
        return ListOver(ends=f"{_ends(listed):%Y-%m-%d}", now=f"{now:%Y-%m-%d %H:%M} UTC")
    return None


def _ends(listed: x509.CertificateRevocationList) -> datetime:
    return listed.next_update_utc or datetime.min.replace(tzinfo=UTC)


def _entries(tls: Path) -> dict[int, datetime]:
    """Serial number and date of each revoked certificate; none where the list cannot be read, which `fault` tells."""
    try:
        return {entry.serial_number: entry.revocation_date_utc for entry in _read(tls)}
    except (OSError, ValueError):
        return {}


def _read(tls: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((tls / LIST).read_bytes())


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

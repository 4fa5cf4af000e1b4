"""Certificates: the PEM files of TLS connections, and the dates in them.

OpenSSL's own errors name neither the file nor, of a pair, the half that is wrong; the functions here do.

OpenSSL checks dates by the machine's clock, and a box without a battery clock would be cut off in 1970.  So OpenSSL
skips the dates, and they are checked here by the box's time.  An untrusted time may be too early, so a certificate that
"begins later" is accepted then: its authority has signed that this day has come.  An expired certificate is refused;
`CertificateFault.by_clock` says whether a wrong clock is the likely cause.

The module loads `cryptography`, so a process without TLS does not import it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from firmware_app.core import clock
from firmware_app.core.clock_memory import TimeSource
from firmware_app.core.errors import (
    CERTIFICATE_ENDED,
    CERTIFICATE_ENDED_BY_CLOCK,
    CERTIFICATE_NOT_YET,
    CERTIFICATE_NOT_YET_BY_CLOCK,
    CONFIG_FILE_MISSING,
    CONFIG_INCOMPLETE,
    CONFIG_KEY_MISMATCH,
    CONFIG_NO_CERTIFICATE,
    CONFIG_NO_KEY,
    CONFIG_NOT_A_FILE,
    ClockError,
    ConfigFileForbidden,
    ConfigFinding,
)

_UNIT_CREDENTIALS: Final = Path(
    "/run/credentials"
)  # systemd gives a unit its keys there while it runs (LoadCredential=)
_RAW: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

KeyLocator = Callable[[tuple[str, ...]], str]


class TlsSettings(Protocol):
    """A section of the configuration with the three files of a TLS connection."""

    @property
    def tls_ca(self) -> Path | None: ...
    @property
    def tls_cert(self) -> Path | None: ...
    @property
    def tls_key(self) -> Path | None: ...


def find_tls_problems(section: tuple[str, ...], settings: TlsSettings, place: KeyLocator) -> Iterator[ConfigFinding]:
    """What is wrong with the files of *section*; *place* gives file and line of a key."""

    def at(name: str) -> dict[str, str]:
        return {"key": ".".join((*section, name)), "place": place((*section, name))}

    if settings.tls_key is not None and settings.tls_cert is None:
        yield CONFIG_INCOMPLETE(**at("tls_key"), other=".".join((*section, "tls_cert")))
    if settings.tls_ca is not None:
        yield from find_certificate_problems(settings.tls_ca, at("tls_ca"))
    if settings.tls_cert is None:
        return
    wrong = list(find_certificate_problems(settings.tls_cert, at("tls_cert")))
    yield from wrong
    key = settings.tls_key or settings.tls_cert  # one PEM file may hold both
    if settings.tls_key is None and not wrong and b"PRIVATE KEY-----" not in settings.tls_cert.read_bytes():
        yield CONFIG_INCOMPLETE(**at("tls_cert"), other=".".join((*section, "tls_key")))
        return
    if is_unit_credential(key):
        return
    at_key = at("tls_key" if settings.tls_key else "tls_cert")
    if (finding := find_file_problem(key, at_key)) is not None:
        if settings.tls_key is not None:
            yield finding
        return
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError):  # no PEM; with a passphrase
        yield CONFIG_NO_KEY(**at_key, path=str(key))
        return
    if not wrong:
        public = x509.load_pem_x509_certificates(settings.tls_cert.read_bytes())[0].public_key()
        if public.public_bytes(*_RAW) != private.public_key().public_bytes(*_RAW):
            yield CONFIG_KEY_MISMATCH(**at_key, path=str(key), certificate=str(settings.tls_cert))


def find_certificate_problems(path: Path, at: dict[str, str]) -> Iterator[ConfigFinding]:
    """What is wrong with *path* as a file of certificates."""
    if (finding := find_file_problem(path, at)) is not None:
        yield finding
        return
    try:
        x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError:
        yield CONFIG_NO_CERTIFICATE(**at, path=str(path))


def is_unit_credential(path: Path) -> bool:
    """Whether only the unit that uses *path* sees it."""
    return path.is_relative_to(_UNIT_CREDENTIALS)


def find_file_problem(path: Path, at: dict[str, str]) -> ConfigFinding | None:
    """Why *path* cannot be read as a file; None where it can."""
    try:
        with path.open("rb"):
            return None
    except IsADirectoryError:
        return CONFIG_NOT_A_FILE(**at, path=str(path))
    except PermissionError:
        return ConfigFileForbidden(**at, path=str(path))
    except OSError:
        return CONFIG_FILE_MISSING(**at, path=str(path))


def find_faulty_file(settings: TlsSettings) -> str:
    """The path of the first file that cannot be used; the certificate's where each can by itself."""
    found = (finding.details.get("path") for finding in find_tls_problems((), settings, lambda _keys: ""))
    return str(next((path for path in found if path), settings.tls_cert))


def explain_tls_error(section: str, settings: TlsSettings, error: OSError) -> str:
    """*error* of OpenSSL with the file that it is about, as in ``dicom.tls_key: /etc/lantern/key.pem: …``."""
    words = error.strerror or str(error)
    for finding in find_tls_problems((section,), settings, lambda _keys: ""):
        path = finding.details.get("path")
        return f"{finding.key}: {path}: {words}" if path else f"{finding.key}: {words}"
    return words


NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h; the module ssl has no name for it."""
_CONFIRMED: Final = (TimeSource.HOSPITAL, TimeSource.NETWORK)


@dataclass(frozen=True, slots=True)
class CertificateFault:
    """Why a certificate is not valid now: it has `ended`, or else has not begun."""

    ended: bool
    by_clock: bool
    starts: datetime
    ends: datetime
    now: datetime


def check_certificate_dates(
    certificate: x509.Certificate, going_by: clock.Clock | None = None
) -> CertificateFault | None:
    """What is wrong with the dates of *certificate*, if anything is."""
    timepiece = going_by or clock.current_clock()
    status, ceiling = timepiece.status(), timepiece.memory().find_latest()
    now, starts, ends = status.stamp.at, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    ended = now > ends and status.source is not TimeSource.HOSPITAL_ALONE  # else the hospital could not correct it
    fault = CertificateFault(ended, status.source not in _CONFIRMED, starts, ends, now)
    early = now < starts and (status.stamp.trusted or starts.timestamp() > ceiling)
    return fault if fault.ended or early else None


class PeerOutOfDate(ssl.SSLCertVerificationError):
    """The peer's certificate is genuine, but not valid now."""

    def __init__(self, fault: CertificateFault) -> None:
        super().__init__(f"the certificate {'has ended' if fault.ended else 'has not begun'}")
        self.fault = fault


class _DatedSocket(ssl.SSLSocket):
    """Checks the peer's dates at the end of the handshake, before any data is sent."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        shown = self.getpeercert(binary_form=True)
        if shown is not None and self.context.verify_mode is not ssl.CERT_NONE:
            fault = check_certificate_dates(x509.load_der_x509_certificate(shown))
            if fault is not None:
                raise PeerOutOfDate(fault)


def check_dates_by_box_time(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make every connection of *context* check dates by the box's time; returns it."""
    context.verify_flags |= NO_CHECK_TIME
    context.sslsocket_class = _DatedSocket
    return context


def list_date_problems(path: Path | None) -> Iterator[ClockError]:
    """What is wrong with the dates of the certificates in the PEM file at *path*, as far as it can be read."""
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes()) if path is not None else []
    except (OSError, ValueError):
        return  # the user of the file reports that it is unusable
    for certificate in certificates:
        if (fault := check_certificate_dates(certificate)) is not None:
            yield explain_certificate_fault(fault, path.name if path is not None else "")


def explain_certificate_fault(fault: CertificateFault, certificate: str) -> ClockError:
    """The error for a person."""
    now, starts, ends = f"{fault.now:%Y-%m-%d %H:%M}", f"{fault.starts:%Y-%m-%d}", f"{fault.ends:%Y-%m-%d}"
    if fault.ended:
        ended = CERTIFICATE_ENDED_BY_CLOCK if fault.by_clock else CERTIFICATE_ENDED
        return ended(certificate=certificate, ends=ends, now=now)
    early = CERTIFICATE_NOT_YET_BY_CLOCK if fault.by_clock else CERTIFICATE_NOT_YET
    return early(certificate=certificate, starts=starts, now=now)

"""Whether the PEM files of a TLS connection can be used, and which of them cannot.

OpenSSL's own errors name neither the file nor, of a pair, the half that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from firmware_app.core.errors import (
    ConfigFileForbidden,
    ConfigFileMissing,
    ConfigFinding,
    ConfigIncomplete,
    ConfigKeyMismatch,
    ConfigNoCertificate,
    ConfigNoKey,
    ConfigNotAFile,
)

_HANDED: Final = Path("/run/credentials")  # systemd gives a unit its keys there while it runs (LoadCredential=)
_RAW: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

Place = Callable[[tuple[str, ...]], str]


class TlsSettings(Protocol):
    """A section of the configuration with the three files of a TLS connection."""

    @property
    def tls_ca(self) -> Path | None: ...
    @property
    def tls_cert(self) -> Path | None: ...
    @property
    def tls_key(self) -> Path | None: ...


def findings(section: tuple[str, ...], settings: TlsSettings, place: Place) -> Iterator[ConfigFinding]:
    """What is wrong with the files of *section*; *place* gives file and line of a key."""

    def at(name: str) -> dict[str, str]:
        return {"key": ".".join((*section, name)), "place": place((*section, name))}

    if settings.tls_key is not None and settings.tls_cert is None:
        yield ConfigIncomplete(**at("tls_key"), other=".".join((*section, "tls_cert")))
    if settings.tls_ca is not None:
        yield from certificate_findings(settings.tls_ca, at("tls_ca"))
    if settings.tls_cert is None:
        return
    wrong = list(certificate_findings(settings.tls_cert, at("tls_cert")))
    yield from wrong
    key = settings.tls_key or settings.tls_cert  # one PEM file may hold both
    if settings.tls_key is None and not wrong and b"PRIVATE KEY-----" not in settings.tls_cert.read_bytes():
        yield ConfigIncomplete(**at("tls_cert"), other=".".join((*section, "tls_key")))
        return
    if is_handed(key):
        return
    at_key = at("tls_key" if settings.tls_key else "tls_cert")
    if (finding := file_finding(key, at_key)) is not None:
        if settings.tls_key is not None:
            yield finding
        return
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError):  # no PEM; with a passphrase
        yield ConfigNoKey(**at_key, path=str(key))
        return
    if not wrong:
        public = x509.load_pem_x509_certificates(settings.tls_cert.read_bytes())[0].public_key()
        if public.public_bytes(*_RAW) != private.public_key().public_bytes(*_RAW):
            yield ConfigKeyMismatch(**at_key, path=str(key), certificate=str(settings.tls_cert))


def certificate_findings(path: Path, at: dict[str, str]) -> Iterator[ConfigFinding]:
    """What is wrong with *path* as a file of certificates."""
    if (finding := file_finding(path, at)) is not None:
        yield finding
        return
    try:
        x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError:
        yield ConfigNoCertificate(**at, path=str(path))


def is_handed(path: Path) -> bool:
    """Whether only the unit that uses *path* sees it."""
    return path.is_relative_to(_HANDED)


def file_finding(path: Path, at: dict[str, str]) -> ConfigFinding | None:
    """Why *path* cannot be read as a file; None where it can."""
    try:
        with path.open("rb"):
            return None
    except IsADirectoryError:
        return ConfigNotAFile(**at, path=str(path))
    except PermissionError:
        return ConfigFileForbidden(**at, path=str(path))
    except OSError:
        return ConfigFileMissing(**at, path=str(path))


def at_fault(settings: TlsSettings) -> str:
    """The path of the first file that cannot be used; the certificate's where each can by itself."""
    found = (finding.details.get("path") for finding in findings((), settings, lambda _keys: ""))
    return str(next((path for path in found if path), settings.tls_cert))


def why(section: str, settings: TlsSettings, error: OSError) -> str:
    """*error* of OpenSSL with the file that it is about, as in ``dicom.tls_key: /etc/lantern/key.pem: …``."""
    words = error.strerror or str(error)
    for finding in findings((section,), settings, lambda _keys: ""):
        path = finding.details.get("path")
        return f"{finding.key}: {path}: {words}" if path else f"{finding.key}: {words}"
    return words

"""A box's identity, made in two steps with a file carried between them: its keys, and the hospital's enrolment of it.

First the box makes its keys and its identity from the hospital's public bundle, and writes what the hospital needs to
enrol it; the private keys never leave the folder.  Then the hospital's answer completes it.
"""

from __future__ import annotations

import io
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import segno
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from firmware_app.appliance.errors import (
    BOX_ID_INVALID,
    ENROLMENT_STRANGER,
    HOSPITAL_NEEDED,
    NOT_PROVISIONED,
    PROVISIONED_ALREADY,
)
from firmware_app.core import certificates
from firmware_app.core.key_files import KeyFiles, Tpm
from firmware_app.core.state_dir import sync_directory, write_atomically
from firmware_app.uplink.errors import BUNDLE_INVALID
from firmware_app.uplink.messages.credentials import load_bundle
from firmware_app.uplink.messages.envelope import BoxBundle, Enrolment, HospitalBundle
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import BOX_ID

# systemd.exec(5): where it puts what it unsealed, for that one unit.
_CREDENTIALS: Final = Path("/run/credentials/lantern-uplink.service")

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def begin_identity(
    folder: Path, box: str, hospital_file: Path, chip: Tpm | None = None
) -> tuple[BoxBundle, HospitalBundle]:
    """Make the box's keys in *folder*. With the same id again it returns the same and makes nothing.

    Raises `BOX_ID_INVALID`, `BUNDLE_INVALID`, `SealingFailed`, and `PROVISIONED_ALREADY` for another id or hospital.
    """
    if re.fullmatch(BOX_ID, box, re.ASCII) is None:
        raise BOX_ID_INVALID(box=box[:40])
    hospital = read_hospital(hospital_file)
    refuse_other_hospital(folder, box, hospital)
    return make_keys(folder, box, chip), adopt_hospital(folder, hospital)


def read_hospital(file: Path) -> HospitalBundle:
    """The hospital's public bundle in *file*.  Raises `BUNDLE_INVALID` and, for a weak key, `MessageInvalid`."""
    hospital = load_bundle(file, HospitalBundle)
    parse_seal_key(hospital.seal)
    return hospital


def make_keys(folder: Path, box: str, chip: Tpm | None = None) -> BoxBundle:
    """The box's public bundle; its keys are made once.  Raises `PROVISIONED_ALREADY` for another id."""
    keys = KeyFiles(folder)
    if not keys.box.exists():
        return _make_new_keys(keys, box, chip)
    made = load_bundle(keys.box, BoxBundle)
    if made.box != box:
        raise PROVISIONED_ALREADY(box=made.box, folder=str(folder))
    return made


def load_hospital(folder: Path) -> HospitalBundle | None:
    """The hospital that the box of these keys reports to; None for none.  Raises `BUNDLE_INVALID`."""
    file = KeyFiles(folder).hospital
    return read_hospital(file) if file.exists() else None


def refuse_other_hospital(folder: Path, box: str, hospital: HospitalBundle | None) -> None:
    """Raise `PROVISIONED_ALREADY` where the box reports to a hospital, and *hospital* is not that one."""
    known = load_hospital(folder)
    if hospital is not None and known is not None and known.verify != hospital.verify:
        raise PROVISIONED_ALREADY(box=box, folder=str(folder))


def adopt_hospital(folder: Path, hospital: HospitalBundle) -> HospitalBundle:
    """Make *hospital* the one that the box reports to.

    Another one has to enrol the box first, and so has the same one where a new authority of it did not issue the box's
    certificate.
    """
    keys = KeyFiles(folder)
    known = load_hospital(folder)
    if known is not None and not _is_certificate_reusable(keys.tls_cert, known, hospital):
        keys.tls_cert.unlink(missing_ok=True)  # first: no crash leaves the new one beside the old one's certificate
        sync_directory(folder)
    write_atomically(keys.tls_ca, hospital.authority.encode(), 0o644)
    write_atomically(keys.hospital, hospital.encode() + b"\n", 0o644)
    sync_directory(folder)
    return hospital


def _make_new_keys(keys: KeyFiles, box: str, chip: Tpm | None) -> BoxBundle:
    """New keys. The bundle is written last, so that an interrupted provisioning is repeated."""
    keys.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    identity, tls = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    made_keys: tuple[PrivateKey, PrivateKey] = (identity, tls)
    for left in (keys.identity, keys.tls_key, *keys.sealed):  # by one that was cut off; it may have had a chip, or none
        left.unlink(missing_ok=True)
    for path, sealed, key in zip((keys.identity, keys.tls_key), keys.sealed, made_keys, strict=True):
        if chip is None:
            write_atomically(path, _encode_pem(key), 0o600)
        else:
            write_atomically(sealed, chip.seal(path.name, _encode_pem(key)), 0o600)
    point = tls.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    made = BoxBundle.create(box, identity, point)
    sync_directory(keys.folder)
    write_atomically(keys.box, made.encode() + b"\n", 0o644)
    sync_directory(keys.folder)
    return made


def complete_identity(folder: Path, enrolment_file: Path) -> str:
    """Take the hospital's answer; returns the box's id.

    Raises `NOT_PROVISIONED`, `HOSPITAL_NEEDED`, `BUNDLE_INVALID`, `ENROLMENT_STRANGER`, `CERTIFICATE_ENDED` and
    `CERTIFICATE_NOT_YET`, and then has changed nothing.
    """
    if not KeyFiles(folder).box.exists():
        raise NOT_PROVISIONED(folder=str(folder))
    return apply_enrolment(folder, load_bundle(enrolment_file, Enrolment), enrolment_file)


def apply_enrolment(folder: Path, answer: Enrolment, enrolment_file: Path) -> str:
    """`complete_identity`, with the answer that came in *enrolment_file*."""
    keys = KeyFiles(folder)
    made = load_bundle(keys.box, BoxBundle)
    own = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(made.tls))
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
        certified = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise BUNDLE_INVALID(path=str(enrolment_file), detail="its certificate is broken") from None
    if answer.box != made.box or certified != own:
        raise BUNDLE_INVALID(path=str(enrolment_file), detail="it was made for another box")
    _require_own_authority(certificate, enrolment_file, folder)
    write_atomically(keys.tls_cert, answer.certificate.encode(), 0o644)
    sync_directory(folder)
    return made.box


def _require_own_authority(certificate: x509.Certificate, file: Path, folder: Path) -> None:
    """Raise unless the hospital's own authority has issued *certificate*, and it holds now.

    A box may have been shown to two hospitals; with the certificate of the wrong one its line looks enrolled and is
    refused for ever.  A clock that nobody vouches for refuses nothing: the line tells when it is tried.
    """
    hospital = load_hospital(folder)
    if hospital is None:
        raise HOSPITAL_NEEDED(file=file.name)
    try:
        authority = x509.load_pem_x509_certificate(hospital.authority.encode())
    except ValueError:
        raise BUNDLE_INVALID(path=str(KeyFiles(folder).hospital), detail="its certificate is broken") from None
    if not _is_issued_by(certificate, authority):
        raise ENROLMENT_STRANGER(
            file=file.name,
            issuer=_identify_issuer(certificate),
            authority=_compute_key_fingerprint(authority),
            hospital=hospital.fingerprint,
        )
    fault = certificates.check_certificate_dates(certificate)
    if fault is not None and not fault.by_clock:
        raise certificates.explain_certificate_fault(fault, file.name)


def _is_certificate_reusable(file: Path, known: HospitalBundle, hospital: HospitalBundle) -> bool:
    """Whether the box's certificate, which *known* gave it, is as good when it reports to *hospital*."""
    if known.verify != hospital.verify or known.authority == hospital.authority:
        return known.verify == hospital.verify
    try:
        authority = x509.load_pem_x509_certificate(hospital.authority.encode())
        return _is_issued_by(x509.load_pem_x509_certificate(file.read_bytes()), authority)
    except (OSError, ValueError):
        return False


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _identify_issuer(certificate: x509.Certificate) -> str:
    """The fingerprint of the key that issued it, where it tells (RFC 5280 4.2.1.1): every hospital's authority has the
    same name.  Else the name."""
    with suppress(x509.ExtensionNotFound, ValueError):
        key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        if key is not None:
            return _group_digits(key)
    return certificate.issuer.rfc4514_string()[:80]


def _compute_key_fingerprint(authority: x509.Certificate) -> str:
    """The fingerprint of the authority's own key, as those that it issues tell it."""
    public = authority.public_key()
    return _group_digits(x509.SubjectKeyIdentifier.from_public_key(public).digest)


def _group_digits(mark: bytes) -> str:
    """As `envelope.compute_fingerprint` writes one."""
    return mark[:8].hex(" ", 2)


def make_settings(folder: Path) -> dict[str, dict[str, str | int | bool | None]]:
    """The configuration of a provisioned box: section -> key -> value.

    Once the hospital has enrolled it, `enabled` is true and `tls_cert` is there; before, that one is None.
    """
    keys = KeyFiles(folder.resolve())
    sections: dict[str, dict[str, str | int | bool | None]] = {"box": {"id": load_bundle(keys.box, BoxBundle).box}}
    if keys.hospital.exists():
        hospital = load_bundle(keys.hospital, HospitalBundle)
        private = _CREDENTIALS if all(path.exists() for path in keys.sealed) else keys.folder
        sections["uplink"] = {
            "enabled": keys.tls_cert.exists(),
            "host": hospital.host,
            "port": hospital.port,
            "tls_ca": str(keys.tls_ca),
            "tls_cert": str(keys.tls_cert) if keys.tls_cert.exists() else None,
            "tls_key": str(private / keys.tls_key.name),
            "identity": str(private / keys.identity.name),
            "hospital": str(keys.hospital),
        }
    return sections


def format_qr(made: BoxBundle) -> str:
    """The bundle as a QR code of terminal characters, for the hospital's camera."""
    drawn = io.StringIO()
    segno.make_qr(made.encode(), error="l").terminal(drawn, border=2, compact=True)  # four would pass 80 columns
    return drawn.getvalue()


_CHUNK: Final = 64


def format_text(made: BoxBundle) -> str:
    """The bundle as text that survives a telephone or a chat: one file, broken into lines of 64."""
    text = made.encode().decode("ascii")
    return "\n".join(text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK))


def _encode_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

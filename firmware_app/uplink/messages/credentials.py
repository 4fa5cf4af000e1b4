"""Reads the files that provisioning wrote for the uplink: the box's signing key and the hospital's public bundle."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware_app.core.errors import LanternError
from firmware_app.core.settings import UplinkSection
from firmware_app.uplink.errors import BUNDLE_INVALID, LINE_NOT_SET_UP, MessageInvalid
from firmware_app.uplink.messages.envelope import HospitalBundle, open_signed
from firmware_app.uplink.messages.message import AnyMessage
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import Keys, Kind, decode

log = logging.getLogger("lantern.uplink")


def use_systemd_credentials(settings: UplinkSection, folder: str | None = None) -> UplinkSection:
    """*settings* with the paths of the private keys that systemd gives to this unit alone (LoadCredential=).

    A key that systemd does not give keeps its configured path."""
    place = os.environ.get("CREDENTIALS_DIRECTORY") if folder is None else folder
    if not place:
        return settings
    configured = {"identity": settings.identity, "tls_key": settings.tls_key}
    handed = {name: Path(place) / path.name for name, path in configured.items() if path is not None}
    return settings.model_copy(update={name: path for name, path in handed.items() if path.exists()})


def load_identity(settings: UplinkSection) -> Ed25519PrivateKey:
    """The box's signing key; raises `LINE_NOT_SET_UP` or `BUNDLE_INVALID`."""
    if settings.identity is None:
        raise LINE_NOT_SET_UP(key="identity")
    try:
        return parse_signing_key(settings.identity.read_bytes())
    except (OSError, ValueError) as error:
        raise BUNDLE_INVALID(path=str(settings.identity), detail=str(error)[:120]) from None


def parse_signing_key(pem: bytes) -> Ed25519PrivateKey:
    """The key that *pem* holds; raises ValueError."""
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("it is not an Ed25519 key")
    return key


def load_hospital(settings: UplinkSection) -> HospitalBundle:
    """The hospital this box reports to; raises `LINE_NOT_SET_UP` or `BUNDLE_INVALID`."""
    if settings.hospital is None:
        raise LINE_NOT_SET_UP(key="hospital")
    return load_bundle(settings.hospital, HospitalBundle)


def open_keys(signed: bytes, box: str, hospital: HospitalBundle) -> Keys:
    """The keys message that *hospital* signed for *box*; the broker retains one for each box.

    Raises `EnvelopeMalformed`, `SignatureForged` or `MessageInvalid`.
    """
    keys = decode(open_signed(signed, Kind.KEYS, box, hospital.verify_key), Keys)
    if keys.box != box:
        raise MessageInvalid(field="box")
    parse_seal_key(keys.seal)
    return keys


def choose_seal_key(hospital: HospitalBundle, box: str, signed: bytes | None) -> X25519PublicKey:
    """The hospital's current sealing key: that of its bundle, unless its latest keys message to *box* has a newer one.

    *signed* is that message.  An invalid one is not used; a weak key in the bundle raises `MessageInvalid`.
    """
    if signed is not None:
        try:
            keys = open_keys(signed, box, hospital)
            if keys.serial > hospital.serial:
                return parse_seal_key(keys.seal)
        except LanternError as error:
            log.error("the hospital's new key in the exchange database was not used: %s", error)
    return parse_seal_key(hospital.seal)


def load_bundle(path: Path, kind: type[AnyMessage]) -> AnyMessage:
    """The bundle of *kind* in a file, in which line breaks are ignored.  Raises `BUNDLE_INVALID`."""
    try:
        return decode(b"".join(path.read_bytes().splitlines()).strip(), kind)
    except OSError as error:
        raise BUNDLE_INVALID(path=str(path), detail=error.strerror or str(error)) from None
    except LanternError as error:
        raise BUNDLE_INVALID(path=str(path), detail=error.code) from None

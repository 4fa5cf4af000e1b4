"""A provisioning file: the hospital's answers for one box, and the checks before a box takes them.

The file proves by itself that nobody changed it since its hospital signed it. A box knows that it is the right hospital
in one of three ways: it trusts that hospital already, the code of the printed label fits, or a person compared the
fingerprint. A file is for one box, until a day. Once a later file of the same hospital was taken, it is refused.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance import box_identity, first_start, network_name
from firmware_app.appliance.errors import (
    FINGERPRINT_DIFFERS,
    PROVISIONING_ELSEWHERE,
    PROVISIONING_EXPIRED,
    PROVISIONING_REPLAYED,
    PROVISIONING_STRANGER,
    CodeWrong,
    ProvisioningForged,
    ProvisioningUnreadable,
    TrustNeeded,
)
from firmware_app.appliance.first_start import IdentityPaths, ProvisioningResult
from firmware_app.appliance.provisioning_answers import Answers
from firmware_app.core import clock
from firmware_app.core.errors import LanternError
from firmware_app.core.key_files import Tpm
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import read_plain_file, sync_directory, write_atomically
from firmware_app.uplink.errors import SignatureForged
from firmware_app.uplink.messages.envelope import HospitalBundle, Provisioning, SignedProvisioning, claim_mark
from firmware_app.uplink.messages.message import MOST_MESSAGE_BYTES
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import decode

SUFFIX: Final = ".lantern.json"


@dataclass(frozen=True, slots=True)
class ProvisioningFile:
    """A file with a right signature of the hospital that it names; not yet checked whether it is for this box."""

    path: Path
    content: Provisioning

    @property
    def file(self) -> str:
        """Its name for people."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class HospitalProof:
    """Why an unknown hospital is the right one: the label's code, or a fingerprint that a person compared."""

    code: str | None = None
    fingerprint: str | None = None


def read_file(file: Path, *, follow: bool = True) -> ProvisioningFile:
    """The file *file*, also behind a link unless *follow* is False.

    Raises `ProvisioningUnreadable` and `ProvisioningForged`.
    """
    try:
        data, _ = read_plain_file(file, 2 * MOST_MESSAGE_BYTES, follow=follow)
        signed = decode(b"".join(data.splitlines()).strip(), SignedProvisioning)
        parse_seal_key(signed.content.hospital.seal)
    except OSError as error:
        raise ProvisioningUnreadable(file=file.name, detail=error.strerror or str(error)) from None
    except LanternError as error:
        raise ProvisioningUnreadable(file=file.name, detail=error.code) from None
    try:
        signed.prove()
    except SignatureForged:
        raise ProvisioningForged(file=file.name) from None
    return ProvisioningFile(file, signed.content)


def check_file(
    offer: ProvisioningFile, config: Config, places: IdentityPaths, proof: HospitalProof | None = None
) -> None:
    """Return when this box may take *offer*.

    Raises, in this order, `PROVISIONING_STRANGER`, `PROVISIONING_ELSEWHERE`, `PROVISIONING_EXPIRED`,
    `PROVISIONING_REPLAYED`; then `CodeWrong`, `FINGERPRINT_DIFFERS` or `TrustNeeded`.
    """
    trusted = _trusted(offer, places)
    _refuse_wrong_box(offer, config, places)
    _refuse_expired(offer)
    _refuse_replayed(offer, places)
    if not trusted:
        check_proof(offer, proof or HospitalProof())


def check_proof(offer: ProvisioningFile, proof: HospitalProof) -> None:
    """Return when *proof* says that the file's hospital is the right one."""
    content = offer.content
    if proof.code is not None:
        mark = claim_mark(proof.code, content.nonce, content.box, content.hospital.verify)
        if not hmac.compare_digest(mark, content.claim):
            raise CodeWrong
    elif proof.fingerprint is not None:
        if _plain(proof.fingerprint) != _plain(content.hospital.fingerprint):
            raise FINGERPRINT_DIFFERS(found=content.hospital.fingerprint)
    else:
        raise TrustNeeded(fingerprint=content.hospital.fingerprint)


def is_trusted(offer: ProvisioningFile, places: IdentityPaths) -> bool:
    """Whether the box knows the file's hospital; raises `PROVISIONING_STRANGER` when it knows another."""
    return _trusted(offer, places) is not None


def make_hospital_filter(
    places: IdentityPaths, fingerprint: str | None = None
) -> Callable[[ProvisioningFile], bool] | None:
    """Whether a file is of the hospital that the box knows, or, where it knows none, of that with this *fingerprint*.

    None where neither is known.
    """
    known = _known(places)
    if known is not None:
        return lambda offer: offer.content.hospital.verify == known.verify
    if fingerprint is not None:
        return lambda offer: _plain(offer.content.hospital.fingerprint) == _plain(fingerprint)
    return None


def take_file(
    offer: ProvisioningFile,
    config: Config,
    places: IdentityPaths,
    proof: HospitalProof | None = None,
    chip: Tpm | None = None,
) -> ProvisioningResult:
    """Set the box up with the answers in the file.  Raises what `check_file` and `first_start.apply_answers` raise."""
    check_file(offer, config, places, proof)
    hospital = _later(offer.content.hospital, _trusted(offer, places))
    given = first_start.apply_answers(Answers.of_file(offer.content), hospital, config, places, chip)
    _remember(offer, places)
    clock.current_clock().passed(offer.content.made)
    return given


# --- the reasons against it -------------------------------------------------------------------------------------------


def _trusted(offer: ProvisioningFile, places: IdentityPaths) -> HospitalBundle | None:
    known, stated = _known(places), offer.content.hospital
    if known is not None and known.verify != stated.verify:
        raise PROVISIONING_STRANGER(file=offer.file, found=stated.fingerprint, trusted=known.fingerprint)
    return known


def _known(places: IdentityPaths) -> HospitalBundle | None:
    for file in places.trusted:
        if os.access(file, os.R_OK):  # the importer may not look into all of them
            return box_identity.read_hospital(file)
    return None


def _refuse_wrong_box(offer: ProvisioningFile, config: Config, places: IdentityPaths) -> None:
    content, here = offer.content, first_start.read_box_id(config, places)
    if here is not None and here != content.box:
        raise PROVISIONING_ELSEWHERE(file=offer.file, meant=content.box, here=here)
    if content.device and content.device != network_name.hardware_name():
        raise PROVISIONING_ELSEWHERE(file=offer.file, meant=content.device, here=network_name.hardware_name())


def _refuse_expired(offer: ProvisioningFile) -> None:
    """By the box's clock. A clock behind the file's own date is wrong, so it cannot prove that the file has ended."""
    now, ends = clock.now(), datetime.fromtimestamp(offer.content.expires, UTC)
    if now > ends:
        raise PROVISIONING_EXPIRED(file=offer.file, ends=f"{ends:%Y-%m-%d %H:%M} UTC", now=f"{now:%Y-%m-%d %H:%M} UTC")


def _refuse_replayed(offer: ProvisioningFile, places: IdentityPaths) -> None:
    last = _record(places).get(offer.content.hospital.verify)
    if last is not None and last["nonce"] != offer.content.nonce and offer.content.made <= last["made"]:
        raise PROVISIONING_REPLAYED(file=offer.file)


def _later(stated: HospitalBundle, known: HospitalBundle | None) -> HospitalBundle:
    """Keeps the box's sealing key where the file brings an older one."""
    return known if known is not None and known.serial > stated.serial else stated


def _record(places: IdentityPaths) -> dict[str, Any]:
    """Signing key of a hospital → its last file that was taken; only root writes there."""
    with suppress(FileNotFoundError):
        record: dict[str, Any] = json.loads(places.record.read_text("utf-8"))
        return record
    return {}


def _remember(offer: ProvisioningFile, places: IdentityPaths) -> None:
    content = offer.content
    record = {**_record(places), content.hospital.verify: {"nonce": content.nonce, "made": content.made}}
    write_atomically(places.record, json.dumps(record).encode(), 0o644)
    sync_directory(places.record.parent)


def _plain(fingerprint: str) -> str:
    return "".join(fingerprint.split()).lower()

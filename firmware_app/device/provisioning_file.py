"""A provisioning file: what the hospital wrote for one box, and why a box takes it or not.

The file proves by itself that nobody changed it since its hospital signed it.  That this is the right hospital a box
knows from one of three: it trusts that hospital already, the code of the printed label fits, or a person compared the
fingerprint.  A file is for one box, until a day, and once: after a later file of the same hospital it is worth nothing.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from firmware_app import clock
from firmware_app.config import Config
from firmware_app.device import first_start, naming, provision
from firmware_app.device.answers import Answers
from firmware_app.device.files import write_whole
from firmware_app.device.first_start import Given, Places
from firmware_app.device.sealing import Chip
from firmware_app.errors import (
    CodeWrong,
    FingerprintDiffers,
    LanternError,
    ProvisioningElsewhere,
    ProvisioningExpired,
    ProvisioningForged,
    ProvisioningNone,
    ProvisioningReplayed,
    ProvisioningStranger,
    ProvisioningUndecided,
    ProvisioningUnreadable,
    SignatureForged,
    TrustNeeded,
)
from firmware_app.store.layout import sync_directory
from firmware_app.uplink.envelope import HospitalBundle, Provisioning, SignedProvisioning, claim_mark, seal_key
from firmware_app.uplink.form import MOST_BYTES
from firmware_app.uplink.summary import decode

SUFFIX: Final = ".lantern.json"
_MOST_FILES: Final = 1000


@dataclass(frozen=True, slots=True)
class Offer:
    """A file whose signature is that of the hospital it names; whether it is for this box was not asked yet."""

    file: str
    content: Provisioning


@dataclass(frozen=True, slots=True)
class Proof:
    """Why this hospital, where the box does not know it: the label's code, or a fingerprint that a person compared."""

    code: str | None = None
    fingerprint: str | None = None


def files(folder: Path) -> list[Path]:
    """The provisioning files of a stick or a folder: at its top, or in the folder that somebody copied there whole."""
    found = [*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*/*{SUFFIX}")]
    return sorted(path for path in found if not path.name.startswith("."))[:_MOST_FILES]


def find(path: Path, box: str | None = None, code: str | None = None) -> Offer:
    """The file at *path*, or the one for this box in the folder *path*: never just any of them.

    It is the one for *box*, where the id is known; else the one made for this very machine; else the only one, if none
    beside it is spoilt; else the one that *code*, from the box's label, opens.  Raises `ProvisioningUnreadable`,
    `ProvisioningForged`, `ProvisioningNone`, `CodeWrong` and `ProvisioningUndecided`.
    """
    if not path.is_dir():
        return read(path)
    boxes, spoilt = _of_folder(path)
    if box is not None and box not in boxes:
        raise ProvisioningNone(wanted=f"{box}{SUFFIX}", folder=str(path))
    ours = fitting([boxes[box]] if box is not None else boxes.values()) or list(boxes.values())
    if len(ours) == 1 and (box is not None or ours[0].content.device or not spoilt):
        return ours[0]
    if code is None:
        raise ProvisioningUndecided(folder=str(path), count=len(ours) + spoilt)
    for one in ours:
        with suppress(CodeWrong):
            believe(one, Proof(code=code))
            return one
    raise CodeWrong


def fitting(offers: Iterable[Offer]) -> list[Offer]:
    """Those that may be for this machine: where one was made for it by name, no other."""
    may = [one for one in offers if one.content.device in ("", naming.machine())]
    return [one for one in may if one.content.device] or may


def _of_folder(folder: Path) -> tuple[dict[str, Offer], int]:
    """The last file of each box, and how many cannot be used; that is raised only where nothing else is there."""
    found: list[Offer] = []
    refused: list[LanternError] = []
    for path in files(folder):
        try:
            found.append(read(path))
        except LanternError as error:
            refused.append(error)
    if not found:
        raise refused[-1] if refused else ProvisioningNone(wanted=f"*{SUFFIX}", folder=str(folder))
    return {one.content.box: one for one in sorted(found, key=lambda one: one.content.made)}, len(refused)


def read(file: Path) -> Offer:
    """The file *file*.  Raises `ProvisioningUnreadable` and `ProvisioningForged`."""
    try:
        with file.open("rb") as handle:
            data = handle.read(2 * MOST_BYTES)
        signed = decode(b"".join(data.splitlines()).strip(), SignedProvisioning)
        seal_key(signed.content.hospital.seal)
    except OSError as error:
        raise ProvisioningUnreadable(file=file.name, detail=error.strerror or str(error)) from None
    except LanternError as error:
        raise ProvisioningUnreadable(file=file.name, detail=error.code) from None
    try:
        signed.prove()
    except SignatureForged:
        raise ProvisioningForged(file=file.name) from None
    return Offer(file.name, signed.content)


def examine(offer: Offer, config: Config, places: Places, proof: Proof | None = None) -> None:
    """Return when this box may take *offer*.

    Raises, in this order, `ProvisioningStranger`, `ProvisioningElsewhere`, `ProvisioningExpired`,
    `ProvisioningReplayed`; then `CodeWrong`, `FingerprintDiffers` or `TrustNeeded`.
    """
    trusted = _trusted(offer, places)
    _refuse_wrong_box(offer, config, places)
    _refuse_expired(offer)
    _refuse_replayed(offer, places)
    if not trusted:
        believe(offer, proof or Proof())


def believe(offer: Offer, proof: Proof) -> None:
    """Return when *proof* says that the file's hospital is the right one."""
    content = offer.content
    if proof.code is not None:
        mark = claim_mark(proof.code, content.nonce, content.box, content.hospital.verify)
        if not hmac.compare_digest(mark, content.claim):
            raise CodeWrong
    elif proof.fingerprint is not None:
        if _plain(proof.fingerprint) != _plain(content.hospital.fingerprint):
            raise FingerprintDiffers(found=content.hospital.fingerprint)
    else:
        raise TrustNeeded(fingerprint=content.hospital.fingerprint)


def trusted(offer: Offer, places: Places) -> bool:
    """Whether the box knows the file's hospital; raises `ProvisioningStranger` when it knows another."""
    return _trusted(offer, places) is not None


def take(offer: Offer, config: Config, places: Places, proof: Proof | None = None, chip: Chip | None = None) -> Given:
    """Give the box what the file says.  Raises what `examine` and `first_start.apply` raise."""
    examine(offer, config, places, proof)
    hospital = _later(offer.content.hospital, _trusted(offer, places))
    given = first_start.apply(Answers.of_file(offer.content), hospital, config, places, chip)
    _remember(offer, places)
    clock.here().passed(offer.content.made, signed=True)
    return given


# --- the reasons against it -------------------------------------------------------------------------------------------


def _trusted(offer: Offer, places: Places) -> HospitalBundle | None:
    for file in places.trusted:
        if os.access(file, os.R_OK):  # the importer may not look into all of them
            known = provision.hospital_of(file)
            if known.verify != offer.content.hospital.verify:
                raise ProvisioningStranger(
                    file=offer.file, found=offer.content.hospital.fingerprint, trusted=known.fingerprint
                )
            return known
    return None


def _refuse_wrong_box(offer: Offer, config: Config, places: Places) -> None:
    content, here = offer.content, first_start.own_id(config, places)
    if here is not None and here != content.box:
        raise ProvisioningElsewhere(file=offer.file, meant=content.box, here=here)
    if content.device and content.device != naming.machine():
        raise ProvisioningElsewhere(file=offer.file, meant=content.device, here=naming.machine())


def _refuse_expired(offer: Offer) -> None:
    """By the box's clock.  One that is behind the file's own date is wrong, and says nothing of its end."""
    now, ends = clock.now(), datetime.fromtimestamp(offer.content.expires, UTC)
    if now > ends:
        raise ProvisioningExpired(file=offer.file, ends=f"{ends:%Y-%m-%d %H:%M} UTC", now=f"{now:%Y-%m-%d %H:%M} UTC")


def _refuse_replayed(offer: Offer, places: Places) -> None:
    last = _record(places).get(offer.content.hospital.verify)
    if last is not None and last["nonce"] != offer.content.nonce and offer.content.made <= last["made"]:
        raise ProvisioningReplayed(file=offer.file)


def _later(told: HospitalBundle, known: HospitalBundle | None) -> HospitalBundle:
    """A sealing key that was replaced since the file was made does not come back with it."""
    return known if known is not None and known.serial > told.serial else told


def _record(places: Places) -> dict[str, Any]:
    """By each hospital's key the last file taken; only root writes there."""
    with suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads(places.record.read_text("utf-8"))
        return found
    return {}


def _remember(offer: Offer, places: Places) -> None:
    content = offer.content
    found = {**_record(places), content.hospital.verify: {"nonce": content.nonce, "made": content.made}}
    write_whole(places.record, json.dumps(found).encode(), 0o644)
    sync_directory(places.record.parent)


def _plain(fingerprint: str) -> str:
    return "".join(fingerprint.split()).lower()

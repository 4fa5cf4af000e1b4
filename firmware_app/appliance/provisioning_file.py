"""A provisioning file: the hospital's answers for one box, and the checks before a box takes them.

The file proves by itself that nobody changed it since its hospital signed it. A box knows that it is the right hospital
in one of three ways: it trusts that hospital already, the code of the printed label fits, or a person compared the
fingerprint. A file is for one box, until a day. Once a later file of the same hospital was taken, it is refused.

Anybody can sign a file for any box, so among many files the label's code decides, or the box's id for a known hospital.
The importer copies the files of a stick into ``usb/offered/``, where the first page finds them; root checks each again.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance import box_identity, first_start, network_name
from firmware_app.appliance.errors import (
    FINGERPRINT_DIFFERS,
    PROVISIONING_ELSEWHERE,
    PROVISIONING_EXPIRED,
    PROVISIONING_MANY,
    PROVISIONING_NONE,
    PROVISIONING_REPLAYED,
    PROVISIONING_STRANGER,
    CodeWrong,
    ProvisioningForged,
    ProvisioningUndecided,
    ProvisioningUnreadable,
    TrustNeeded,
)
from firmware_app.appliance.first_start import IdentityPaths, ProvisioningResult
from firmware_app.appliance.provisioning_answers import Answers
from firmware_app.core import clock
from firmware_app.core.errors import LanternError
from firmware_app.core.key_files import Tpm
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, read_plain_file, sync_directory, write_atomically
from firmware_app.uplink.errors import SignatureForged
from firmware_app.uplink.messages.envelope import (
    HospitalBundle,
    Provisioning,
    ProvisioningFinder,
    SignedProvisioning,
    compute_claim_mark,
)
from firmware_app.uplink.messages.message import MOST_MESSAGE_BYTES
from firmware_app.uplink.messages.public_keys import parse_seal_key
from firmware_app.uplink.messages.summary import decode

SUFFIX: Final = ".lantern.json"
MOST_OFFERS: Final = 1000
"""Files of sticks that are kept for the first page."""
OFFERED: Final = register(
    "provision.offered",
    N_("A provisioning file for {box} was found. Open the box's page and give the code of its label."),
)


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
        signed.check_signature()
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
    known, content = load_known_hospital(places), offer.content
    if known is not None and known.verify != content.hospital.verify:
        raise PROVISIONING_STRANGER(file=offer.file, found=content.hospital.fingerprint, trusted=known.fingerprint)
    _refuse_wrong_box(offer, config, places)
    _refuse_expired(offer)
    _refuse_replayed(offer, places)
    if known is None:
        check_proof(offer, proof or HospitalProof())


def check_proof(offer: ProvisioningFile, proof: HospitalProof) -> None:
    """Return when *proof* says that the file's hospital is the right one."""
    content = offer.content
    if proof.code is not None:
        mark = compute_claim_mark(proof.code, content.nonce, content.box, content.hospital.verify)
        if not hmac.compare_digest(mark, content.claim):
            raise CodeWrong
    elif proof.fingerprint is not None:
        if _normalise_fingerprint(proof.fingerprint) != _normalise_fingerprint(content.hospital.fingerprint):
            raise FINGERPRINT_DIFFERS(found=content.hospital.fingerprint)
    else:
        raise TrustNeeded(fingerprint=content.hospital.fingerprint)


def apply_file(
    offer: ProvisioningFile,
    config: Config,
    places: IdentityPaths,
    proof: HospitalProof | None = None,
    chip: Tpm | None = None,
) -> ProvisioningResult:
    """Set the box up with the answers in the file.  Raises what `check_file` and `first_start.apply_answers` raise."""
    check_file(offer, config, places, proof)
    known, hospital = load_known_hospital(places), offer.content.hospital
    if known is not None and known.serial > hospital.serial:  # an old file brings no retired sealing key back
        hospital = known
    given = first_start.apply_answers(Answers.from_provisioning(offer.content), hospital, config, places, chip)
    _record_taken(offer, places)
    clock.current_clock().record_passed(offer.content.made)
    return given


def load_known_hospital(places: IdentityPaths) -> HospitalBundle | None:
    """The hospital that the box trusts already."""
    for file in places.trusted:
        if os.access(file, os.R_OK):  # the importer may not look into all of them
            return box_identity.read_hospital(file)
    return None


# --- one file among many ----------------------------------------------------------------------------------------------


def find_file(
    path: Path, box: str | None = None, proof: HospitalProof | None = None, known: HospitalBundle | None = None
) -> ProvisioningFile:
    """The file at *path*, or this box's file in the folder *path*, whose id is *box* and whose hospital is *known*.

    Raises `ProvisioningUnreadable`, `ProvisioningForged`, `PROVISIONING_NONE`, `CodeWrong` and `ProvisioningUndecided`.
    """
    if not path.is_dir():
        return read_file(path)
    proof = proof or HospitalProof()
    try:
        files, refused = _read_all(_list_files(path))
    except OSError as error:
        raise ProvisioningUnreadable(file=path.name, detail=error.strerror or str(error)) from None
    named = [file for file in files if box in (None, file.content.box)]
    likely = [file for file in named if _is_from_hospital(file, known, proof.fingerprint)] or named
    if not likely:
        spoilt = [error for name, error in refused.items() if box is None or name.startswith(f"{box}.")]
        raise spoilt[0] if spoilt else PROVISIONING_NONE(wanted=f"{box or '*'}{SUFFIX}", folder=str(path))
    if proof.code is not None:
        return find_by_code(likely, proof.code)
    if len(likely) == 1 and (box is not None or not refused):  # a spoilt file may have been this box's
        return likely[0]
    raise ProvisioningUndecided(folder=str(path), count=len(likely) + (len(refused) if box is None else 0))


def find_by_code(files: Iterable[ProvisioningFile], code: str) -> ProvisioningFile:
    """The file that the label's *code* opens, at the cost of one scrypt for each hospital.  Raises `CodeWrong`."""
    finders: dict[str, ProvisioningFinder] = {}
    for file in files:
        content, hospital = file.content, file.content.hospital.verify
        if hospital not in finders:
            finders[hospital] = ProvisioningFinder(code, hospital)
        if finders[hospital].matches(content.nonce, content.box):
            check_proof(file, HospitalProof(code=code))
            return file
    raise CodeWrong


def _is_from_hospital(file: ProvisioningFile, known: HospitalBundle | None, fingerprint: str | None) -> bool:
    hospital = file.content.hospital
    if known is not None:
        return hospital.verify == known.verify
    return fingerprint is not None and _normalise_fingerprint(hospital.fingerprint) == _normalise_fingerprint(
        fingerprint
    )


def _read_all(paths: Iterable[Path]) -> tuple[list[ProvisioningFile], dict[str, LanternError]]:
    """Each hospital's latest file for each box, and the reasons against the others by their names."""
    files: list[ProvisioningFile] = []
    refused: dict[str, LanternError] = {}
    for path in paths:
        try:
            files.append(read_file(path, follow=False))
        except LanternError as error:
            refused[path.name] = error
    files.sort(key=lambda file: file.content.made)
    return list({(file.content.box, file.content.hospital.verify): file for file in files}.values()), refused


def _list_files(folder: Path) -> Iterator[Path]:
    """The provisioning files at the top and one folder down, since people copy the folder whole."""
    below = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    for place in (folder, *below):
        for path in place.iterdir():
            if path.name.endswith(SUFFIX) and not path.name.startswith("."):
                yield path


# --- of a stick, for the first page -----------------------------------------------------------------------------------


def offer_from_stick(root: Path, config: Config, places: IdentityPaths) -> Iterator[Reason]:
    """Keep the stick's files that this box may take for the first page, where the label's code decides; yields the
    result of each.  A box that has an identity ignores them.
    """
    if not first_start.is_unprovisioned(config, places.state):
        return
    folder = _offers_path(places.state)
    try:
        folder.mkdir(exist_ok=True)
        files, refused = _read_all(islice(_list_files(root), MOST_OFFERS))
        yield from map(Reason.from_error, refused.values())
        for file in files:
            yield _keep_offer(file, folder, config, places)
        sync_directory(folder)
    except OSError as error:  # a full disk, or a stick that was pulled: the import of images goes on
        yield Reason.from_error(ProvisioningUnreadable(file=root.name, detail=error.strerror or str(error)))


def _keep_offer(file: ProvisioningFile, folder: Path, config: Config, places: IdentityPaths) -> Reason:
    content = file.content
    path = folder / f"{content.box}.{content.hospital.verify[:32]}{SUFFIX}"
    try:
        check_file(file, config, places, HospitalProof(fingerprint=content.hospital.fingerprint))
    except LanternError as error:
        return Reason.from_error(error)
    if not path.exists() and sum(1 for _ in folder.iterdir()) >= MOST_OFFERS:
        return Reason.from_error(PROVISIONING_MANY(limit=MOST_OFFERS))
    data, _ = read_plain_file(file.path, 2 * MOST_MESSAGE_BYTES)
    write_atomically(path, data, 0o640)
    return Reason(OFFERED, {"box": content.box})


def has_offers(state: StateDir) -> bool:
    """Whether a stick has brought files."""
    return _offers_path(state).is_dir() and any(_offers_path(state).iterdir())


def find_offer(state: StateDir, code: str) -> ProvisioningFile:
    """The kept file that the label's *code* opens.  Raises `CodeWrong`."""
    files, _ = _read_all(_list_files(_offers_path(state)) if has_offers(state) else ())
    return find_by_code(files, code)


def _offers_path(state: StateDir) -> Path:
    return state.usb / "offered"


# --- the reasons against a file ---------------------------------------------------------------------------------------


def _refuse_wrong_box(offer: ProvisioningFile, config: Config, places: IdentityPaths) -> None:
    content, here = offer.content, first_start.read_box_id(config, places)
    if here is not None and here != content.box:
        raise PROVISIONING_ELSEWHERE(file=offer.file, meant=content.box, here=here)
    if content.device and content.device != network_name.read_hardware_name():
        raise PROVISIONING_ELSEWHERE(file=offer.file, meant=content.device, here=network_name.read_hardware_name())


def _refuse_expired(offer: ProvisioningFile) -> None:
    """By the box's clock. A clock behind the file's own date is wrong, so it cannot prove that the file has ended."""
    now, ends = clock.now(), datetime.fromtimestamp(offer.content.expires, UTC)
    if now > ends:
        raise PROVISIONING_EXPIRED(file=offer.file, ends=f"{ends:%Y-%m-%d %H:%M} UTC", now=f"{now:%Y-%m-%d %H:%M} UTC")


def _refuse_replayed(offer: ProvisioningFile, places: IdentityPaths) -> None:
    last = _read_record(places).get(offer.content.hospital.verify)
    if last is not None and last["nonce"] != offer.content.nonce and offer.content.made <= last["made"]:
        raise PROVISIONING_REPLAYED(file=offer.file)


def _read_record(places: IdentityPaths) -> dict[str, Any]:
    """Signing key of a hospital → its last file that was taken; only root writes there."""
    with suppress(FileNotFoundError):
        record: dict[str, Any] = json.loads(places.record.read_text("utf-8"))
        return record
    return {}


def _record_taken(offer: ProvisioningFile, places: IdentityPaths) -> None:
    content = offer.content
    record = {**_read_record(places), content.hospital.verify: {"nonce": content.nonce, "made": content.made}}
    write_atomically(places.record, json.dumps(record).encode(), 0o644)
    sync_directory(places.record.parent)


def _normalise_fingerprint(fingerprint: str) -> str:
    return "".join(fingerprint.split()).lower()

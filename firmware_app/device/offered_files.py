"""Provisioning files that a stick put forward: kept for the first page, where the code of a label decides.

    provision/offered/        one for each box; the importer writes them, and root proves each again

Only a file that is this box's beyond doubt, of a hospital that the box knows, is taken without a label
(`provisioning_folder.Contents.chosen`): a box keeps the identity that it takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_app.config import Config
from firmware_app.device import first_request, first_start, provisioning_file, provisioning_folder
from firmware_app.device.files import read_plain, write_whole
from firmware_app.device.first_request import Request
from firmware_app.device.first_start import Places
from firmware_app.device.provisioning_file import SUFFIX, Offer, Proof
from firmware_app.errors import LanternError, ProvisioningMany, RequestUnusable
from firmware_app.language import N_, register
from firmware_app.records import Reason
from firmware_app.store.layout import StateDir, sync_directory
from firmware_app.uplink.form import MOST_BYTES
from firmware_app.uplink.summary import BOX_ID

OFFERED: Final = register(
    "provision.offered",
    N_("A provisioning file for {box} was found. Open the box's page and give the code of its label."),
)
ASKED: Final = register("provision.asked", N_("A provisioning file for {box} was found; the box takes it now."))


def offers(state: StateDir) -> list[str]:
    """The ids of the boxes that files were found for."""
    kept = sorted(path.name.removesuffix(SUFFIX) for path in _folder(state).glob(f"*{SUFFIX}"))
    return kept[: provisioning_folder.MOST_FILES]


def offer(state: StateDir, box: str) -> Offer:
    """The file that was found for *box*; raises `ProvisioningUnreadable` and `ProvisioningForged`."""
    name = box if re.fullmatch(BOX_ID, box, re.ASCII) else "none"
    return provisioning_file.read(_folder(state) / f"{name}{SUFFIX}", follow=False)


def from_stick(root: Path, config: Config, places: Places, *, whole: bool) -> Iterator[Reason]:
    """Put forward the provisioning files of a stick, and say of each what came of it.

    *whole* is whether all that was ever on the stick is known to be seen.  All files that this box may take are kept
    for the first page, and at most one is taken.  Nothing where the box has an identity: nobody looks then.
    """
    if not first_start.is_new(config, places.state):
        return
    try:
        own = first_start.own_id(config, places)
        contents = provisioning_folder.look(root, own, whole=whole)
    except LanternError as error:
        yield Reason.of(error)
        return
    except OSError as error:
        yield Reason.of(RequestUnusable(detail=error.strerror or str(error)))
        return
    if contents.more:
        yield Reason.of(ProvisioningMany(limit=provisioning_folder.MOST_FILES))
    chosen = contents.chosen(own)
    told = [_kept(one, config, places) for one in contents.found]
    for one in told:  # all are kept before one is taken, for then the box starts again
        yield _decided(one, places, alone=one is chosen) if isinstance(one, Offer) else one


def _kept(found: Offer | LanternError, config: Config, places: Places) -> Offer | Reason:
    """*found*, if this box may take it, laid down for the first page; else the reason against it."""
    try:
        if isinstance(found, LanternError):
            raise found
        provisioning_file.examine(found, config, places, Proof(fingerprint=found.content.hospital.fingerprint))
        folder, kept = _folder(places.state), offers(places.state)
        if found.content.box not in kept and len(kept) >= provisioning_folder.MOST_FILES:
            raise ProvisioningMany(limit=provisioning_folder.MOST_FILES)
        folder.mkdir(exist_ok=True)
        data, _ = read_plain(found.path, 2 * MOST_BYTES)  # behind its end it may be as long as the stick
        write_whole(folder / f"{found.content.box}{SUFFIX}", data, 0o640)
        sync_directory(folder)
    except LanternError as error:
        return Reason.of(error)
    except OSError as error:  # the box's own disk is full, say: that must not cost the images of the stick
        return Reason.of(RequestUnusable(detail=error.strerror or str(error)))
    return found


def _decided(found: Offer, places: Places, *, alone: bool) -> Reason:
    """Have *found* taken where its hospital is known and it is *alone*; else whoever has its label decides."""
    try:
        taken = alone and provisioning_file.trusted(found, places)
        if taken and not first_request.waits(places.state):
            first_request.ask(places.state, Request(file=found.content.box))
    except OSError as error:
        return Reason.of(RequestUnusable(detail=error.strerror or str(error)))
    return Reason(ASKED if taken else OFFERED, {"box": found.content.box})


def _folder(state: StateDir) -> Path:
    return state.provision / "offered"

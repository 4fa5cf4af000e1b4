"""Provisioning files from a stick, kept for the first page, where the code of a label decides.

    provision/offered/        for each box one of each hospital; the importer writes them, and root proves each again

Only a file that is this box's beyond doubt, of a hospital that the box knows, is taken without a label
(`provisioning_folder.Contents.chosen`): a box keeps the identity that it takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_app.appliance.provisioning import first_request, first_start, provisioning_folder, signed_file
from firmware_app.appliance.provisioning.first_request import FirstRequest
from firmware_app.appliance.provisioning.first_start import IdentityPaths
from firmware_app.appliance.provisioning.provisioning_folder import Contents, Counts
from firmware_app.appliance.provisioning.signed_file import SUFFIX, Proof, ProvisioningFile
from firmware_app.core.errors import LanternError, ProvisioningMany, RequestUnusable
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, sync_directory
from firmware_app.core.whole_files import read_plain, write_whole
from firmware_app.uplink.messages.form import MOST_BYTES
from firmware_app.uplink.messages.summary import BOX_ID

OFFERED: Final = register(
    "provision.offered",
    N_("A provisioning file for {box} was found. Open the box's page and give the code of its label."),
)
ASKED: Final = register("provision.asked", N_("A provisioning file for {box} was found; the box takes it now."))

MOST_HOSPITALS: Final = 16
"""Whose files for one box are kept: the code of its label is tried on each, and each try costs a scrypt."""
_WHOSE: Final = 32
"""So many digits of a hospital's key are part of a kept file's name: nobody makes a key that has the same."""


def offers(state: StateDir) -> list[str]:
    """The ids of the boxes that the kept files are for."""
    kept = sorted({path.name.partition(".")[0] for path in _folder(state).glob(f"*{SUFFIX}")})
    return kept[: provisioning_folder.MOST_FILES]


def offer(state: StateDir, box: str, code: str = "", counts: Counts | None = None) -> ProvisioningFile:
    """The file that was found for *box*: that of the hospital that *counts*, or which *code* opens.

    Raises what `provisioning_folder.picked` raises.
    """
    name = box if re.fullmatch(BOX_ID, box, re.ASCII) else "none"
    files = provisioning_folder.last(_of_box(state, name) or [_folder(state) / f"{name}{SUFFIX}"])
    return provisioning_folder.picked(Contents(files, whole=False, counts=counts), _folder(state), name, code or None)


def from_stick(root: Path, config: Config, places: IdentityPaths, *, whole: bool) -> Iterator[Reason]:
    """Offer the provisioning files of a stick; yields the result of each.

    *whole* is whether the stick is known to have lost nothing.  All files that this box may take are kept for the first
    page, and at most one is taken.  A box that has an identity ignores the files.
    """
    if not first_start.is_new(config, places.state):
        return
    try:
        own = first_start.own_id(config, places)
        counts = signed_file.counting(places)
        contents = provisioning_folder.look(root, own, whole=whole, counts=counts)
    except LanternError as error:
        yield Reason.of(error)
        return
    except OSError as error:
        yield Reason.of(RequestUnusable(detail=error.strerror or str(error)))
        return
    if contents.more:
        yield Reason.of(ProvisioningMany(limit=provisioning_folder.MOST_FILES))
    chosen = contents.chosen(own)
    kept = [_kept(one, config, places) for one in contents.files]
    for one in kept:  # all are kept before one is taken, because then the box restarts
        yield _decided(one, places, alone=one is chosen) if isinstance(one, ProvisioningFile) else one


def _kept(offered: ProvisioningFile | LanternError, config: Config, places: IdentityPaths) -> ProvisioningFile | Reason:
    """Copy *offered* for the first page if this box may take it, and return it; otherwise the reason against it."""
    try:
        if isinstance(offered, LanternError):
            raise offered
        signed_file.examine(offered, config, places, Proof(fingerprint=offered.content.hospital.fingerprint))
        folder, box = _folder(places.state), offered.content.box
        path = folder / f"{box}.{offered.content.hospital.verify[:_WHOSE]}{SUFFIX}"
        _require_room(path, box, places.state)
        folder.mkdir(exist_ok=True)
        data, _ = read_plain(offered.path, 2 * MOST_BYTES)  # the file on the stick may have any length
        write_whole(path, data, 0o640)
        sync_directory(folder)
    except LanternError as error:
        return Reason.of(error)
    except OSError as error:  # for example a full disk, which must not stop the import of the stick's images
        return Reason.of(RequestUnusable(detail=error.strerror or str(error)))
    return offered


def _require_room(path: Path, box: str, state: StateDir) -> None:
    """Raise `ProvisioningMany` where *path* would be one file more than is looked at."""
    if path.exists():
        return
    if len(_of_box(state, box)) >= MOST_HOSPITALS:
        raise ProvisioningMany(limit=MOST_HOSPITALS)
    kept = offers(state)
    if box not in kept and len(kept) >= provisioning_folder.MOST_FILES:
        raise ProvisioningMany(limit=provisioning_folder.MOST_FILES)


def _decided(offered: ProvisioningFile, places: IdentityPaths, *, alone: bool) -> Reason:
    """Ask for *offered* to be taken if its hospital is known and it is *alone*; otherwise the label's code decides."""
    try:
        taken = alone and signed_file.trusted(offered, places)
        if taken and not first_request.waits(places.state):
            first_request.ask(places.state, FirstRequest(file=offered.content.box))
    except OSError as error:
        return Reason.of(RequestUnusable(detail=error.strerror or str(error)))
    return Reason(ASKED if taken else OFFERED, {"box": offered.content.box})


def _of_box(state: StateDir, name: str) -> list[Path]:
    """The files that are kept for the box *name*; one without its hospital was kept by a version before this one."""
    return [path for path in sorted(_folder(state).glob(f"{name}.*")) if path.name.endswith(SUFFIX)]


def _folder(state: StateDir) -> Path:
    return state.provision / "offered"

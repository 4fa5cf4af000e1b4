"""Many provisioning files in one place, a stick or a folder, and which of them is this box's.

There is one rule for the console and for a stick (`FolderContents.chosen`), because a box keeps the identity that it
takes.  Anybody can sign a file for any box.  So the last file of each hospital for a box counts, and no file hides
another hospital's.  Files are looked for at the top and one folder down, since people copy the folder whole; links are
passed over.

Files from a stick are kept for the first page, where the code of a label decides:

    provision/offered/        for each box one of each hospital; the importer writes them, and root proves each again

Only a file that is this box's beyond doubt, of a hospital that the box knows, is taken without a label.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import DirEntry, scandir
from pathlib import Path
from typing import Final

from firmware_app.appliance import first_start, network_name, provisioning_request, signed_provisioning
from firmware_app.appliance.errors import (
    PROVISIONING_MANY,
    PROVISIONING_NONE,
    CodeWrong,
    ProvisioningForged,
    ProvisioningUndecided,
    ProvisioningUnreadable,
    RequestUnusable,
)
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.appliance.signed_provisioning import SUFFIX, HospitalProof, ProvisioningFile
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, read_plain_file, sync_directory, write_atomically
from firmware_app.uplink.messages.envelope import ProvisioningFinder, is_findable
from firmware_app.uplink.messages.message import MOST_MESSAGE_BYTES
from firmware_app.uplink.messages.summary import BOX_ID

Counts = Callable[[ProvisioningFile], bool]
"""Whether a file's hospital is the one that the box knows."""
MOST_FILES: Final = 1000
"""A hospital's list may be longer; beyond this a file is found by its name alone."""


@dataclass(frozen=True, slots=True)
class FolderContents:
    """The usable files, by name (the last of each hospital for each box), and the reasons against the others."""

    files: tuple[ProvisioningFile | LanternError, ...]
    whole: bool
    """Whether all was seen that there ever was: nothing is damaged, unreadable or spoilt, or was not looked at."""
    more: bool = False
    counts: Counts | None = None

    @property
    def offers(self) -> list[ProvisioningFile]:
        """The files of the box's own hospital, where there are any; else all."""
        every = [one for one in self.files if isinstance(one, ProvisioningFile)]
        return [one for one in every if self.counts is not None and self.counts(one)] or every

    @property
    def refused(self) -> list[LanternError]:
        return [one for one in self.files if isinstance(one, LanternError)]

    @property
    def ours(self) -> list[ProvisioningFile]:
        """The files that may be for this machine: only those that name it, if any does. With files of two hospitals a
        name proves nothing, because either may have invented it.
        """
        may = [one for one in self.offers if one.content.device in ("", network_name.hardware_name())]
        hospitals = {one.content.hospital.verify for one in self.offers}
        return [one for one in may if one.content.device and len(hospitals) == 1] or may or self.offers

    def chosen(self, box: str | None) -> ProvisioningFile | None:
        """This box's file, where nobody needs to say which it is.

        It is the one for *box*, where the id is known; else the one made for this very machine; else the only one, if
        the place is `whole`: what was spoilt or lost may have been this box's, and what is left another's.  None where
        two hospitals have made one.
        """
        if box is not None:
            named = self.called(box)
            return named[0] if len(named) == 1 else None
        ours = self.ours
        decided = len(ours) == 1 and (self.whole or ours[0].content.device == network_name.hardware_name())
        return ours[0] if decided else None

    def called(self, box: str) -> list[ProvisioningFile]:
        return [one for one in self.offers if one.content.box == box]


def read_folder(
    folder: Path, box: str | None = None, *, whole: bool = True, counts: Counts | None = None
) -> FolderContents:
    """Read the files in *folder*, those that are called after *box* before any other.

    *whole* is False where the folder is known to have lost something.  Raises `OSError` where it cannot be read.
    """
    unread: list[str] = []
    named = f"{box}{SUFFIX}"
    paths = heapq.nsmallest(MOST_FILES + 1, _files(folder, unread), key=lambda path: (path.name != named, path))
    files = read_latest(paths[:MOST_FILES])
    more = len(paths) > MOST_FILES
    spoilt = any(isinstance(one, LanternError) for one in files)
    return FolderContents(files, whole and not more and not unread and not spoilt, more, counts)


def read_latest(paths: Iterable[Path]) -> tuple[ProvisioningFile | LanternError, ...]:
    """Of the files at *paths* each hospital's last for each box, and why one cannot be read."""
    read: list[ProvisioningFile | LanternError] = []
    for path in paths:
        try:
            read.append(signed_provisioning.read_file(path, follow=False))
        except LanternError as error:
            read.append(error)
    offers = sorted((one for one in read if isinstance(one, ProvisioningFile)), key=lambda one: one.content.made)
    latest = {_whose(one): one for one in offers}
    return tuple(one for one in read if not isinstance(one, ProvisioningFile) or latest[_whose(one)] is one)


def _whose(offer: ProvisioningFile) -> tuple[str, str]:
    return offer.content.box, offer.content.hospital.verify


def find_file(
    path: Path, box: str | None = None, code: str | None = None, counts: Counts | None = None
) -> ProvisioningFile:
    """The file at *path*, or what is `pick_file` of the folder *path*: never just any of its files.

    Raises what `pick_file` raises.
    """
    if not path.is_dir():
        return signed_provisioning.read_file(path)
    try:
        contents = read_folder(path, box, counts=counts)
    except OSError as error:
        raise ProvisioningUnreadable(file=path.name, detail=error.strerror or str(error)) from None
    return pick_file(contents, path, box, code)


def pick_file(
    contents: FolderContents, path: Path, box: str | None = None, code: str | None = None
) -> ProvisioningFile:
    """This box's file of *contents*, which lie in *path*.

    Where `Contents.chosen` knows none, it is the one that *code*, from the box's label, opens.  Raises
    `ProvisioningUnreadable`, `ProvisioningForged`, `PROVISIONING_NONE`, `PROVISIONING_MANY`, `CodeWrong` and
    `ProvisioningUndecided`.
    """
    if (chosen := contents.chosen(box)) is not None:
        return chosen
    may = contents.ours if box is None else contents.called(box)
    if not may:
        raise _missing(contents, path, box)
    if code is None and (box is not None or not contents.more):
        raise ProvisioningUndecided(folder=str(path), count=len(may) + (len(contents.refused) if box is None else 0))
    for one in _likely(may, code) if code is not None else ():
        with suppress(CodeWrong):
            signed_provisioning.check_proof(one, HospitalProof(code=code))
            return one
    raise PROVISIONING_MANY(limit=MOST_FILES) if contents.more else CodeWrong


def _likely(may: list[ProvisioningFile], code: str) -> Iterator[ProvisioningFile]:
    """Those of *may* that *code* may open: first what `ProvisioningFinder` finds, then the files that an earlier
    version made."""
    if len(may) == 1:
        yield from may
        return
    finders: dict[str, ProvisioningFinder] = {}
    for one in may:
        content = one.content
        if is_findable(content.nonce):
            whose = content.hospital.verify
            finder = finders[whose] = finders.get(whose) or ProvisioningFinder(code, whose)
            if finder.fits(content.nonce, content.box):
                yield one
    yield from (one for one in may if not is_findable(one.content.nonce))


def _missing(contents: FolderContents, folder: Path, box: str | None) -> LanternError:
    """Why there is no file for *box*, or none at all: the one that is called so may be spoilt."""
    wanted = f"{box or '*'}{SUFFIX}"
    for error in reversed(contents.refused):
        if not isinstance(error, ProvisioningUnreadable | ProvisioningForged):
            continue
        if box is None or error.file.startswith(f"{box}."):  # an id has no dot
            return error
    return (
        PROVISIONING_MANY(limit=MOST_FILES) if contents.more else PROVISIONING_NONE(wanted=wanted, folder=str(folder))
    )


def _files(folder: Path, unread: list[str]) -> Iterator[Path]:
    """Every provisioning file by its name; what cannot be looked at goes to *unread*.  Raises `OSError`."""
    below: list[str] = []
    with scandir(folder) as entries:
        for entry in entries:
            if _is(entry, unread, folders=True):
                below.append(entry.path)
            elif _is(entry, unread, folders=False):
                yield Path(entry.path)
    for name in below:
        try:
            with scandir(name) as entries:
                yield from (Path(entry.path) for entry in entries if _is(entry, unread, folders=False))
        except OSError:
            unread.append(name)


def _is(entry: DirEntry[str], unread: list[str], *, folders: bool) -> bool:
    if entry.name.startswith(".") or not (folders or entry.name.endswith(SUFFIX)):
        return False
    try:
        return entry.is_dir(follow_symlinks=False) if folders else entry.is_file(follow_symlinks=False)
    except OSError:
        unread.append(entry.path)
        return False


OFFERED: Final = register(
    "provision.offered",
    N_("A provisioning file for {box} was found. Open the box's page and give the code of its label."),
)
ASKED: Final = register("provision.asked", N_("A provisioning file for {box} was found; the box takes it now."))

MOST_HOSPITALS: Final = 16
"""Whose files for one box are kept: the code of its label is tried on each, and each try costs a scrypt."""
_WHOSE: Final = 32
"""So many digits of a hospital's key are part of a kept file's name: nobody makes a key that has the same."""


def list_offers(state: StateDir) -> list[str]:
    """The ids of the boxes that the kept files are for."""
    kept = sorted({path.name.partition(".")[0] for path in _folder(state).glob(f"*{SUFFIX}")})
    return kept[:MOST_FILES]


def find_offer(state: StateDir, box: str, code: str = "", counts: Counts | None = None) -> ProvisioningFile:
    """The file that was found for *box*: that of the hospital that *counts*, or which *code* opens.

    Raises what `pick_file` raises.
    """
    name = box if re.fullmatch(BOX_ID, box, re.ASCII) else "none"
    files = read_latest(_list_kept_files(state, name) or [_folder(state) / f"{name}{SUFFIX}"])
    return pick_file(FolderContents(files, whole=False, counts=counts), _folder(state), name, code or None)


def offer_from_stick(root: Path, config: Config, places: IdentityPaths, *, whole: bool) -> Iterator[Reason]:
    """Offer the provisioning files of a stick; yields the result of each.

    *whole* is whether the stick is known to have lost nothing.  All files that this box may take are kept for the first
    page, and at most one is taken.  A box that has an identity ignores the files.
    """
    if not first_start.is_unprovisioned(config, places.state):
        return
    try:
        own = first_start.read_box_id(config, places)
        counts = signed_provisioning.make_hospital_filter(places)
        contents = read_folder(root, own, whole=whole, counts=counts)
    except LanternError as error:
        yield Reason.of(error)
        return
    except OSError as error:
        yield Reason.of(RequestUnusable(detail=error.strerror or str(error)))
        return
    if contents.more:
        yield Reason.of(PROVISIONING_MANY(limit=MOST_FILES))
    chosen = contents.chosen(own)
    kept = [_keep_offer(one, config, places) for one in contents.files]
    for one in kept:  # all are kept before one is taken, because then the box restarts
        yield _decide(one, places, alone=one is chosen) if isinstance(one, ProvisioningFile) else one


def _keep_offer(
    offered: ProvisioningFile | LanternError, config: Config, places: IdentityPaths
) -> ProvisioningFile | Reason:
    """Copy *offered* for the first page if this box may take it, and return it; otherwise the reason against it."""
    try:
        if isinstance(offered, LanternError):
            raise offered
        signed_provisioning.check_file(
            offered, config, places, HospitalProof(fingerprint=offered.content.hospital.fingerprint)
        )
        folder, box = _folder(places.state), offered.content.box
        path = folder / f"{box}.{offered.content.hospital.verify[:_WHOSE]}{SUFFIX}"
        _require_room(path, box, places.state)
        folder.mkdir(exist_ok=True)
        data, _ = read_plain_file(offered.path, 2 * MOST_MESSAGE_BYTES)  # the file on the stick may have any length
        write_atomically(path, data, 0o640)
        sync_directory(folder)
    except LanternError as error:
        return Reason.of(error)
    except OSError as error:  # for example a full disk, which must not stop the import of the stick's images
        return Reason.of(RequestUnusable(detail=error.strerror or str(error)))
    return offered


def _require_room(path: Path, box: str, state: StateDir) -> None:
    """Raise `PROVISIONING_MANY` where *path* would be one file more than is looked at."""
    if path.exists():
        return
    if len(_list_kept_files(state, box)) >= MOST_HOSPITALS:
        raise PROVISIONING_MANY(limit=MOST_HOSPITALS)
    kept = list_offers(state)
    if box not in kept and len(kept) >= MOST_FILES:
        raise PROVISIONING_MANY(limit=MOST_FILES)


def _decide(offered: ProvisioningFile, places: IdentityPaths, *, alone: bool) -> Reason:
    """Ask for *offered* to be taken if its hospital is known and it is *alone*; otherwise the label's code decides."""
    try:
        taken = alone and signed_provisioning.is_trusted(offered, places)
        if taken and not provisioning_request.is_waiting(places.state):
            provisioning_request.ask(places.state, FirstRequest(file=offered.content.box))
    except OSError as error:
        return Reason.of(RequestUnusable(detail=error.strerror or str(error)))
    return Reason(ASKED if taken else OFFERED, {"box": offered.content.box})


def _list_kept_files(state: StateDir, name: str) -> list[Path]:
    """The files that are kept for the box *name*; one without its hospital was kept by a version before this one."""
    return [path for path in sorted(_folder(state).glob(f"{name}.*")) if path.name.endswith(SUFFIX)]


def _folder(state: StateDir) -> Path:
    return state.provision / "offered"

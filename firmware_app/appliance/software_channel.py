"""The signed channel: what a publisher offers for this kind of machine and to this box, from a stick or a web server.

Only GET requests go out, for files of the repository; nothing about the box leaves, not even its id: it computes its
place in a ring itself (docs/decisions/software-channel.md).
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import (
    SOFTWARE_ALTERED,
    SOFTWARE_DISK_FULL,
    SOFTWARE_EXPIRED,
    SOFTWARE_FOLDER_UNUSABLE,
    SOFTWARE_KIND_OTHER,
    SOFTWARE_LEFT,
    SOFTWARE_NOT_OFFERED,
    SOFTWARE_OLDER,
    SOFTWARE_PUBLISHER_OTHER,
    SOFTWARE_PUBLISHER_UNKNOWN,
    SOFTWARE_REPOSITORY_INVALID,
    SOFTWARE_ROLLED_BACK,
    SOFTWARE_ROOT_INVALID,
    SOFTWARE_SIGNATURE_WRONG,
    SOFTWARE_TRUNCATED,
    SOFTWARE_UNREACHABLE,
    SOFTWARE_WAITS,
    SoftwareBusy,
    SoftwareCurrent,
)
from firmware_app.appliance.software_bundle import InstalledSystem, Later, is_later, sort_versions
from firmware_app.appliance.software_offers import SoftwareIndex, SoftwareOffer
from firmware_app.core import locks
from firmware_app.core.errors import LanternError
from firmware_app.core.state_dir import StateDir, free_bytes, sync_file
from firmware_app.packs import signed_folder
from firmware_app.packs.signed_folder import RepositoryErrors, SignedFolder

SHIPPED_ROOT: Final = Path("/usr/share/lantern-image/software-root.json")
"""Where an image may carry the publisher's root.json, so that nobody has to give it."""
_FAILURES: Final = RepositoryErrors(
    unknown=SOFTWARE_PUBLISHER_UNKNOWN,
    unreachable=SOFTWARE_UNREACHABLE,
    unusable=SOFTWARE_REPOSITORY_INVALID,
    signature=SOFTWARE_SIGNATURE_WRONG,
    rolled_back=SOFTWARE_ROLLED_BACK,
    expired=SOFTWARE_EXPIRED,
    truncated=SOFTWARE_TRUNCATED,
    altered=SOFTWARE_ALTERED,
    root=SOFTWARE_ROOT_INVALID,
    other_publisher=SOFTWARE_PUBLISHER_OTHER,
    other_kind=SOFTWARE_KIND_OTHER,
)
_PUBLISHER, _SCRATCH, _FETCHED = "publisher", ".fetching", "fetched"
_FETCHES, _RENEWS = ".lock", ".renewing"
_RESERVE: Final = 600_000_000
"""Stays free for images: with less than `[retention] high_water_free_mb` as it comes, the gateway refuses them."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """What is asked of a repository: perhaps one version, perhaps one that was left before, once the root.json."""

    repository: str
    root: Path | None = None
    version: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class UpdateOffer:
    """What a repository offers this box: `refusal` says why it is not to be installed; None: it may be."""

    offer: SoftwareOffer
    refusal: LanternError | None
    age_judged: bool
    path: Path | None = None
    """The file, where it was fetched."""


def choose_offer(
    index: SoftwareIndex,
    machine: InstalledSystem,
    box: str,
    left: Collection[str],
    request: UpdateRequest,
    later: Later = is_later,
) -> tuple[SoftwareOffer, LanternError | None]:
    """The latest version that *box* may install, or the latest at all with the reason why not.

    Raises `SOFTWARE_NOT_OFFERED`.
    """
    offers = {
        software_offer.version: software_offer
        for software_offer in index.list_for(machine.kind)
        if request.version in (None, software_offer.version)
    }
    if not offers:
        others = (
            ", ".join(f"{software_offer.version} ({software_offer.machine})" for software_offer in index.software)
            or "–"
        )
        raise SOFTWARE_NOT_OFFERED(repository=request.repository, machine=machine.kind or "–", offered=others)
    refused: list[tuple[SoftwareOffer, LanternError]] = []
    for version in sort_versions(offers, later):
        offer = offers[version]
        refusal = _find_refusal(offer, machine, box, left=left, request=request, later=later)
        if refusal is None:
            return offer, None
        refused.append((offer, refusal))
    return refused[0]


def _find_refusal(
    offer: SoftwareOffer,
    machine: InstalledSystem,
    box: str,
    left: Collection[str],
    request: UpdateRequest,
    later: Later,
) -> LanternError | None:
    if offer.version == machine.version:
        return SoftwareCurrent(version=offer.version)
    if not later(offer.version, machine.version):
        return SOFTWARE_OLDER(version=offer.version, current=machine.version)
    if offer.version in left and not request.again:
        return SOFTWARE_LEFT(version=offer.version)
    if not offer.ring.includes(offer.version, box):
        return SOFTWARE_WAITS(version=offer.version)
    return None


def check_repository(
    state: StateDir, machine: InstalledSystem, box: str, left: Collection[str], request: UpdateRequest
) -> UpdateOffer:
    """What the repository of *request* offers; raises the `LanternError` that explains why it cannot be read."""
    with _open_repository(state, request) as (repository, _):
        offer, refusal = choose_offer(repository.index, machine, box, left, request)
        return UpdateOffer(offer, refusal, repository.age_judged)


def fetch_update(
    state: StateDir,
    machine: InstalledSystem,
    box: str,
    left: Collection[str],
    request: UpdateRequest,
    on_progress: Progress,
) -> UpdateOffer:
    """Bring the file of what is offered to this box, whole or not at all; none where it is not to be installed."""
    with _open_repository(state, request) as (repository, scratch):
        offer, refusal = choose_offer(repository.index, machine, box, left, request)
        if refusal is not None:
            return UpdateOffer(offer, refusal, repository.age_judged)
        # The library fetches into a nameless file first and copies it when it has proved to be right.
        if (missing := 2 * offer.bytes + _RESERVE - free_bytes(scratch)) > 0:
            raise SOFTWARE_DISK_FULL(missing_mb=missing // 1_000_000 + 1)
        part = scratch / offer.file
        on_progress(0, offer.bytes)
        repository.fetch(offer.target, part)
        on_progress(offer.bytes, offer.bytes)
        place = state.channel / _FETCHED
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        sync_file(part)
        path = part.rename(place / offer.file)
        sync_file(place)
        return UpdateOffer(offer, None, repository.age_judged, path)


@contextmanager
def lock_installation(state: StateDir) -> Iterator[None]:
    """While what is fetched is installed: nobody else does so, and afterwards it is gone.  Raises `SoftwareBusy`."""
    with _hold_lock(state.channel, _RENEWS):
        try:
            yield
        finally:
            shutil.rmtree(state.channel / _FETCHED, ignore_errors=True)


def remove_leftovers(state: StateDir) -> None:
    """Remove what a power cut left half or done with, unless somebody fetches or installs just now."""
    with suppress(SoftwareBusy), _hold_lock(state.channel, _RENEWS), _hold_lock(state.channel, _FETCHES):
        for old in (_FETCHED, _SCRATCH):
            shutil.rmtree(state.channel / old, ignore_errors=True)


@contextmanager
def _open_repository(state: StateDir, request: UpdateRequest) -> Iterator[tuple[SignedFolder[SoftwareIndex], Path]]:
    """The repository, while nobody else fetches, and an empty folder that is gone afterwards."""
    folder, scratch = state.channel, state.channel / _SCRATCH
    with _hold_lock(folder, _FETCHES), _explain_disk_errors(folder):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        trust = folder / _PUBLISHER
        root = request.root or (SHIPPED_ROOT if not trust.exists() and SHIPPED_ROOT.exists() else None)
        try:
            with signed_folder.open_signed_folder(
                request.repository, SoftwareIndex, trust, root=root, scratch=scratch, failures=_FAILURES
            ) as repository:
                yield repository, scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _hold_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock *name*; the kernel frees it when this process ends.  Raises `SoftwareBusy`."""
    with ExitStack() as held:
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            alone = held.enter_context(locks.hold_lock(folder / name))
        except OSError as error:
            raise SOFTWARE_FOLDER_UNUSABLE(path=str(folder), detail=error.strerror or str(error)) from error
        if not alone:
            raise SoftwareBusy
        yield


@contextmanager
def _explain_disk_errors(folder: Path) -> Iterator[None]:
    """What this box's own disk refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SOFTWARE_DISK_FULL(missing_mb=1) from error
        raise SOFTWARE_FOLDER_UNUSABLE(path=str(folder), detail=error.strerror or str(error)) from error

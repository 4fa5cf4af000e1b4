"""Installs and removes packs: a pack is fetched into a staging folder, verified, then put in use by one rename.

Where an older version serves, the new one may be put on trial instead (`InstallRequest.trial`): a link of its own,
which becomes the link in use when the trial is won (:func:`commit_trial`) and goes when it is not (:func:`drop_trial`).

Until that rename the old version stays in use, even after a full disk, a pulled stick or a power cut. The old version
is kept on the disk for :func:`roll_back`.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_app.core import locks
from firmware_app.core.state_dir import sync_file
from firmware_app.packs import pack_folder
from firmware_app.packs.errors import (
    PACK_NO_PREVIOUS,
    PACK_OLDER,
    PACK_SHIPPED,
    PACK_UNKNOWN,
    PackBusy,
    PackDiskFull,
    PackError,
    PackFolderUnusable,
    PackManifestInvalid,
    PackNotOnTrial,
)
from firmware_app.packs.offers import NAME_PATTERN, PackOffer, parse_version
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.pack_store import KEPT_FOLDER, PackStore
from firmware_app.packs.repository import PackRepository, Progress, open_repository

PackJudge = Callable[[Pack], None]
"""Asked about a pack that is whole and not yet in use; raises the `PackError` that keeps it out."""

_STAGING = ".installing"
_LOCK = ".lock"
# Written out because a technician's umask must not keep the reader, of the same group, from its models.
_FOLDER_MODE, _FILE_MODE = 0o2750, 0o640
_LINKS_MODE = 0o2770  # the reader ends trials


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """What a person asks for: a pack from a place, perhaps one version of it, and once the publisher's root.json.

    ``trial``: a version that is to replace another goes on trial beside it first.
    """

    pack: str
    repository: str
    version: str | None = None
    root: Path | None = None
    trial: bool = False


@dataclass(frozen=True, slots=True)
class PackChange:
    """What was done: the pack in use now, the version before (``None`` where there was none, the same if nothing was
    to be done), whether the age of the repository could be judged, and the version that is on trial now."""

    pack: Pack
    before: str | None
    age_judged: bool
    on_trial: str | None = None


def install_pack(store: PackStore, wish: InstallRequest, on_progress: Progress, judge: PackJudge) -> PackChange:
    """Put the pack that is wished for in use, or on trial; nothing is changed where it already is, and whole.

    ``on_progress`` is called with (done, total) bytes; ``judge`` has the last word.  Raises the
    :class:`~firmware_app.core.errors.PackError` that says why not.
    """
    with _lock_packs(store, wish.pack) as staging, _report_full_disk(store, wish.pack):
        with open_repository(wish.repository, wish.pack, store.publisher, wish.root, staging) as repository:
            offer = repository.offer(wish.pack, wish.version)
            used = _in_use(store, wish.pack)
            if used is not None and parse_version(offer.version) < parse_version(used.manifest.version):
                raise PACK_OLDER(pack=wish.pack, offered=offer.version, current=used.manifest.version)
            before = used.manifest.version if used is not None else None
            serving = used if used is not None and _is_whole(used, store) else None
            if serving is not None and before == offer.version:
                return PackChange(serving, before, repository.age_judged, store.find_trial_version(wish.pack))
            if serving is not None and wish.trial and _is_on_trial(store, offer):
                return PackChange(serving, before, repository.age_judged, offer.version)
            staged = _fetch_to_staging(repository, offer, staging, on_progress)
        judge(staged)
        _keep_version(store, staged, staging)
        if serving is not None and wish.trial:
            _link(store, store.trial_link_of(wish.pack), offer.version, staging)
            _forget_others(store, wish.pack, {offer.version, before, _version_below(store, serving)})
            return PackChange(serving, before, repository.age_judged, offer.version)
        _link(store, store.link_of(wish.pack), offer.version, staging)
        _end_trial(store, wish.pack)
        _forget_others(store, wish.pack, {offer.version, before})
        return PackChange(store.find(wish.pack), before, repository.age_judged)


def commit_trial(store: PackStore, name: str) -> PackChange:
    """Put the version that is on trial in use; the one before is kept for :func:`roll_back`.

    Raises :class:`~firmware_app.core.errors.PackNotOnTrial`, or the error for which it is not whole.
    """
    with _lock_packs(store, name) as staging, _report_full_disk(store, name):
        version, used = store.find_trial_version(name), _in_use(store, name)
        before = used.manifest.version if used is not None else None
        if version is None or (before is not None and parse_version(version) < parse_version(before)):
            raise PackNotOnTrial(pack=name)
        pack = Pack.load(store.folder_of(name, version).resolve())
        verify_pack(pack, store)
        _link(store, store.link_of(name), version, staging)
        _end_trial(store, name)
        _forget_others(store, name, {version, before})
        return PackChange(pack, before, True)


def drop_trial(store: PackStore, name: str) -> str:
    """End the trial of a version, which is not used; returns it.

    Its files go with a later change of packs, for a reader may have them open.  Raises
    :class:`~firmware_app.core.errors.PackNotOnTrial`.
    """
    with _lock_packs(store, name), _report_full_disk(store, name):
        version = store.find_trial_version(name) if re.fullmatch(NAME_PATTERN, name) else None
        if version is None:
            raise PackNotOnTrial(pack=name)
        _end_trial(store, name)
        return version


def roll_back(store: PackStore, name: str) -> PackChange:
    """Put the next lower version of a pack in use again, the shipped one where none lower was installed.

    Also where the version in use cannot be read at all. A lower one that is not whole is passed over. Raises
    `PACK_NO_PREVIOUS`.
    """
    with _lock_packs(store, name) as staging, _report_full_disk(store, name):
        linked, used = store.find_linked_version(name), _in_use(store, name)
        if linked is None or (used is not None and parse_version(used.manifest.version) > parse_version(linked)):
            raise PACK_NO_PREVIOUS(pack=name, current=store.find(name).manifest.version)
        lower = [pack for pack in store.versions(name) if parse_version(pack.manifest.version) < parse_version(linked)]
        whole = [pack for pack in lower if _is_whole(pack, store)]
        if not whole:
            raise PACK_NO_PREVIOUS(pack=name, current=linked)
        target = whole[-1]
        if store.is_installed(target):
            _link(store, store.link_of(name), target.manifest.version, staging)
        else:
            store.link_of(name).unlink()
            sync_file(store.installed)
        _end_trial(store, name)
        return PackChange(target, linked, True)


@dataclass(frozen=True, slots=True)
class PackRemoval:
    """What was done: the installed version that is gone, and the shipped pack of that name, where there is one."""

    version: str
    left: Pack | None


def remove_pack(store: PackStore, name: str) -> PackRemoval:
    """Take an installed pack from the box, also where it cannot be read; what is shipped under its name is used again.

    Its files go with the next change of packs, for a reader may work with them until its next start.  Raises
    `PACK_UNKNOWN`, or `PACK_SHIPPED` where only the
    shipped one is there.
    """
    with _lock_packs(store, name), _report_full_disk(store, name):
        version = store.find_linked_version(name) if re.fullmatch(NAME_PATTERN, name) else None
        if version is None:
            raise PACK_SHIPPED(pack=name) if store.is_shipped(name) else PACK_UNKNOWN(pack=name)
        store.link_of(name).unlink()
        sync_file(store.installed)
        _end_trial(store, name)
        return PackRemoval(version, _in_use(store, name))


def verify_pack(pack: Pack, store: PackStore) -> None:
    """Compare a pack with its manifest, and with its SHA256SUMS where it has one; an installed one must have one.

    Raises the :class:`~firmware_app.core.errors.PackError` of the first difference.
    """
    pack.verify()
    if store.is_installed(pack) or (pack.folder / pack_folder.SUMS_FILE).is_file():
        pack_folder.check_sums(pack.folder)


def _fetch_to_staging(repository: PackRepository, offer: PackOffer, staging: Path, on_progress: Progress) -> Pack:
    folder = staging / offer.name
    folder.mkdir()
    if shutil.disk_usage(folder).free < offer.bytes + max(file.bytes for file in offer.files):
        raise PackDiskFull(pack=offer.name)
    repository.fetch(offer, folder, on_progress)
    pack_folder.check_sums(folder)
    pack = Pack.load(folder)
    if pack.manifest.version != offer.version:
        raise PackManifestInvalid(
            path=str(folder), detail=f"it is of version {pack.manifest.version}, offered as {offer.version}"
        )
    pack.require_hardware()
    pack.verify()
    for path in (*folder.rglob("*"), folder):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
        sync_file(path)
    return pack


def _keep_version(store: PackStore, pack: Pack, staging: Path) -> None:
    """Move a staged version to where it is kept; nothing uses it yet."""
    place = store.folder_of(pack.name, pack.manifest.version)
    for folder in (place.parent.parent, place.parent):
        folder.mkdir(exist_ok=True)
        folder.chmod(_FOLDER_MODE)
    if place.exists():  # left from before, and not whole or not in use
        place.rename(staging / "damaged")
    pack.folder.rename(place)
    for folder in (place.parent, place.parent.parent):
        sync_file(folder)


def _link(store: PackStore, link: Path, version: str, staging: Path) -> None:
    """Let *link*, the one in use or the one on trial, name *version*: one rename."""
    if not link.parent.is_dir():
        link.parent.mkdir()
        link.parent.chmod(_LINKS_MODE)
        sync_file(link.parent.parent)
    fresh = staging / "link"
    fresh.symlink_to(os.path.relpath(store.folder_of(link.name, version), link.parent))
    fresh.replace(link)
    sync_file(link.parent)


def _end_trial(store: PackStore, name: str) -> None:
    link = store.trial_link_of(name)
    if link.is_symlink():
        link.unlink()
        sync_file(link.parent)


def _is_on_trial(store: PackStore, offer: PackOffer) -> bool:
    if store.find_trial_version(offer.name) != offer.version:
        return False
    try:
        verify_pack(Pack.load(store.folder_of(offer.name, offer.version).resolve()), store)
    except PackError:
        return False
    return True


def _version_below(store: PackStore, pack: Pack) -> str | None:
    """The version to which a roll-back from *pack* goes."""
    key = parse_version(pack.manifest.version)
    lower = [
        version.manifest.version
        for version in store.versions(pack.name)
        if parse_version(version.manifest.version) < key
    ]
    return lower[-1] if lower else None


def _forget_others(store: PackStore, name: str, kept: set[str | None]) -> None:
    for pack in store.versions(name):
        if store.is_installed(pack) and pack.manifest.version not in kept:
            shutil.rmtree(pack.folder, ignore_errors=True)


def _forget_removed(store: PackStore) -> None:
    for folder in (store.installed / KEPT_FOLDER).glob("*/*"):
        if store.find_linked_version(folder.name) is None and store.find_trial_version(folder.name) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _in_use(store: PackStore, name: str) -> Pack | None:
    return next((pack for pack in store.survey().packs if pack.name == name), None)


def _is_whole(pack: Pack, store: PackStore) -> bool:
    try:
        verify_pack(pack, store)
    except PackError:
        return False
    return True


@contextmanager
def _lock_packs(store: PackStore, name: str) -> Iterator[Path]:
    """An empty staging folder, while no other command changes the packs; gone afterwards."""
    staging = store.installed / _STAGING
    with ExitStack() as held:
        try:
            alone = held.enter_context(locks.hold_lock(store.installed / _LOCK))
        except OSError as error:
            raise PackFolderUnusable(path=str(store.installed), detail=error.strerror or str(error)) from error
        if not alone:
            raise PackBusy(path=str(store.installed))
        shutil.rmtree(staging, ignore_errors=True)
        with _report_full_disk(store, name):
            staging.mkdir()
        _forget_removed(store)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _report_full_disk(store: PackStore, name: str) -> Iterator[None]:
    """What this box's own disk refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PackDiskFull(pack=name) from error
        raise PackFolderUnusable(path=str(store.installed), detail=error.strerror or str(error)) from error

"""Installs and removes packs: a pack is fetched into a staging folder, verified, then put in use by one rename.

Where an older version serves, the new one may be put on trial instead (`InstallRequest.trial`): a link of its own,
which becomes the link in use when the trial is won (:func:`commit`) and goes when it is not (:func:`drop`).

Until that rename the old version stays in use, even after a full disk, a pulled stick or a power cut. The old version
is kept on the disk for :func:`roll_back`.
"""

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_app.core.errors import (
    PackBusy,
    PackDiskFull,
    PackError,
    PackFolderUnusable,
    PackManifestInvalid,
    PackNoPrevious,
    PackNotOnTrial,
    PackOlder,
    PackShipped,
    PackUnknown,
)
from firmware_app.packs import tree
from firmware_app.packs.installed import KEPT, PackStore
from firmware_app.packs.offers import NAME, Offer, version_key
from firmware_app.packs.repository import Progress, Repository, opened
from firmware_app.packs.shelf import Pack

Judge = Callable[[Pack], None]
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
class Change:
    """What was done: the pack in use now, the version before (``None`` where there was none, the same if nothing was
    to be done), whether the age of the repository could be judged, and the version that is on trial now."""

    pack: Pack
    before: str | None
    age_judged: bool
    on_trial: str | None = None


def install(store: PackStore, wish: InstallRequest, on_progress: Progress, judge: Judge) -> Change:
    """Put the pack that is wished for in use, or on trial; nothing is changed where it already is, and whole.

    ``on_progress`` is called with (done, total) bytes; ``judge`` has the last word.  Raises the
    :class:`~firmware_app.core.errors.PackError` that says why not.
    """
    with _alone(store, wish.pack) as staging, _room(store, wish.pack):
        with opened(wish.repository, wish.pack, store.publisher, wish.root, staging) as repository:
            offer = repository.offer(wish.pack, wish.version)
            used = _in_use(store, wish.pack)
            if used is not None and version_key(offer.version) < version_key(used.manifest.version):
                raise PackOlder(pack=wish.pack, offered=offer.version, current=used.manifest.version)
            before = used.manifest.version if used is not None else None
            serving = used if used is not None and _is_whole(used, store) else None
            if serving is not None and before == offer.version:
                return Change(serving, before, repository.age_judged, store.trialled(wish.pack))
            if serving is not None and wish.trial and _is_on_trial(store, offer):
                return Change(serving, before, repository.age_judged, offer.version)
            staged = _staged(repository, offer, staging, on_progress)
        judge(staged)
        _keep(store, staged, staging)
        if serving is not None and wish.trial:
            _link(store, store.trial_link_of(wish.pack), offer.version, staging)
            _forget_others(store, wish.pack, {offer.version, before, _below(store, serving)})
            return Change(serving, before, repository.age_judged, offer.version)
        _link(store, store.link_of(wish.pack), offer.version, staging)
        _end_trial(store, wish.pack)
        _forget_others(store, wish.pack, {offer.version, before})
        return Change(store.find(wish.pack), before, repository.age_judged)


def commit(store: PackStore, name: str) -> Change:
    """Put the version that is on trial in use; the one before is kept for :func:`roll_back`.

    Raises :class:`~firmware_app.core.errors.PackNotOnTrial`, or the error for which it is not whole.
    """
    with _alone(store, name) as staging, _room(store, name):
        version, used = store.trialled(name), _in_use(store, name)
        before = used.manifest.version if used is not None else None
        if version is None or (before is not None and version_key(version) < version_key(before)):
            raise PackNotOnTrial(pack=name)
        pack = Pack.load(store.folder_of(name, version).resolve())
        verify(pack, store)
        _link(store, store.link_of(name), version, staging)
        _end_trial(store, name)
        _forget_others(store, name, {version, before})
        return Change(pack, before, True)


def drop(store: PackStore, name: str) -> str:
    """End the trial of a version, which is not used; returns it.

    Its files go with a later change of packs, for a reader may have them open.  Raises
    :class:`~firmware_app.core.errors.PackNotOnTrial`.
    """
    with _alone(store, name), _room(store, name):
        version = store.trialled(name) if re.fullmatch(NAME, name) else None
        if version is None:
            raise PackNotOnTrial(pack=name)
        _end_trial(store, name)
        return version


def roll_back(store: PackStore, name: str) -> Change:
    """Put the next lower version of a pack in use again, the shipped one where none lower was installed.

    Also where the version in use cannot be read at all. A lower one that is not whole is passed over. Raises
    :class:`~firmware_app.core.errors.PackNoPrevious`.
    """
    with _alone(store, name) as staging, _room(store, name):
        linked, used = store.linked(name), _in_use(store, name)
        if linked is None or (used is not None and version_key(used.manifest.version) > version_key(linked)):
            raise PackNoPrevious(pack=name, current=store.find(name).manifest.version)
        lower = [pack for pack in store.versions(name) if version_key(pack.manifest.version) < version_key(linked)]
        whole = [pack for pack in lower if _is_whole(pack, store)]
        if not whole:
            raise PackNoPrevious(pack=name, current=linked)
        target = whole[-1]
        if store.is_installed(target):
            _link(store, store.link_of(name), target.manifest.version, staging)
        else:
            store.link_of(name).unlink()
            _sync(store.installed)
        _end_trial(store, name)
        return Change(target, linked, True)


@dataclass(frozen=True, slots=True)
class Removal:
    """What was done: the installed version that is gone, and the shipped pack of that name, where there is one."""

    version: str
    left: Pack | None


def remove(store: PackStore, name: str) -> Removal:
    """Take an installed pack from the box, also where it cannot be read; what is shipped under its name is used again.

    Its files go with the next change of packs, for a reader may work with them until its next start.  Raises
    :class:`~firmware_app.core.errors.PackUnknown`, or :class:`~firmware_app.core.errors.PackShipped` where only the
    shipped one is there.
    """
    with _alone(store, name), _room(store, name):
        version = store.linked(name) if re.fullmatch(NAME, name) else None
        if version is None:
            raise PackShipped(pack=name) if store.is_shipped(name) else PackUnknown(pack=name)
        store.link_of(name).unlink()
        _sync(store.installed)
        _end_trial(store, name)
        return Removal(version, _in_use(store, name))


def verify(pack: Pack, store: PackStore) -> None:
    """Compare a pack with its manifest, and with its SHA256SUMS where it has one; an installed one must have one.

    Raises the :class:`~firmware_app.core.errors.PackError` of the first difference.
    """
    pack.verify()
    if store.is_installed(pack) or (pack.folder / tree.FILE_NAME).is_file():
        tree.check(pack.folder)


def _staged(repository: Repository, offer: Offer, staging: Path, on_progress: Progress) -> Pack:
    folder = staging / offer.name
    folder.mkdir()
    if shutil.disk_usage(folder).free < offer.bytes + max(file.bytes for file in offer.files):
        raise PackDiskFull(pack=offer.name)
    repository.fetch(offer, folder, on_progress)
    tree.check(folder)
    pack = Pack.load(folder)
    if pack.manifest.version != offer.version:
        raise PackManifestInvalid(
            path=str(folder), detail=f"it is of version {pack.manifest.version}, offered as {offer.version}"
        )
    pack.require_hardware()
    pack.verify()
    for path in (*folder.rglob("*"), folder):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
        _sync(path)
    return pack


def _keep(store: PackStore, pack: Pack, staging: Path) -> None:
    """Move a staged version to where it is kept; nothing uses it yet."""
    place = store.folder_of(pack.name, pack.manifest.version)
    for folder in (place.parent.parent, place.parent):
        folder.mkdir(exist_ok=True)
        folder.chmod(_FOLDER_MODE)
    if place.exists():  # left from before, and not whole or not in use
        place.rename(staging / "damaged")
    pack.folder.rename(place)
    for folder in (place.parent, place.parent.parent):
        _sync(folder)


def _link(store: PackStore, link: Path, version: str, staging: Path) -> None:
    """Let *link*, the one in use or the one on trial, name *version*: one rename."""
    if not link.parent.is_dir():
        link.parent.mkdir()
        link.parent.chmod(_LINKS_MODE)
        _sync(link.parent.parent)
    fresh = staging / "link"
    fresh.symlink_to(os.path.relpath(store.folder_of(link.name, version), link.parent))
    fresh.replace(link)
    _sync(link.parent)


def _end_trial(store: PackStore, name: str) -> None:
    link = store.trial_link_of(name)
    if link.is_symlink():
        link.unlink()
        _sync(link.parent)


def _is_on_trial(store: PackStore, offer: Offer) -> bool:
    if store.trialled(offer.name) != offer.version:
        return False
    try:
        verify(Pack.load(store.folder_of(offer.name, offer.version).resolve()), store)
    except PackError:
        return False
    return True


def _below(store: PackStore, pack: Pack) -> str | None:
    """The version to which a roll-back from *pack* goes."""
    key = version_key(pack.manifest.version)
    lower = [one.manifest.version for one in store.versions(pack.name) if version_key(one.manifest.version) < key]
    return lower[-1] if lower else None


def _forget_others(store: PackStore, name: str, kept: set[str | None]) -> None:
    for pack in store.versions(name):
        if store.is_installed(pack) and pack.manifest.version not in kept:
            shutil.rmtree(pack.folder, ignore_errors=True)


def _forget_removed(store: PackStore) -> None:
    for folder in (store.installed / KEPT).glob("*/*"):
        if store.linked(folder.name) is None and store.trialled(folder.name) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _in_use(store: PackStore, name: str) -> Pack | None:
    return next((pack for pack in store.survey().packs if pack.name == name), None)


def _is_whole(pack: Pack, store: PackStore) -> bool:
    try:
        verify(pack, store)
    except PackError:
        return False
    return True


@contextmanager
def _alone(store: PackStore, name: str) -> Iterator[Path]:
    """An empty staging folder, while no other command changes the packs; gone afterwards."""
    staging = store.installed / _STAGING
    try:
        lock = os.open(store.installed / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise PackFolderUnusable(path=str(store.installed), detail=error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PackBusy(path=str(store.installed)) from None
        shutil.rmtree(staging, ignore_errors=True)
        with _room(store, name):
            staging.mkdir()
        _forget_removed(store)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        os.close(lock)


@contextmanager
def _room(store: PackStore, name: str) -> Iterator[None]:
    """What this box's own disk refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PackDiskFull(pack=name) from error
        raise PackFolderUnusable(path=str(store.installed), detail=error.strerror or str(error)) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Making a locked backup: databases, settings and installed packs every night, each image and each pack's file once.

The set comes first, since it is small and has what nobody can send again; then the files; then the note that the set is
whole.  A run that was cut off, or that found the disk gone, is continued by the next one.
"""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Final, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.appliance.care.locked import recovery_code, settings
from firmware_app.appliance.care.locked.batch import Batch
from firmware_app.appliance.care.locked.folder import LockedFolder
from firmware_app.appliance.recovery.ring import Copy
from firmware_app.core.errors import LockedFailed, LockedNoRoom
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.packs.installed import KEPT, PackStore
from firmware_app.uplink.messages.locked_file import PIECE, Locker

PACKS: Final = "packs.json"
DATABASES: Final = ("clinical.db", "accounts.db")
_SPARE_BYTES: Final = 16_000_000
_BESIDE: Final = ("references.key", "calibration", "reports")
"""Below clinical/: the references' secret, the clinic's signed operating points, the signed reports."""

Tell = Callable[[int, int], None]
_Fill = Callable[[tarfile.TarFile], None]


def make(
    state: StateDir,
    folder: Path,
    copy: Copy,
    keep: int,
    config: Config | None = None,
    tell: Tell = lambda _done, _of: None,
) -> Path:
    """Lock the ring's *copy* with the settings of *config*, and every file that is not there yet, into *folder*.

    When all is there, older sets than the newest *keep* go, and the files that none needs. Raises `BackupCodeMissing`,
    `BackupFolderOther`, `LockedNoRoom`, `BackupNotWhole` and `LockedFailed`.
    """
    public = recovery_code.public_key(state)
    locked = LockedFolder(folder)
    try:
        locked.prepare(recovery_code.known(state))
        locked.sweep()
        whole = locked.set_of(copy.number)
        needed = sum(one.stat().st_size for one in copy.folder.iterdir())
        with Batch(read_back=True) as batch:
            _lock(batch, whole, public, lambda tar: _pack(state, copy, config, tar), needed)
        needed_files = dict(_files(state, locked, public))
        absent = [(there, file) for there, file in needed_files.items() if not _is_there(there, file)]
        done = 0

        def settled(files: int) -> None:
            nonlocal done
            tell(done := done + files, len(absent))

        with Batch(read_back=True, settled=settled) as batch:
            for there, file in absent:
                there.parent.mkdir(exist_ok=True)
                place = file.relative_to(state.root).as_posix()
                try:
                    needed = file.stat().st_size
                except FileNotFoundError:  # cleared in the meantime
                    continue
                _lock(batch, there, public, lambda tar, file=file, place=place: tar.add(file, place), needed)  # type: ignore[misc]
        # What the box has lost, to a failing disk say, stays where a night before has it.
        lost = {one for one in _named(state, copy, locked, public) - needed_files.keys() if one.exists()}
        locked.complete(copy.number, {one.stem for one in needed_files.keys() | lost})
        locked.let_go(keep)
    except OSError as error:
        raise LockedFailed(path=str(folder), detail=error.strerror or str(error)) from None
    return whole


def is_there(folder: Path, copy: Copy) -> bool:
    """Whether the ring's *copy*, with all that it needs, lies locked in *folder*."""
    return LockedFolder(folder).is_whole(copy.number)


def _files(state: StateDir, locked: LockedFolder, public: X25519PublicKey) -> Iterator[tuple[Path, Path]]:
    """Every file that never changes, after the place where it lies locked."""
    for folder in (state.images, state.packs / KEPT):
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield locked.place_of(file.relative_to(state.root).as_posix(), public), file


def _named(state: StateDir, copy: Copy, locked: LockedFolder, public: X25519PublicKey) -> set[Path]:
    """Where the images that the *copy*'s clinical.db names lie locked, also those that the box has no more."""
    database = copy.folder / state.clinical_db.name
    if not database.exists():
        return set()
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return {locked.place_of(file, public) for (file,) in connection.execute("SELECT file FROM instances")}


def _is_there(there: Path, file: Path) -> bool:
    """A disk that was pulled may have left the name without the content, which is longer than the file itself."""
    try:
        return there.stat().st_size > file.stat().st_size
    except FileNotFoundError:
        return False


def _pack(state: StateDir, copy: Copy, config: Config | None, tar: tarfile.TarFile) -> None:
    """The databases of *copy*, what lies beside clinical.db, the settings, and which packs are installed."""
    for name in DATABASES:
        if name in copy.files:
            tar.add(copy.folder / name, f"{name.removesuffix('.db')}/{name}")
    for name in _BESIDE:
        path = state.clinical_db.parent / name
        if path.exists():
            tar.add(path, f"clinical/{name}")
    if config is not None:
        settings.pack(config, tar)
        _pack_packs(state, PackStore.of(config), tar)


def _pack_packs(state: StateDir, store: PackStore, tar: tarfile.TarFile) -> None:
    links = [one for one in store.installed.glob("*") if one.is_symlink()]
    kept = [path for path in (store.installed / KEPT).rglob("*") if path.is_file()]
    told = {
        "links": {one.name: store.linked(one.name) for one in links},
        "files": sorted(path.relative_to(state.root).as_posix() for path in kept),
    }
    content = json.dumps(told).encode("utf-8")
    entry = tarfile.TarInfo(PACKS)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
    if store.publisher.is_dir():
        tar.add(store.publisher, store.publisher.relative_to(state.root).as_posix())


def _lock(batch: Batch, place: Path, public: X25519PublicKey, fill: _Fill, needed: int) -> None:
    """Write the locked file *place*, a tar of about *needed* bytes."""
    if (missing := needed + _SPARE_BYTES - free_bytes(place.parent)) > 0:
        raise LockedNoRoom(path=str(place.parent), missing_mb=missing // 1_000_000 + 1)
    fresh = batch.begin(place)
    locker = Locker(fresh, public)
    into = cast("IO[bytes]", locker)
    with tarfile.open(fileobj=into, mode="w|", format=tarfile.PAX_FORMAT, bufsize=PIECE) as tar:
        fill(tar)
    locker.finish()
    batch.end()

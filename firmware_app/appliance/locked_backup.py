"""The encrypted backup for a replacement box, in a folder on a clinic's disk or share.

Databases, settings and the list of installed packs are locked every night, each image and each pack's file once.  The
set comes first, since it is small and has what nobody can send again; then the files; then the note that the set is
whole.  A run that was cut off, or that found the disk gone, is continued by the next one.

exchange.db and the box's keys are left out on purpose: the replacement has an identity and a stream of its own, so
the hospital can refuse the old box and counts nothing twice (docs/decisions/locked-backup.md).

The recovery code is on paper; the box keeps its public half alone.  backup/locked.key has the key that backups are
locked with, 32 bytes, and after it those of the codes before: a set under one of them is this box's own.

The settings of a box go to its replacement without the identity, the uplink and the place of the state.  They lie in
the set: settings/lantern.toml and settings/files/…: files in the configuration's own folder that it names, which are
no secret (authorities' certificates, the model engineer's public key).  Keys and tokens are not in it.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from firmware_app.appliance.backup_ring import BackupCopy
from firmware_app.appliance.errors import BACKUP_CODE_MISSING, BACKUP_CODE_THERE, LOCKED_FAILED, LOCKED_NO_ROOM
from firmware_app.appliance.locked_folder import FileBatch, LockedFolder
from firmware_app.core.settings import Config, describe_config, load_config
from firmware_app.core.state_dir import StateDir, free_bytes, make_directory, sync_directory, write_atomically
from firmware_app.packs.pack_store import KEPT_FOLDER, PackStore
from firmware_app.uplink.messages import encrypted_files
from firmware_app.uplink.messages.encrypted_files import PIECE_BYTES, LockedFileWriter
from firmware_app.uplink.messages.envelope import compute_key_id

PACKS: Final = "packs.json"
DATABASES: Final = ("clinical.db", "accounts.db")
_SPARE_BYTES: Final = 16_000_000
_BESIDE: Final = ("references.key", "calibration", "reports")
"""Below clinical/: the references' secret, the clinic's signed operating points, the signed reports."""

Progress = Callable[[int, int], None]
_Fill = Callable[[tarfile.TarFile], None]


def make_locked_backup(
    state: StateDir,
    folder: Path,
    copy: BackupCopy,
    keep: int,
    config: Config | None = None,
    tell: Progress = lambda _done, _of: None,
) -> Path:
    """Lock the ring's *copy* with the settings of *config*, and every file that is not there yet, into *folder*.

    When all is there, older sets than the newest *keep* go, and the files that none needs. Raises
    `BACKUP_CODE_MISSING`, `BACKUP_FOLDER_OTHER`, `LOCKED_NO_ROOM`, `BACKUP_NOT_WHOLE` and `LOCKED_FAILED`.
    """
    public = load_public_key(state)
    locked = LockedFolder(folder)
    try:
        locked.prepare(list_known_keys(state))
        locked.remove_leftovers()
        whole = locked.set_path(copy.number)
        needed = sum(path.stat().st_size for path in copy.folder.iterdir())
        with FileBatch(read_back=True) as batch:
            _lock(batch, whole, public, lambda tar: _write_set(state, copy, config, tar), needed)
        needed_files = dict(_list_files(state, locked, public))
        absent = [(there, file) for there, file in needed_files.items() if not _is_file_locked(there, file)]
        done = 0

        def report_progress(files: int) -> None:
            nonlocal done
            tell(done := done + files, len(absent))

        with FileBatch(read_back=True, settled=report_progress) as batch:
            for there, file in absent:
                there.parent.mkdir(exist_ok=True)
                place = file.relative_to(state.root).as_posix()
                try:
                    needed = file.stat().st_size
                except FileNotFoundError:  # cleared in the meantime
                    continue
                _lock(batch, there, public, lambda tar, file=file, place=place: tar.add(file, place), needed)  # type: ignore[misc]
        # What the box has lost, to a failing disk say, stays where a night before has it.
        lost = {
            image for image in _list_named_images(state, copy, locked, public) - needed_files.keys() if image.exists()
        }
        locked.complete(copy.number, {one.stem for one in needed_files.keys() | lost})
        locked.delete_old_sets(keep)
    except OSError as error:
        raise LOCKED_FAILED(path=str(folder), detail=error.strerror or str(error)) from None
    return whole


def is_locked(folder: Path, copy: BackupCopy) -> bool:
    """Whether the ring's *copy*, with all that it needs, lies locked in *folder*."""
    return LockedFolder(folder).is_whole(copy.number)


def _list_files(state: StateDir, locked: LockedFolder, public: X25519PublicKey) -> Iterator[tuple[Path, Path]]:
    """Every file that never changes, after the place where it lies locked."""
    for folder in (state.images, state.packs / KEPT_FOLDER):
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield locked.locked_path(file.relative_to(state.root).as_posix(), public), file


def _list_named_images(state: StateDir, copy: BackupCopy, locked: LockedFolder, public: X25519PublicKey) -> set[Path]:
    """Where the images that the *copy*'s clinical.db names lie locked, also those that the box has no more."""
    database = copy.folder / state.clinical_db.name
    if not database.exists():
        return set()
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return {locked.locked_path(file, public) for (file,) in connection.execute("SELECT file FROM instances")}


def _is_file_locked(there: Path, file: Path) -> bool:
    """A disk that was pulled may have left the name without the content, which is longer than the file itself."""
    try:
        return there.stat().st_size > file.stat().st_size
    except FileNotFoundError:
        return False


def _write_set(state: StateDir, copy: BackupCopy, config: Config | None, tar: tarfile.TarFile) -> None:
    """The databases of *copy*, what lies beside clinical.db, the settings, and which packs are installed."""
    for name in DATABASES:
        if name in copy.files:
            tar.add(copy.folder / name, f"{name.removesuffix('.db')}/{name}")
    for name in _BESIDE:
        path = state.clinical_db.parent / name
        if path.exists():
            tar.add(path, f"clinical/{name}")
    if config is not None:
        write_settings(config, tar)
        _write_packs(state, PackStore.from_config(config), tar)


def _write_packs(state: StateDir, store: PackStore, tar: tarfile.TarFile) -> None:
    links = [path for path in store.installed.glob("*") if path.is_symlink()]
    kept = [path for path in (store.installed / KEPT_FOLDER).rglob("*") if path.is_file()]
    told = {
        "links": {link.name: store.find_linked_version(link.name) for link in links},
        "files": sorted(path.relative_to(state.root).as_posix() for path in kept),
    }
    content = json.dumps(told).encode("utf-8")
    entry = tarfile.TarInfo(PACKS)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
    if store.publisher.is_dir():
        tar.add(store.publisher, store.publisher.relative_to(state.root).as_posix())


def _lock(batch: FileBatch, place: Path, public: X25519PublicKey, fill: _Fill, needed: int) -> None:
    """Write the locked file *place*, a tar of about *needed* bytes."""
    if (missing := needed + _SPARE_BYTES - free_bytes(place.parent)) > 0:
        raise LOCKED_NO_ROOM(path=str(place.parent), missing_mb=missing // 1_000_000 + 1)
    fresh = batch.begin(place)
    locker = LockedFileWriter(fresh, public)
    into = cast("IO[bytes]", locker)
    with tarfile.open(fileobj=into, mode="w|", format=tarfile.PAX_FORMAT, bufsize=PIECE_BYTES) as tar:
        fill(tar)
    locker.finish()
    batch.end()


KEY_FILE: Final = "locked.key"
_KEY: Final = 32
_FILE_MODE: Final = 0o660


def make_recovery_code(state: StateDir, *, new: bool = False) -> str:
    """A recovery code, of which the box keeps the public half alone; raises `BACKUP_CODE_THERE` unless *new*."""
    if (state.backup / KEY_FILE).exists() and not new:
        raise BACKUP_CODE_THERE()
    code = encrypted_files.make_recovery_code()
    adopt_key(state, encrypted_files.derive_recovery_key(code).public_key())
    return code


def adopt_key(state: StateDir, public: X25519PublicKey) -> None:
    """Lock backups with *public* from now on."""
    keys = [public.public_bytes_raw(), *_read_keys(state)]
    make_directory(state.backup)
    write_atomically(state.backup / KEY_FILE, b"".join(dict.fromkeys(keys)), _FILE_MODE)
    sync_directory(state.backup)


def load_public_key(state: StateDir) -> X25519PublicKey:
    """What backups are locked with; raises `BACKUP_CODE_MISSING`."""
    keys = _read_keys(state)
    if not keys:
        raise BACKUP_CODE_MISSING()
    return X25519PublicKey.from_public_bytes(keys[0])


def list_known_keys(state: StateDir) -> set[bytes]:
    """The ids of the keys that this box has ever locked with."""
    return {compute_key_id(X25519PublicKey.from_public_bytes(key)) for key in _read_keys(state)}


def _read_keys(state: StateDir) -> list[bytes]:
    try:
        content = (state.backup / KEY_FILE).read_bytes()
    except OSError:
        return []
    return [content[at : at + _KEY] for at in range(0, len(content) - len(content) % _KEY, _KEY)]


SETTINGS_FOLDER: Final = "settings"
_SETTINGS_FILE: Final = "lantern.toml"
_PUBLIC: Final = ("tls_ca", "client_ca", "feedback_key")
_OWN: Final = ("uplink", "state")
"""Sections that stay as the replacement has them."""


@dataclass(frozen=True, slots=True)
class RestoredSettings:
    """What the replacement took: the former box's id, and the files that the settings name and that are not here."""

    box: str
    missing: tuple[Path, ...]


def write_settings(config: Config, tar: tarfile.TarFile) -> None:
    """Add the settings to a set."""
    content = describe_config(config).encode("utf-8")
    entry = tarfile.TarInfo(f"{SETTINGS_FOLDER}/{_SETTINGS_FILE}")
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
    for key, path in _list_settings_files(config.model_dump(exclude=set(_OWN))):
        if key in _PUBLIC and os.access(path, os.R_OK):
            tar.add(path, f"{SETTINGS_FOLDER}/files/{path.name}")


def merge_settings(scratch: Path, own: Config) -> tuple[Config, str] | None:
    """The settings in the unpacked set *scratch* for the box of *own*, and the former box's id; None where none are.

    Raises the `ConfigError` of a configuration that this version cannot use.
    """
    path = scratch / SETTINGS_FOLDER / _SETTINGS_FILE
    if not path.exists():
        return None
    former = load_config(path, {})
    box = former.box.model_copy(update={"id": own.box.id})
    return former.model_copy(update={"box": box, **{name: getattr(own, name) for name in _OWN}}), former.box.id


def restore_settings(scratch: Path, at: Path, config: Config, box: str) -> RestoredSettings:
    """Write *config* to *at*, and beside it the files that lay beside the former one and are not there."""
    named = {path for _, path in _list_settings_files(config.model_dump(exclude=set(_OWN)))}
    for file in sorted((scratch / SETTINGS_FOLDER / "files").glob("*")):
        place = at.parent / file.name
        if place in named and not place.exists():
            write_atomically(place, file.read_bytes(), 0o644)
    write_atomically(at, describe_config(config).encode("utf-8"), 0o644)
    sync_directory(at.parent)
    return RestoredSettings(box, tuple(sorted(path for path in named if not path.exists())))


def _list_settings_files(section: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Every path to a file in the configuration, with its key."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _list_settings_files(value)
        elif isinstance(value, Path) and key not in ("dir", "path", "locked", "mount_root"):
            yield key, value

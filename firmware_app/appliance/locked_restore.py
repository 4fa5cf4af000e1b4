"""Restoring a locked backup onto the box that replaces one.

The databases come last, by a rename: a restoring that was cut short leaves a box without cases, and is begun again.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firmware_app.appliance import locked_backup
from firmware_app.appliance.errors import RESTORE_CUT, RESTORE_NO_ROOM, RESTORE_NOT_EMPTY, RESTORE_NOTHING
from firmware_app.appliance.locked_backup import DATABASES, PACKS, Progress, RestoredSettings
from firmware_app.appliance.locked_folder import FileBatch, LockedFolder
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes, link_atomically, make_directory, sync_directory
from firmware_app.packs import installer
from firmware_app.packs.errors import PackError
from firmware_app.packs.pack_folder import Pack
from firmware_app.packs.pack_store import PackStore
from firmware_app.uplink.errors import BackupDamaged, RecoveryCodeOther
from firmware_app.uplink.messages import encrypted_files

_SPARE_BYTES: Final = 16_000_000
_FOLDER_MODE, _FILE_MODE = 0o2770, 0o660
_PACK_FOLDER_MODE, _PACK_MODE = 0o2750, 0o640


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What came back; files that are not there, or are damaged, are counted as missing."""

    set: str
    damaged_sets: tuple[str, ...]
    images: int
    missing: int
    packs: tuple[str, ...] = ()
    broken_packs: tuple[str, ...] = ()
    settings: RestoredSettings | None = None


def restore_backup(
    state: StateDir,
    folder: Path,
    code: str,
    own: Config | None = None,
    settings_at: Path | None = None,
    tell: Progress = lambda _done, _of: None,
) -> RestoreResult:
    """Restore the newest set in *folder* that is whole, and its files, onto a box without cases.

    The settings are written to *settings_at*, with the identity and the line of *own*.  Raises `RESTORE_NOT_EMPTY`,
    `RESTORE_NOTHING`, `RECOVERY_CODE_INVALID`, `RecoveryCodeOther`, `RESTORE_NO_ROOM`, `RESTORE_CUT`, `BackupDamaged`
    and a `ConfigError`.
    """
    require_restorable(state, folder)
    private = encrypted_files.derive_recovery_key(code)
    state.prepare()
    try:
        return _restore(state, LockedFolder(folder), private, own=own, settings_at=settings_at, tell=tell)
    except OSError as error:
        detail = error.strerror or str(error)
        raise RESTORE_CUT(path=str(error.filename or folder), detail=detail) from None


def require_restorable(state: StateDir, folder: Path) -> None:
    """Raise `RESTORE_NOT_EMPTY` or `RESTORE_NOTHING` where the code need not even be asked for."""
    if _has_cases(state.clinical_db):
        raise RESTORE_NOT_EMPTY(path=str(state.root))
    if not LockedFolder(folder).list_sets():
        raise RESTORE_NOTHING(path=str(folder))


def _restore(
    state: StateDir,
    locked: LockedFolder,
    private: X25519PrivateKey,
    own: Config | None,
    settings_at: Path | None,
    tell: Progress,
) -> RestoreResult:
    sets = locked.list_sets()
    scratch = state.backup / "restoring"
    taken, damaged = _unpack_newest(sets, private, scratch)
    config = locked_backup.merge_settings(scratch, own) if own is not None and settings_at is not None else None
    told = _read_pack_list(scratch)
    wanted = [*_list_images(scratch / "clinical" / "clinical.db"), *(told["files"] if own is not None else ())]
    here = {place: locked.locked_path(place, private.public_key()) for place in wanted}
    restored = _unpack_files(state, {place: path for place, path in here.items() if path.exists()}, private, tell)
    packs, broken = _link_packs(PackStore.from_config(own), told["links"]) if own is not None else ([], [])
    images = [place for place in wanted if place.startswith("images/")]
    came = sum(place in restored for place in images)
    written = None
    if config is not None and settings_at is not None:
        written = locked_backup.restore_settings(scratch, settings_at, *config)
    shutil.rmtree(scratch / locked_backup.SETTINGS_FOLDER, ignore_errors=True)
    (scratch / PACKS).unlink(missing_ok=True)
    for old in (
        *state.databases,
        *(Path(f"{database}{end}") for database in state.databases for end in ("-wal", "-shm")),
    ):
        old.unlink(missing_ok=True)
    _move_into_place(scratch, state.root)
    shutil.rmtree(scratch)
    locked_backup.adopt_key(state, private.public_key())  # the same paper opens what the replacement locks
    return RestoreResult(
        set=taken,
        damaged_sets=tuple(damaged),
        images=came,
        missing=len(images) - came,
        packs=tuple(packs),
        broken_packs=tuple(broken),
        settings=written,
    )


def _unpack_newest(sets: list[Path], private: X25519PrivateKey, scratch: Path) -> tuple[str, list[str]]:
    """Unpack the newest set that is whole into *scratch*; its name, and those of the damaged ones after it."""
    damaged: list[str] = []
    for one in sets:
        shutil.rmtree(scratch, ignore_errors=True)  # of one before, or of a restoring that was cut short
        make_directory(scratch)
        try:
            with FileBatch() as batch:
                _unpack(one, private, scratch, batch)
            for name in DATABASES:
                path = scratch / name.removesuffix(".db") / name
                if path.exists() or name == DATABASES[0]:  # a box without accounts is one too
                    _require_whole(path, one.name)
        except BackupDamaged:
            damaged.append(one.name)
        else:
            return one.name, damaged
    raise BackupDamaged(file=damaged[0])


def _unpack_files(state: StateDir, here: dict[str, Path], private: X25519PrivateKey, tell: Progress) -> set[str]:
    """Unpack the locked files, by their places; returns which are there."""
    needed = sum(path.stat().st_size for path in here.values()) + _SPARE_BYTES
    if (missing := needed - free_bytes(state.root)) > 0:
        raise RESTORE_NO_ROOM(path=str(state.root), missing_mb=missing // 1_000_000 + 1)
    restored: set[str] = set()
    done = 0

    def report_progress(files: int) -> None:
        nonlocal done
        tell(done := done + files, len(here))

    with FileBatch(settled=report_progress) as batch:
        for place, path in here.items():
            with suppress(BackupDamaged, RecoveryCodeOther):
                if not (state.root / place).exists():  # by a restoring that was cut short
                    _unpack_file(path, private, state.root, place, batch)
                restored.add(place)
    return restored


def _list_images(database: Path) -> list[str]:
    """The places of the images that *database* still has; those of deleted cases stay where they are."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return sorted(place for (place,) in connection.execute("SELECT file FROM instances"))


def _read_pack_list(scratch: Path) -> dict[str, Any]:
    """Which packs were installed."""
    path = scratch / PACKS
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {"links": {}, "files": []}


def _link_packs(store: PackStore, links: dict[str, str]) -> tuple[list[str], list[str]]:
    """Put the restored packs in use that are whole; their names with the version, and those of the others."""
    used, broken = [], []
    for name, version in sorted(links.items()):
        place = store.folder_of(name, version)
        try:
            installer.verify_pack(Pack.load(place), store)
            link_atomically(store.link_of(name), str(place.relative_to(store.installed)))
            used.append(f"{name} {version}")
        except (PackError, OSError):
            broken.append(f"{name} {version}")
    return used, broken


def _has_cases(path: Path) -> bool:
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as connection:
        try:
            return connection.execute("SELECT 1 FROM cases LIMIT 1").fetchone() is not None
        except sqlite3.OperationalError:  # a file without tables
            return False


def _unpack(path: Path, private: X25519PrivateKey, into: Path, batch: FileBatch) -> None:
    """Extract the locked tar *path*; raises `BackupDamaged` and `RecoveryCodeOther`."""
    with _open_locked(path, private) as tar:
        for member in tar:
            if not (member.isfile() or member.isdir()) or ".." in Path(member.name).parts:
                raise BackupDamaged(file=path.name)
            if member.isfile():
                _extract(tar, member, into / member.name, batch)
                batch.end()


def _unpack_file(path: Path, private: X25519PrivateKey, root: Path, place: str, batch: FileBatch) -> None:
    """Extract the file *place* from the locked tar *path*, which holds nothing else."""
    begun = False
    try:
        with _open_locked(path, private) as tar:
            member = tar.next()
            if member is None or member.name != place or not member.isfile():
                raise BackupDamaged(file=path.name)
            _extract(tar, member, root / place, batch)
            begun = True
    except BackupDamaged:
        if begun:
            batch.discard()
        raise
    batch.end()


@contextmanager
def _open_locked(path: Path, private: X25519PrivateKey) -> Iterator[tarfile.TarFile]:
    """The locked tar *path*; whether it was cut is found out at the end of it."""
    with path.open("rb") as handle:
        stream = _Stream(encrypted_files.read_locked_file(handle, private, path.name))
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=encrypted_files.PIECE_BYTES) as tar:
                yield tar
            stream.drain()
        except (tarfile.TarError, EOFError):
            raise BackupDamaged(file=path.name) from None


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path, batch: FileBatch) -> None:
    is_pack = member.name.startswith("packs/")
    _make_folder(place.parent, _PACK_FOLDER_MODE if is_pack else _FOLDER_MODE)
    source = tar.extractfile(member)
    assert source is not None
    fresh = batch.begin(place, _PACK_MODE if is_pack else _FILE_MODE)
    try:
        while piece := source.read(encrypted_files.PIECE_BYTES):
            fresh.write(piece)
    except (tarfile.TarError, BackupDamaged):
        batch.discard()
        raise


def _make_folder(folder: Path, mode: int) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, mode)
        make_directory(folder, mode)


def _require_whole(path: Path, name: str) -> None:
    """Raise `BackupDamaged` unless the database is whole."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except sqlite3.DatabaseError:
        whole = False
    if not whole:
        raise BackupDamaged(file=name)


def _move_into_place(scratch: Path, root: Path) -> None:
    """Move what was unpacked to its place, for the group of the folder there; clinical.db last."""
    files = [path for path in scratch.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda one: one.name == DATABASES[0]):
        place = root / path.relative_to(scratch)
        make_directory(place.parent)
        if os.geteuid() == 0:
            os.chown(path, -1, place.parent.stat().st_gid)
        path.replace(place)
        sync_directory(place.parent)


class _Stream:
    """The pieces of a locked file as a file to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._waiting = pieces, bytearray()

    def read(self, size: int) -> bytes:
        while len(self._waiting) < size and (piece := next(self._pieces, None)) is not None:
            self._waiting += piece
        given = bytes(self._waiting[:size])
        del self._waiting[:size]
        return given

    def drain(self) -> None:
        """Read to the end, where a file that was cut is found out."""
        for _ in self._pieces:
            pass

"""The backup for a replacement: databases and images, encrypted, in a folder on a clinic's disk or share.

DIR/sets/000012.lnb     the databases of one copy of the ring and the small files beside clinical.db, the newest few
DIR/images/ab/….lnb     each image once, under a name that says nothing of it

exchange.db and the box's keys are left out on purpose: the replacement has an identity and a stream of its own, so the
hospital can refuse the old box and counts nothing twice (docs/restoring.md).  A file gets its name when it is whole.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Final, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from firmware_app.errors import (
    BackupCodeMissing,
    BackupCodeThere,
    BackupDamaged,
    BackupFailed,
    BackupNoRoom,
    RecoveryCodeOther,
    RestoreNotEmpty,
    RestoreNothing,
)
from firmware_app.sealed import locked_file
from firmware_app.sealed.locked_file import Locker
from firmware_app.store.disk.layout import StateDir, free_bytes, make_directory, sync_directory
from firmware_app.store.disk.whole_files import write_whole
from firmware_app.store.rescue.ring import Copy

KEY_FILE: Final = "locked.key"
_SUFFIX: Final = ".lnb"
_SPARE_BYTES: Final = 16_000_000
_BESIDE: Final = ("references.key", "calibration", "reports")
"""Below clinical/: the references' secret, the clinic's signed operating points, the signed reports."""
_DATABASES: Final = ("clinical.db", "accounts.db")
_FILE_MODE: Final = 0o660

Tell = Callable[[int, int], None]


# --- the code -------------------------------------------------------------------------------------------------------


def make_code(state: StateDir, *, new: bool = False) -> str:
    """A recovery code, of which the box keeps the public half alone; raises `BackupCodeThere` unless *new*."""
    path = state.backup / KEY_FILE
    if path.exists() and not new:
        raise BackupCodeThere
    make_directory(state.backup)
    code = locked_file.new_code()
    write_whole(path, locked_file.key_of(code).public_key().public_bytes_raw(), _FILE_MODE)
    sync_directory(state.backup)
    return code


def public_key(state: StateDir) -> X25519PublicKey:
    """What backups are locked with; raises `BackupCodeMissing`."""
    try:
        return X25519PublicKey.from_public_bytes((state.backup / KEY_FILE).read_bytes())
    except (OSError, ValueError):
        raise BackupCodeMissing from None


# --- making ---------------------------------------------------------------------------------------------------------


def make(state: StateDir, folder: Path, copy: Copy, keep: int) -> Path:
    """Lock the ring's *copy* and every image that is not there yet into *folder*; only the newest *keep* sets stay.

    Raises `BackupCodeMissing`, `BackupNoRoom` and `BackupFailed`.
    """
    public = public_key(state)
    try:
        for one in (folder, folder / "sets", folder / "images"):
            one.mkdir(exist_ok=True)
        _images(state, folder, public)
        whole = _set(folder, copy)
        _locked(whole, public, lambda locker: _pack(state, copy, locker), copy.folder)
        for old in _sets(folder)[keep:]:
            old.unlink()
    except OSError as error:
        raise BackupFailed(path=str(folder), detail=error.strerror or str(error)) from None
    return whole


def newest_number(folder: Path) -> int:
    """The highest number of the sets in *folder*, also of a box before this one; 0 without any."""
    return max((int(one.stem) for one in _sets(folder) if one.stem.isdecimal()), default=0)


def is_there(folder: Path, copy: Copy) -> bool:
    """Whether the ring's *copy* lies locked in *folder*."""
    return _set(folder, copy).exists()


def _set(folder: Path, copy: Copy) -> Path:
    return folder / "sets" / f"{copy.number:06d}{_SUFFIX}"


def _images(state: StateDir, folder: Path, public: X25519PublicKey) -> None:
    for image in sorted(path for path in state.images.rglob("*") if path.is_file()):
        there = _locked_place(folder, image.relative_to(state.root).as_posix(), public)
        if not there.exists():
            there.parent.mkdir(exist_ok=True)
            _locked(there, public, lambda locker, image=image: _add(locker, image, state.root), image)  # type: ignore[misc]


def _locked_place(folder: Path, place: str, public: X25519PublicKey) -> Path:
    """Where the image at *place* below the state lies locked."""
    name = hmac.new(public.public_bytes_raw(), place.encode(), hashlib.sha256).hexdigest()[:40]
    return folder / "images" / name[:2] / f"{name}{_SUFFIX}"


def _pack(state: StateDir, copy: Copy, locker: Locker) -> None:
    """The databases of *copy* and what lies beside clinical.db, as one tar."""
    with tarfile.open(fileobj=cast("IO[bytes]", locker), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name in _DATABASES:
            if name in copy.files:
                tar.add(copy.folder / name, f"{name.removesuffix('.db')}/{name}")
        for name in _BESIDE:
            path = state.clinical_db.parent / name
            if path.exists():
                tar.add(path, f"clinical/{name}")


def _add(locker: Locker, path: Path, root: Path) -> None:
    with tarfile.open(fileobj=cast("IO[bytes]", locker), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.add(path, path.relative_to(root).as_posix())


def _locked(path: Path, public: X25519PublicKey, fill: Callable[[Locker], None], source: Path) -> None:
    """Write the locked file *path*, whole or not at all."""
    needed = sum(one.stat().st_size for one in ([source] if source.is_file() else source.iterdir()))
    if (missing := needed + _SPARE_BYTES - free_bytes(path.parent)) > 0:
        raise BackupNoRoom(path=str(path.parent), missing_mb=missing // 1_000_000 + 1)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as handle:
        locker = Locker(handle, public)
        fill(locker)
        locker.finish()
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def _sets(folder: Path) -> list[Path]:
    """The sets in *folder*, the newest first."""
    return sorted((folder / "sets").glob(f"*{_SUFFIX}"), reverse=True)


# --- restoring ------------------------------------------------------------------------------------------------------


def restore(state: StateDir, folder: Path, code: str, tell: Tell = lambda _done, _of: None) -> int:
    """Restore the newest set in *folder* and its images onto a box without cases; returns how many images.

    The databases come last: a restoring that was cut short is begun again.  Raises `RestoreNotEmpty`, `RestoreNothing`,
    `RecoveryCodeInvalid`, `RecoveryCodeOther`, `BackupNoRoom` and `BackupDamaged`.
    """
    private = locked_file.key_of(code)
    if _has_cases(state.clinical_db):
        raise RestoreNotEmpty(path=str(state.root))
    sets = _sets(folder)
    if not sets:
        raise RestoreNothing(path=str(folder))
    state.prepare()
    scratch = state.backup / "restoring"
    shutil.rmtree(scratch, ignore_errors=True)  # of a restoring that was cut short
    _unpack(sets[0], private, scratch)
    for name in _DATABASES:
        path = scratch / name.removesuffix(".db") / name
        if path.exists() or path.name == state.clinical_db.name:  # a box without accounts is one too
            _check(path, sets[0].name)
    images = _wanted(folder, scratch / "clinical" / "clinical.db", private.public_key())
    needed = sum(one.stat().st_size for one in images) + _SPARE_BYTES
    if (missing := needed - free_bytes(state.root)) > 0:
        raise BackupNoRoom(path=str(state.root), missing_mb=missing // 1_000_000 + 1)
    restored = 0
    for number, image in enumerate(images, 1):
        with suppress(RecoveryCodeOther):  # of a code before this one; it is there under this one too
            _unpack(image, private, state.root, images=True)
            restored += 1
        tell(number, len(images))
    for old in (*state.databases, *(Path(f"{one}{end}") for one in state.databases for end in ("-wal", "-shm"))):
        old.unlink(missing_ok=True)
    _put(scratch, state.root)
    shutil.rmtree(scratch)
    return restored


def _wanted(folder: Path, database: Path, public: X25519PublicKey) -> list[Path]:
    """The locked images that *database* still has; those of deleted cases stay where they are."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        places = [place for (place,) in connection.execute("SELECT file FROM instances")]
    locked = [_locked_place(folder, place, public) for place in places]
    return sorted(one for one in locked if one.exists())


def _has_cases(path: Path) -> bool:
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as connection:
        try:
            return connection.execute("SELECT 1 FROM cases LIMIT 1").fetchone() is not None
        except sqlite3.OperationalError:  # a file without tables
            return False


def _unpack(path: Path, private: X25519PrivateKey, into: Path, *, images: bool = False) -> None:
    """Extract the locked tar *path*; of an image's only what belongs below images/."""
    with path.open("rb") as handle:
        stream = _Stream(locked_file.opened(handle, private, path.name))
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as tar:
                for member in tar:
                    place = into / member.name
                    if not (member.isfile() or member.isdir()) or ".." in Path(member.name).parts:
                        raise BackupDamaged(file=path.name)
                    if images and (not member.name.startswith("images/") or place.exists()):
                        continue
                    _extract(tar, member, place)
            stream.drain()
        except (tarfile.TarError, EOFError):
            raise BackupDamaged(file=path.name) from None


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    if member.isdir():
        make_directory(place)
        return
    make_directory(place.parent)
    source = tar.extractfile(member)
    assert source is not None
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    with fresh.open("xb") as handle:
        while piece := source.read(locked_file.PIECE):
            handle.write(piece)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.chmod(_FILE_MODE)
    fresh.replace(place)


def _check(path: Path, name: str) -> None:
    """Raise `BackupDamaged` unless the database is whole."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except sqlite3.DatabaseError:
        whole = False
    if not whole:
        raise BackupDamaged(file=name)


def _put(scratch: Path, root: Path) -> None:
    """Move what was unpacked to its place, clinical.db last."""
    files = [path for path in scratch.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda one: one.name == "clinical.db"):
        place = root / path.relative_to(scratch)
        make_directory(place.parent)
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

"""The ring of backups: the newest few copies of the databases, each whole, on the disk, and checked before it counts.

backup/000012/  clinical.db  exchange.db  accounts.db  report.json

A copy is made in ``new/`` by SQLite's online backup (a snapshot of each database, even while others write), read back
completely, and gets its number by one rename: before it, the backup does not exist; after it, it is complete.  Only
then is the oldest removed, also by a rename.  Later, a copy is verified by its SHA-256.

A copy of accounts.db can be opened only by the group that may open accounts.db; on another disk, which has no folder of
that group, only by its maker.  A disk without file modes (FAT) gets no copy at all.

If the ring is on another disk, ``backup/elsewhere`` names it, so that a rescue, which reads no configuration, finds it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import (
    BACKUP_DISK_OPEN,
    BACKUP_FAILED,
    BACKUP_NO_ROOM,
    BACKUP_NOT_WHOLE,
    BACKUP_UNDER_WAY,
)
from firmware_app.core import clock, database_health, locks
from firmware_app.core.database import Database
from firmware_app.core.state_dir import StateDir, free_bytes, make_directory, sync_directory, sync_file

log = logging.getLogger("lantern.store")

_REPORT: Final = "report.json"
_ELSEWHERE: Final = "elsewhere"
_ACCOUNTS: Final = "accounts.db"
_PROBE: Final = "modes"
_SPARE_BYTES: Final = 4_000_000
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BackupCopy:
    """One backup: its number, its time (by a clock that may be wrong), and the SHA-256 of each file."""

    folder: Path
    number: int
    at: str
    boot: str
    files: Mapping[str, str]


class BackupRing:
    """The backups in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_copies(self) -> list[BackupCopy]:
        """Every readable backup, newest first; its digests are only checked when it is used."""
        copies = [
            copy for number in _list_numbers(self.folder) if (copy := _read_copy(self.folder, number)) is not None
        ]
        return sorted(copies, key=lambda copy: -copy.number)

    def make(self, databases: Iterable[Path], keep: int, reserve_bytes: int, above: int = 0) -> BackupCopy:
        """Add a backup of *databases*, numbered higher than *above*, and delete all but the newest *keep*.

        Leaves *reserve_bytes* of the disk free: older backups are deleted first if necessary, but never the last one.
        Raises `BACKUP_UNDER_WAY`, `BACKUP_DISK_OPEN`, `BACKUP_NO_ROOM`, `BACKUP_FAILED`, `BACKUP_NOT_WHOLE` and the
        errors of opening a database.
        """
        try:
            present = [path for path in databases if path.exists() and path.stat().st_size]
            make_directory(self.folder)
            with _hold_ring_lock(self.folder):
                self._remove_leftovers()
                self._require_modes(present)
                self._make_room(sum(map(_measure_bytes, present)) + _SPARE_BYTES, reserve_bytes)
                number = max([above, *_list_numbers(self.folder)]) + 1
                made = self._make(present, number)
                self._delete_copies(_list_numbers(self.folder)[:-keep])
                return made
        except (OSError, sqlite3.Error) as error:
            detail = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise BACKUP_FAILED(path=str(self.folder), detail=detail) from None

    def _make(self, databases: Sequence[Path], number: int) -> BackupCopy:
        new = self.folder / "new"
        new.mkdir()
        if (mode := new.stat().st_mode) & 0o770 != 0o770:  # the unit's umask is right, and it may set no setgid bit
            new.chmod(mode & 0o7000 | 0o770)
        for path in databases:
            _copy(path, new / path.name)
        files = {path.name: _compute_digest(new / path.name) for path in databases}
        at = clock.stamp_text("seconds")
        copy = BackupCopy(self.folder / f"{number:06d}", number, at, clock.boot_id(), files)
        report = {name: value for name, value in asdict(copy).items() if name != "folder"}
        _write(new / _REPORT, json.dumps(report))
        sync_directory(new)
        new.rename(copy.folder)
        sync_directory(self.folder)
        return copy

    def _require_modes(self, databases: Sequence[Path]) -> None:
        """Raise `BACKUP_DISK_OPEN` where another disk cannot restrict who reads the copies."""
        if all(path.stat().st_dev == self.folder.stat().st_dev for path in databases):
            return
        probe = self.folder / _PROBE
        probe.unlink(missing_ok=True)  # a killed run's
        descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for mode in (0o640, 0o600):  # both: a disk that is mounted for one user alone keeps no modes either
                with suppress(OSError):
                    os.fchmod(descriptor, mode)
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
                    raise BACKUP_DISK_OPEN(path=str(self.folder))
        finally:
            os.close(descriptor)
            probe.unlink()

    def _make_room(self, needed: int, reserve_bytes: int) -> None:
        while (missing := needed + reserve_bytes - free_bytes(self.folder)) > 0:
            numbers = _list_numbers(self.folder)
            if len(numbers) < 2:
                raise BACKUP_NO_ROOM(path=str(self.folder), missing_mb=missing // 1_000_000 + 1)
            self._delete_copies(numbers[:1])

    def _delete_copies(self, numbers: Iterable[int]) -> None:
        """Rename the folders first, then delete the files: an incomplete backup never has a number."""
        for number in numbers:
            gone = self.folder / f"gone-{number}"
            (self.folder / f"{number:06d}").rename(gone)
            sync_directory(self.folder)
            shutil.rmtree(gone)

    def _remove_leftovers(self) -> None:
        """Delete what a killed run left."""
        for left in (self.folder / "new", *self.folder.glob("gone-*")):
            if left.exists():
                shutil.rmtree(left)


def list_rings(state: StateDir) -> list[BackupRing]:
    """The ring in the state directory and the one on another disk, as far as they exist."""
    folders = [state.backup]
    with suppress(OSError, UnicodeDecodeError):
        folders.append(Path((state.backup / _ELSEWHERE).read_text("utf-8").strip()))
    return [BackupRing(folder) for folder in dict.fromkeys(folders)]


def set_ring_folder(state: StateDir, folder: Path) -> None:
    """Remember durably that the ring lies in *folder*."""
    pointer = state.backup / _ELSEWHERE
    with suppress(OSError, UnicodeDecodeError):
        if pointer.read_text("utf-8") == str(folder):
            return
    if folder == state.backup:
        return
    try:
        make_directory(state.backup)
        fresh = pointer.with_suffix(".new")
        _write(fresh, str(folder))
        fresh.replace(pointer)
        sync_directory(state.backup)
    except OSError as error:
        raise BACKUP_FAILED(path=str(pointer), detail=error.strerror or str(error)) from None


def list_copies(state: StateDir) -> list[BackupCopy]:
    """Every backup of this box, newest first."""
    return sorted((copy for ring in list_rings(state) for copy in ring.read_copies()), key=lambda copy: -copy.number)


def find_newest_whole(state: StateDir, name: str) -> tuple[BackupCopy, Path] | None:
    """The newest backup that still holds a whole database *name*; None where there is none."""
    for copy in list_copies(state):
        path = copy.folder / name
        with suppress(OSError):
            if name in copy.files and _compute_digest(path) == copy.files[name] and _find_damage(path) is None:
                return copy, path
            if name in copy.files:
                log.warning("backup %d of %s is not whole any more", copy.number, name)
    return None


@contextmanager
def open_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """A database of the ring, read-only; no file is created beside it either."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


# --- one file ------------------------------------------------------------------------------------------------------


def _copy(database: Path, to: Path) -> None:
    """Write a snapshot of *database* to *to*, as one file, verified and durable."""
    _create_empty(database, to)
    source = Database(database)
    try:
        with closing(sqlite3.connect(to, isolation_level=None)) as target:
            source.connection.backup(target)  # all pages in one step: in pieces, every write would begin it anew
            target.execute("PRAGMA journal_mode=DELETE").fetchone()
        if _find_damage(to) is not None:
            answer = source.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if answer != "ok":
                database_health.write_damage_note(
                    database
                )  # a running box now restarts its processes and repairs the database
            raise BACKUP_NOT_WHOLE(database=database.name)
    finally:
        source.close()
    sync_file(to)


def _create_empty(database: Path, to: Path) -> None:
    """Create an empty file at *to* with the access rights of *database*.

    The file for accounts.db is created in that database's folder, from which it inherits the group, and moved while it
    is empty: a unit in a user namespace cannot change a file's group (user_namespaces(7)).
    """
    born = database.with_name(f"copy-of-{database.name}") if database.name == _ACCOUNTS else to
    born.unlink(missing_ok=True)  # a killed run's
    os.close(os.open(born, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        born.rename(to)
    except OSError as error:
        born.unlink()
        if error.errno != errno.EXDEV:
            raise
        os.close(os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    else:
        to.chmod(0o660)


def _find_damage(path: Path) -> str | None:
    """What SQLite finds wrong with the copy at *path*."""
    try:
        with open_copy(path) as connection:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else answer


def _compute_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _measure_bytes(database: Path) -> int:
    log_file = database.with_name(database.name + "-wal")
    return database.stat().st_size + (log_file.stat().st_size if log_file.exists() else 0)


def _read_copy(folder: Path, number: int) -> BackupCopy | None:
    place = folder / f"{number:06d}"
    try:
        report = json.loads((place / _REPORT).read_text("utf-8"))
        return BackupCopy(place, number, str(report["at"]), str(report["boot"]), dict(report["files"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _list_numbers(folder: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdecimal())
    except OSError:
        return []


@contextmanager
def _hold_ring_lock(folder: Path) -> Iterator[None]:
    with locks.hold_lock(folder / ".lock") as alone:
        if not alone:
            raise BACKUP_UNDER_WAY(path=str(folder))
        yield


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o660)
    sync_file(path)

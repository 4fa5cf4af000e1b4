"""The state directory: its folders, their modes, and how its files are written safely.

incoming/    half-received objects; emptied at start, never read
images/      accepted objects, ab/abcdef….dcm by the sha256 of the file, never changed again
set_aside/   objects that conflict with an accepted one
display/     frames and heat maps that the reader rendered for people
clinical/    clinical.db, the secret behind its references; calibration/ has the clinic's signed operating points;
             reports/ what doctors have signed; damaged/ keeps what a rescue set aside, as in the next two
accounts/    accounts.db: who may use the viewer
outgoing/    result objects on their way to an archive, a folder for each version of a case
results/     result objects that viewers may fetch over DICOMweb, a folder for each case
run/         the status of the running processes; trials.json: the trials of the runtimes on this box;
             ballast: preallocated, released when the disk is full, so that the databases can still be written
exchange/    exchange.db, and the uplink's status: all that the uplink's user may open
line/        the box's keys and the hospital's public bundle, made by provisioning
provision/   on an installed box: requests of its first page, and their results; of the viewer's group
software/    on an installed box: a software file on its way from a browser, and the requests to root
channel/     root's: the publisher of software that is trusted, and what was fetched from it
packs/       model packs that were installed, and the publisher they are trusted from
usb/         receipts of what was copied from sticks, marks by which known files are recognized, and the provisioning
             files that sticks have offered
backup/      the ring of copies of the databases, or the name of the other disk that holds it
factory-reset.json  while a factory reset is under way
.exporting-…/  while a case is sealed: one de-identified object at a time, open only to the exporting user

On an installed box only root may write in the state directory itself: a user who could rename or replace one of these
folders could gain access to everything.  Files are replaced atomically, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from firmware_app.core import disk
from firmware_app.core.disk import free_bytes as free_bytes
from firmware_app.core.errors import RESET_UNFINISHED

# rwxrws---: files made inside belong to the clinical group, whichever of the box's users makes them.
_DIRECTORY_MODE = 0o2770
_FILE_MODE = 0o660
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # with O_EXCL no link is followed: open(2)
# The uplink's user is not in the clinical group: it may pass through to exchange/, but not list.  The group may list,
# but not create anything here.
_ROOT_MODE = 0o751
# More than enough: the processes were measured to write 0.4 MB before they are ready.
_TIGHT_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class StateDir:
    """Paths of one box's state.  `prepare` creates them; everything else only returns paths."""

    root: Path

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def set_aside(self) -> Path:
        return self.root / "set_aside"

    @property
    def display(self) -> Path:
        return self.root / "display"

    @property
    def outgoing(self) -> Path:
        return self.root / "outgoing"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def trials(self) -> Path:
        """The results of trying the runtimes (`packs.execution_variants`)."""
        return self.run / "trials.json"

    @property
    def clinical_db(self) -> Path:
        return self.root / "clinical" / "clinical.db"

    @property
    def accounts_db(self) -> Path:
        return self.root / "accounts" / "accounts.db"

    @property
    def exchange_db(self) -> Path:
        return self.root / "exchange" / "exchange.db"

    @property
    def line_keys(self) -> Path:
        """The default folder for the box's keys, filled by provisioning."""
        return self.root / "line"

    @property
    def enrol_call(self) -> Path:
        """What the uplink asks while the box is not enrolled; root writes it (`appliance.uplink_enrolment`)."""
        return self.line_keys / "enrol.json"

    @property
    def enrol_answer(self) -> Path:
        """What the hospital answered, as the uplink heard it; root proves it."""
        return self.exchange_db.parent / "enrolment.json"

    @property
    def provision(self) -> Path:
        """Made by the setup of an installed box, never here: without it, nothing processes the requests."""
        return self.root / "provision"

    @property
    def software(self) -> Path:
        """Made by the setup of an installed box, as `provision` is."""
        return self.root / "software"

    @property
    def channel(self) -> Path:
        return self.root / "channel"

    @property
    def packs(self) -> Path:
        return self.root / "packs"

    @property
    def usb(self) -> Path:
        return self.root / "usb"

    @property
    def backup(self) -> Path:
        return self.root / "backup"

    @property
    def factory_reset(self) -> Path:
        """There while a factory reset is under way: nothing of the box starts then (`appliance.factory_reset`)."""
        return self.root / "factory-reset.json"

    @property
    def databases(self) -> tuple[Path, ...]:
        return (self.clinical_db, self.exchange_db, self.accounts_db)

    def run_folder(self, process: str) -> Path:
        """The folder for the status of *process*; the uplink has its own, because it may not enter `run`."""
        return self.exchange_db.parent if process == "uplink" else self.run

    @property
    def ballast(self) -> Path:
        return self.run / "ballast"

    def prepare(self) -> None:
        """Make what is missing, durably.  Raises a `StoreError` (see `fault.named`) or `RESET_UNFINISHED`."""
        if self.factory_reset.exists():
            raise RESET_UNFINISHED()
        try:
            changed = [folder.parent for folder in (self.root, *self.root.parents) if not folder.exists()]
            make_directory(self.root, _ROOT_MODE)
            for folder in (
                self.incoming,
                self.images,
                self.set_aside,
                self.display,
                self.outgoing,
                self.results,
                self.run,
                self.packs,
                self.backup,
                self.usb,
                self.clinical_db.parent,
                self.accounts_db.parent,
                self.exchange_db.parent,
            ):
                if not folder.is_dir():
                    make_directory(folder)
                    changed.insert(0, self.root)
            # A file is only durable if the entry of every folder above it is durable too.
            for folder in dict.fromkeys(changed):
                sync_directory(folder)
        except OSError as error:
            raise disk.classify_disk_error(self.root, error) from None

    def prepare_ballast(self, megabytes: int) -> None:
        """Reserve *megabytes* of disk for `release_ballast`.

        Does nothing where less than four times that is free: a nearly full disk must not be filled further.
        """
        with suppress(PermissionError):
            (self.root / "ballast").unlink(missing_ok=True)  # where an earlier version had it
        wanted = megabytes * 1_000_000
        if wanted == 0 or free_bytes(self.root) < 4 * wanted:
            return
        if self.ballast_bytes >= wanted:
            return
        make_directory(self.run)
        # Root does this too, in a folder that others may write: an existing file of this name is never opened.
        clear_away(self.ballast)
        try:
            descriptor = os.open(self.ballast, _NEW, _FILE_MODE)
        except FileExistsError:
            return  # another process makes it at this very moment
        try:
            os.posix_fallocate(descriptor, 0, wanted)
        finally:
            os.close(descriptor)

    @property
    def ballast_bytes(self) -> int:
        """The bytes that `release_ballast` would free: 0 for a link, a pipe, or a hard link to another file."""
        try:
            status = self.ballast.lstat()
        except FileNotFoundError:
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 else 0

    def make_room(self) -> bool:
        """At a start: release the ballast if the disk is too full to open a database; returns whether it was."""
        try:
            return free_bytes(self.root) < _TIGHT_BYTES and self.release_ballast()
        except OSError:  # no state or no disk yet: the first write reports it
            return False

    def release_ballast(self) -> bool:
        """Free the reserved space; False when there was none or it cannot be freed."""
        try:
            self.ballast.unlink()
        except OSError:
            return False
        return True


def make_directory(folder: Path, mode: int = _DIRECTORY_MODE) -> None:
    """Make *folder* (and its parents) with the box's *mode*; an existing one keeps the mode it has."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) != mode:
        # Not where the kernel has handed the setgid bit down: a sandboxed unit may not set it (RestrictSUIDSGID=).
        folder.chmod(mode)


def sync_file(path: Path) -> None:
    """Return only when the content of the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(folder: Path) -> None:
    """Return only when the names in *folder* are on the disk."""
    sync_file(folder)


def clear_away(path: Path) -> None:
    """Free the name *path*, whatever has it.  A folder that is not empty is renamed, not deleted: that could take as
    long as whoever made it likes."""
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        try:
            path.rmdir()
        except OSError:
            path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}"))


def write_atomically(path: Path, data: bytes, mode: int) -> None:
    """Write a file atomically; durable once the folder is synced too.

    The temporary file is always new, never an existing one.
    """
    fresh = path.with_name(f".{path.name}.new")
    clear_away(fresh)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as handle:  # noqa: PTH123 - the descriptor carries the mode
        os.fchmod(descriptor, mode)  # whatever the umask of a terminal says
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def read_plain_file(path: Path, most: int, *, follow: bool = False) -> tuple[bytes, os.stat_result]:
    """The first *most* bytes of a file, and its stat result.

    Raises `OSError`, also for anything but a plain file (a folder, a pipe, a device; a link, unless *follow*).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        with open(descriptor, "rb", closefd=False) as handle:
            return handle.read(most), status
    finally:
        os.close(descriptor)


def link_atomically(path: Path, target: str) -> None:
    """Create or replace a symbolic link atomically: it points to the old or the new target at any time."""
    fresh = path.with_name(f".{path.name}.new")
    clear_away(fresh)
    fresh.symlink_to(target)
    fresh.replace(path)
    sync_directory(path.parent)


Done = TypeVar("Done")
_DISK_FULL_CODES: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


def retry_with_ballast(state: StateDir, work: Callable[[], Done]) -> Done:
    """The result of *work*; if the disk is too full, the ballast is released and *work* is tried again."""
    try:
        return work()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _DISK_FULL_CODES or not state.release_ballast():
            raise
        return work()

"""One object on its way in: a file in ``incoming/`` that is hashed as it grows, and gone unless the door keeps it."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from firmware_app.errors import (
    DiskFailing,
    DiskFull,
    DiskReadOnly,
    NotKept,
    NotKeptFailing,
    NotKeptReadOnly,
    ObjectTooLarge,
    SpaceShort,
    StoreError,
)
from firmware_app.store.disk import fault
from firmware_app.store.disk.layout import free_bytes

_RECHECK_BYTES: Final = 4_000_000  # large objects must not eat the reserve between two looks at the free space


def check_space(folder: Path, reserve_bytes: int, coming_bytes: int = 0) -> None:
    """Raise `SpaceShort` unless *coming_bytes* fit and leave *reserve_bytes* free."""
    with disk_errors(folder):
        free = free_bytes(folder)
    if free - coming_bytes < reserve_bytes:
        raise SpaceShort(free_mb=free // 1_000_000)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the system's errors inside the block into what `not_kept` tells."""
    try:
        yield
    except OSError as error:
        raise not_kept(folder, error) from None


def not_kept(folder: Path, error: OSError | sqlite3.Error | StoreError) -> SpaceShort | NotKept:
    """What the sender is told of *error*, which the disk or a database below *folder* gave."""
    if isinstance(error, StoreError):  # the database may not be opened, or the secret behind the references is lost
        known, detail = error, error.code
    elif isinstance(error, sqlite3.Error):
        known, detail = fault.named(folder, error), getattr(error, "sqlite_errorname", type(error).__name__)
    else:
        known, detail = fault.named(folder, error), error.strerror or type(error).__name__
    if isinstance(known, DiskFull):
        return SpaceShort(free_mb=known.free_mb)
    kind = {DiskReadOnly: NotKeptReadOnly, DiskFailing: NotKeptFailing}.get(type(known), NotKept)
    return kind(detail=detail)


class Spool:
    """A growing file.  `sha256` is of every byte written so far, so that no byte is read again to name it."""

    def __init__(self, folder: Path, *, reserve_bytes: int, limit_bytes: int, prefix: bytes = b"") -> None:
        check_space(folder, reserve_bytes)
        self.path = folder / f"{secrets.token_hex(12)}.part"
        self.size = 0
        self._reserve, self._limit, self._recheck = reserve_bytes, limit_bytes, _RECHECK_BYTES
        self._hash = hashlib.sha256()
        with disk_errors(folder):
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
        if prefix:
            try:
                self.write(prefix)
            except (SpaceShort, NotKept, ObjectTooLarge):
                self.discard()
                raise

    def write(self, piece: bytes | memoryview) -> None:
        """Append *piece*; raises `ObjectTooLarge`, `SpaceShort` or `NotKept`, and is then only good to `discard`."""
        self.size += len(piece)
        if self.size > self._limit:
            raise ObjectTooLarge(limit_mb=self._limit // 1_000_000)
        if self.size > self._recheck:
            # An object that nobody knows the end of leaves as much room as it takes: endless ones end before the disk.
            check_space(self.path.parent, self._reserve, self.size)
            self._recheck = self.size + _RECHECK_BYTES
        self._hash.update(piece)
        with disk_errors(self.path.parent):
            while piece:
                piece = piece[os.write(self.descriptor, piece) :]

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def sync(self) -> None:
        """Return only when every byte is on the disk."""
        with disk_errors(self.path.parent):
            os.fsync(self.descriptor)

    def discard(self) -> None:
        """Forget the file; what the door has linked elsewhere stays.  Harmless when called again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            with suppress(OSError):  # on a dead disk there is nothing to tidy; the next start empties the folder
                self.path.unlink()


def empty_incoming(folder: Path) -> None:
    """Remove what a killed process left half-received; nobody was told that it arrived."""
    for left in folder.iterdir():
        left.unlink(missing_ok=True)

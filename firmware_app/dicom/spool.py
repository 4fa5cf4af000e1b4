"""An object being received: a file in ``incoming/``, hashed as it grows, and removed unless the door keeps it."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from firmware_app.core import disk_fault
from firmware_app.core.errors import (
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
from firmware_app.core.state_dir import free_bytes

_RECHECK_BYTES: Final = 4_000_000  # a large object must not use up the reserve between two checks of the free space


def check_space(folder: Path, reserve_bytes: int, coming_bytes: int = 0) -> None:
    """Raise `SpaceShort` unless *coming_bytes* fit and leave *reserve_bytes* free."""
    with disk_errors(folder):
        free = free_bytes(folder)
    if free - coming_bytes < reserve_bytes:
        raise SpaceShort(free_mb=free // 1_000_000)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` inside the block into the error from `not_kept`."""
    try:
        yield
    except OSError as error:
        raise not_kept(folder, error) from None


def not_kept(folder: Path, error: OSError | sqlite3.Error | StoreError) -> SpaceShort | NotKept:
    """The answer to the sender for *error*, which came from the disk or a database below *folder*."""
    if isinstance(error, StoreError):  # the database must not be opened, or the secret behind the references is lost
        known, detail = error, error.code
    elif isinstance(error, sqlite3.Error):
        known, detail = disk_fault.named(folder, error), getattr(error, "sqlite_errorname", type(error).__name__)
    else:
        known, detail = disk_fault.named(folder, error), error.strerror or type(error).__name__
    if isinstance(known, DiskFull):
        return SpaceShort(free_mb=known.free_mb)
    kind = {DiskReadOnly: NotKeptReadOnly, DiskFailing: NotKeptFailing}.get(type(known), NotKept)
    return kind(detail=detail)


class Spool:
    """A growing file.  `sha256` covers every byte written so far, so that the file need not be read again."""

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
        """Append *piece*.  Raises `ObjectTooLarge`, `SpaceShort` or `NotKept`; then only `discard` may follow."""
        self.size += len(piece)
        if self.size > self._limit:
            raise ObjectTooLarge(limit_mb=self._limit // 1_000_000)
        if self.size > self._recheck:
            # The object's final size is unknown, so as much again must stay free: an endless one cannot fill the disk.
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
        """Remove the file; a link that the door made elsewhere stays.  May be called again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            with suppress(OSError):  # on a failed disk; the next start empties the folder
                self.path.unlink()


def empty_incoming(folder: Path) -> None:
    """Remove what a killed process left half-received; none of it was acknowledged."""
    for left in folder.iterdir():
        left.unlink(missing_ok=True)

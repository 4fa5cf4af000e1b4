"""What storage over DICOM needs: the spool of an object being received, the door that keeps it, and the records.

A spool is a file in ``incoming/``, hashed as it grows, and removed unless the door keeps it.  The services of the DICOM
port and of DICOMweb know the box only by the interfaces here; `ingest` and `cases` implement them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from firmware_app.core import disk
from firmware_app.core.database import Database
from firmware_app.core.errors import DISK_FAILING, DISK_READ_ONLY, DiskFull, LanternError, StoreError
from firmware_app.core.records import UID_MOST, Header
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.dicom.commitment import CommitmentAnswer, ObjectReference
from firmware_app.dicom.errors import (
    IDENTITY_MISMATCH,
    NOT_KEPT_FAILING,
    NOT_KEPT_READ_ONLY,
    NotKept,
    ObjectTooLarge,
    SpaceShort,
)


class Outcome(StrEnum):
    """What happened to an object that was not refused."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Admission:
    """An object that the box now holds durably; for a duplicate, the instance that it already had."""

    outcome: Outcome
    instance: str
    case: str


class Expectation(Protocol):
    """What the sender has said of an object, checked against its header and what this says of the patient."""

    def check(self, header: Header, identity: Mapping[str, str]) -> None:
        """Raise `IDENTITY_MISMATCH` where they differ."""


@dataclass(frozen=True, slots=True)
class AnnouncedObject:
    """What the sender's C-STORE request named (PS3.7 9.3.1.1, Affected SOP Class and Instance UID)."""

    sop_class_uid: str
    sop_instance_uid: str

    def check(self, header: Header, identity: Mapping[str, str]) -> None:
        if header.sop_class_uid != self.sop_class_uid:
            raise IDENTITY_MISMATCH(keyword="SOPClassUID")
        # dcmtk, and software built on it, cuts an overlong UID to the length that fits into its command.
        if self.sop_instance_uid not in (header.sop_instance_uid, header.sop_instance_uid[:UID_MOST]):
            raise IDENTITY_MISMATCH(keyword="SOPInstanceUID")


class AssociationJournal(Protocol):
    """The records of associations and refusals in the clinical database."""

    @property
    def database(self) -> Database: ...

    def open_association(self, source: str) -> int: ...

    def close_association(self, association: int) -> None: ...

    def close_all_associations(self) -> None: ...

    def record_refusal(self, path: str, error: LanternError) -> None: ...


class ImageDoor(Protocol):
    """The one place where the box accepts an object (`ingest.intake.ImageIntake`)."""

    @property
    def state(self) -> StateDir: ...

    @property
    def clinical(self) -> AssociationJournal: ...

    def make_folders(self) -> None: ...

    def refuse(self, arrival_path: str, error: LanternError) -> None: ...

    def spool(self, prefix: bytes = b"") -> Spool: ...

    def accept_spooled(
        self, spool: Spool, arrival_path: str, association: int | None, announced: Expectation | None = None
    ) -> Admission: ...


class CommitmentRecords(Protocol):
    """The commitments of one clinical database (`results.storage_commitment.StorageCommitments`)."""

    def answer(self, root: Path, transaction_uid: str, objects: Sequence[ObjectReference]) -> CommitmentAnswer: ...

    def store_answer(self, calling_ae: str, said: CommitmentAnswer) -> int: ...

    def record_report(self, said: CommitmentAnswer) -> bool: ...

    def remove_answer(self, sequence: int) -> None: ...

    def release_answers(self, sequence: int | None = None) -> None: ...


_RECHECK_BYTES: Final = 4_000_000  # a large object must not use up the reserve between two checks of the free space


def check_space(folder: Path, reserve_bytes: int, coming_bytes: int = 0) -> None:
    """Raise `SpaceShort` unless *coming_bytes* fit and leave *reserve_bytes* free."""
    with disk_errors(folder):
        free = free_bytes(folder)
    if free - coming_bytes < reserve_bytes:
        raise SpaceShort(free_mb=free // 1_000_000)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` inside the block into the error from `explain_not_kept`."""
    try:
        yield
    except OSError as error:
        raise explain_not_kept(folder, error) from None


def explain_not_kept(folder: Path, error: OSError | sqlite3.Error | StoreError) -> SpaceShort | NotKept:
    """The answer to the sender for *error*, which came from the disk or a database below *folder*."""
    if isinstance(error, StoreError):  # the database must not be opened, or the secret behind the references is lost
        known, detail = error, error.code
    elif isinstance(error, sqlite3.Error):
        known, detail = (
            disk.classify_disk_error(folder, error),
            getattr(error, "sqlite_errorname", type(error).__name__),
        )
    else:
        known, detail = disk.classify_disk_error(folder, error), error.strerror or type(error).__name__
    if isinstance(known, DiskFull):
        return SpaceShort(free_mb=known.free_mb)
    if known.code == DISK_READ_ONLY.code:
        return NOT_KEPT_READ_ONLY(detail=detail)
    return NOT_KEPT_FAILING(detail=detail) if known.code == DISK_FAILING.code else NotKept(detail=detail)


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

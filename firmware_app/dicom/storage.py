"""What storage over DICOM needs of the box: the door that keeps objects, and the records of the clinical database.

The services of the DICOM port and of DICOMweb know the box only by these interfaces; `ingest` and `cases` implement
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from firmware_app.core.errors import IdentityMismatch, LanternError
from firmware_app.core.records import UID_MOST, Header
from firmware_app.core.sqlite.database import Database
from firmware_app.core.state_dir import StateDir
from firmware_app.dicom.headers.commitment import Answer, Reference
from firmware_app.dicom.spool import Spool


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
        """Raise `IdentityMismatch` where they differ."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender's C-STORE request named (PS3.7 9.3.1.1, Affected SOP Class and Instance UID)."""

    sop_class_uid: str
    sop_instance_uid: str

    def check(self, header: Header, identity: Mapping[str, str]) -> None:
        if header.sop_class_uid != self.sop_class_uid:
            raise IdentityMismatch(keyword="SOPClassUID")
        # dcmtk, and software built on it, cuts an overlong UID to the length that fits into its command.
        if self.sop_instance_uid not in (header.sop_instance_uid, header.sop_instance_uid[:UID_MOST]):
            raise IdentityMismatch(keyword="SOPInstanceUID")


class AssociationJournal(Protocol):
    """The records of associations and refusals in the clinical database."""

    @property
    def database(self) -> Database: ...

    def open_association(self, source: str) -> int: ...

    def close_association(self, association: int) -> None: ...

    def close_all_associations(self) -> None: ...

    def record_refusal(self, path: str, error: LanternError) -> None: ...


class ImageDoor(Protocol):
    """The one place where the box accepts an object (`ingest.accept.Door`)."""

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
    """The commitments of one clinical database (`results.queue.commitments.Commitments`)."""

    def answer(self, root: Path, transaction_uid: str, objects: Sequence[Reference]) -> Answer: ...

    def owe(self, calling_ae: str, said: Answer) -> int: ...

    def reported(self, said: Answer) -> bool: ...

    def delivered(self, sequence: int) -> None: ...

    def ended(self, sequence: int | None = None) -> None: ...

"""Storage at the DICOM port (PS3.4 B): a data set goes from the socket into a spool, and through the door.

Success (0x0000) is answered only after the door has returned.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from firmware_app.core.errors import StoreError
from firmware_app.dicom import file_meta
from firmware_app.dicom.errors import IDENTITY_MISMATCH, IntakeError, Truncated
from firmware_app.dicom.scp import dimse
from firmware_app.dicom.scp.dimse import Command
from firmware_app.dicom.storage import AnnouncedObject, ImageDoor, Spool, explain_not_kept

log = logging.getLogger("lantern.gateway")


@dataclass(slots=True)
class ArrivingObject:
    """An object whose data set is arriving.  After an `error` the rest of it is dropped."""

    announced: AnnouncedObject
    spool: Spool | None = None
    error: IntakeError | None = None


@dataclass(slots=True)
class StorageSCP:
    """Takes the images of one association."""

    door: ImageDoor
    source: str = ""
    """What the journal calls the sender."""
    counts: Counter[str] = field(default_factory=Counter)
    _record: int | None = None

    def begin(self, command: Command, abstract_syntax: str, syntax: str) -> ArrivingObject:
        """A C-STORE-RQ has come, and its data set follows."""
        arriving = ArrivingObject(AnnouncedObject(command.sop_class_uid, command.sop_instance_uid))
        try:
            if command.sop_class_uid != abstract_syntax:
                raise IDENTITY_MISMATCH(keyword="SOPClassUID")
            if self._record is None:
                self._record = self._open_record()
            prefix = file_meta.encode_file_meta(command.sop_class_uid, command.sop_instance_uid, syntax)
            arriving.spool = self.door.spool(prefix)
        except IntakeError as error:
            self._refuse(arriving, error)
        return arriving

    def write(self, arriving: ArrivingObject, fragment: memoryview) -> None:
        """The next piece of the data set."""
        if arriving.spool is None:
            return
        try:
            arriving.spool.write(fragment)
        except IntakeError as error:
            self._refuse(arriving, error)

    def finish(self, command: Command, arriving: ArrivingObject | None) -> tuple[int, str]:
        """Status and Error Comment for a C-STORE whose last byte has come (PS3.4 B.2.3)."""
        if arriving is None:  # a C-STORE-RQ without a data set
            arriving = ArrivingObject(AnnouncedObject(command.sop_class_uid, command.sop_instance_uid))
            self._refuse(arriving, Truncated(where="(0008,0016)"))
        error = arriving.error
        if arriving.spool is not None:
            try:
                admission = self.door.accept_spooled(arriving.spool, self.source, self._record, arriving.announced)
            except IntakeError as refused:
                error = refused
            else:
                self.counts[admission.outcome.value] += 1
        if error is None:
            return dimse.SUCCESS, ""
        self.counts[error.code] += 1
        return error.dimse_status, error.text("en")

    def discard(self, arriving: ArrivingObject) -> None:
        """Remove what is half-received."""
        if arriving.spool is not None:
            arriving.spool.discard()
            arriving.spool = None

    def close(self) -> None:
        """Record that the sender has gone; may be called again."""
        if self._record is None:
            return
        try:
            self.door.clinical.close_association(self._record)
        except (sqlite3.Error, StoreError) as error:
            log.error("association not closed in the database: %s", getattr(error, "sqlite_errorname", "error"))
        self._record = None

    def _open_record(self) -> int:
        try:
            return self.door.clinical.open_association(self.source)
        except (sqlite3.Error, StoreError) as error:
            raise explain_not_kept(self.door.state.root, error) from None

    def _refuse(self, arriving: ArrivingObject, error: IntakeError) -> None:
        arriving.error = error
        self.discard(arriving)
        self.door.refuse(self.source, error)

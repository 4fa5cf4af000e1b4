"""The one place where the box accepts an image, whether it comes over DICOM, from a folder or from a stick.

The order of the steps is the promise.  The object is checked for completeness (`header.examine`), written to the disk
(fsync), given its name (link, fsync of the directory) and recorded (a FULL transaction); only then does the intake
return.  A power cut one instruction later loses nothing.  A refusal is journalled with its code and leaves no bytes.

When the database fails during recording, the sender gets the error, and the file is removed only if it is certain
that its row does not exist.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from firmware_app.cases import clinical_db
from firmware_app.cases.arrival_journal import NO_IDENTITY, UNKNOWN_PERSON
from firmware_app.cases.clinical_db import ClinicalDatabase, StoredInstance
from firmware_app.cases.errors import (
    FILE_EMPTY,
    FILE_OF_ZEROS,
    PACKED_ARCHIVE,
    PHONE_PICTURE,
    HeaderConflict,
    InstanceConflict,
)
from firmware_app.core.errors import LanternError, StoreError
from firmware_app.core.state_dir import StateDir, free_bytes, make_directory, sync_directory
from firmware_app.dicom import file_meta, patient_data, picture_formats
from firmware_app.dicom.errors import NOT_AN_IMAGE, IntakeError, ObjectTooLarge, SpaceShort
from firmware_app.dicom.header import MAGIC, PREAMBLE_BYTES, ExaminedObject, examine_descriptor, looks_like_data_set
from firmware_app.dicom.storage import (
    Admission,
    Expectation,
    Outcome,
    Spool,
    check_space,
    disk_errors,
    explain_not_kept,
)
from firmware_app.ingest.duplicates import find_conflict
from firmware_app.ingest.input_files import (
    close_quietly,
    is_archive,
    is_zeros,
    open_regular_file,
    read_at,
    to_storable_text,
)

log = logging.getLogger("lantern.door")

TRAILING_BYTES = "taken.trailing_bytes"
"""In the log: an object was taken with bytes that no data set has.  They are kept with it; nothing reads them."""
_COPY_BYTES = 1 << 20
_HEAD_BYTES = PREAMBLE_BYTES + len(MAGIC) + 12


class ImageIntake:
    """Takes objects into *state* and *clinical*.  Safe to share between the threads of one process."""

    def __init__(
        self, state: StateDir, clinical: ClinicalDatabase, high_water_free_mb: int, max_object_mb: int
    ) -> None:
        self.state = state
        self.clinical = clinical
        self._reserve_bytes = high_water_free_mb * 1_000_000
        self._limit_bytes = max_object_mb * 1_000_000
        self._durable_folders: set[Path] = set()
        self._folders_lock = threading.Lock()
        self._name_locks = tuple(threading.Lock() for _ in range(256))

    def check_space(self) -> None:
        """Raise `SpaceShort` when the disk is too full to accept an object."""
        check_space(self.state.incoming, self._reserve_bytes)

    def make_folders(self) -> None:
        """Make every ``images/ab/`` in advance, so that no image waits for its folder to become durable."""
        with disk_errors(self.state.root), self._folders_lock:
            folders = [self.state.images / f"{number:02x}" for number in range(256)]
            for folder in folders:
                make_directory(folder)
            sync_directory(self.state.images)
            self._durable_folders.update(folders)

    def spool(self, prefix: bytes = b"") -> Spool:
        """A new empty object in ``incoming/``; raises `SpaceShort` when the disk is above its high-water mark."""
        return Spool(
            self.state.incoming, reserve_bytes=self._reserve_bytes, limit_bytes=self._limit_bytes, prefix=prefix
        )

    def accept_spooled(
        self, spool: Spool, arrival_path: str, association: int | None, announced: Expectation | None = None
    ) -> Admission:
        """Accept the DICOM file in *spool*, which is removed afterwards in any case.

        Raises a subclass of `IntakeError` when it is refused; the refusal is already in the journal then.
        """
        arrival_path = to_storable_text(arrival_path)
        with self._record_refusals(arrival_path):
            return self._take_dicom(spool, arrival_path, association, announced)

    def accept_file(
        self,
        path: Path,
        arrival_path: str | None = None,
        association: int | None = None,
        announced: Expectation | None = None,
    ) -> Admission:
        """Accept a copy of the file at *path*, DICOM or a picture; the file itself is never changed.

        *announced*: what a DICOM object must agree with.

        Raises what `accept_spooled` raises, `NOT_A_REGULAR_FILE`, `FileUnreadable`, or the error of
        `_unknown_file_error`.
        """
        arrival_path = to_storable_text(arrival_path or str(path))
        with self._record_refusals(arrival_path):
            descriptor, size = open_regular_file(path)
            try:
                if size > self._limit_bytes:
                    raise ObjectTooLarge(limit_mb=self._limit_bytes // 1_000_000)
                head = read_at(descriptor, _HEAD_BYTES, 0)
                is_dicom = head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC  # in spite of its preamble
                suffix = None if is_dicom else picture_formats.detect_format(head)
                if suffix is None and not is_dicom and not looks_like_data_set(head):
                    raise _unknown_file_error(descriptor, size, head)
                check_space(self.state.incoming, self._reserve_bytes, size)
                if suffix is not None:
                    return self._take_picture(self._copy(descriptor, b"", 0), suffix, arrival_path, association)
                return self._take_dicom(self._copy_dicom(descriptor, head), arrival_path, association, announced)
            finally:
                close_quietly(descriptor)

    def refuse(
        self,
        arrival_path: str,
        error: LanternError,
        *,
        held: StoredInstance | None = None,
        kept_file: str | None = None,
    ) -> None:
        """Journal a refusal.  When the disk is too full even for that line, the ballast file is given up.

        Never raises: the sender must get its answer whether or not the refusal could be journalled.
        """
        for may_retry in (True, False):
            try:
                self.clinical.record_refusal(arrival_path, error, held=held, kept_file=kept_file)
            except (sqlite3.Error, StoreError) as failure:
                log.error("refusal %s not journalled: %s", error.code, getattr(failure, "sqlite_errorname", "error"))
                if may_retry and self.state.release_ballast():
                    continue
            return

    # --- the steps -----------------------------------------------------------------------------------------------

    @contextmanager
    def _record_refusals(self, arrival_path: str) -> Iterator[None]:
        try:
            yield
        except (InstanceConflict, HeaderConflict):
            raise  # already journalled in `_handle_duplicate`, with the instance that it conflicts with
        except IntakeError as error:
            self.refuse(arrival_path, error)
            raise

    def _take_dicom(
        self, spool: Spool, arrival_path: str, association: int | None, announced: Expectation | None
    ) -> Admission:
        try:
            examined = examine_descriptor(spool.descriptor)
            if announced is not None:
                announced.check(examined.header, examined.identity)
            if examined.trailing:
                log.info("%s: an object came with %d bytes after its end", TRAILING_BYTES, examined.trailing)
            admitted = self._store_object(spool, ".dcm", examined, arrival_path, association)
            if admitted.outcome is Outcome.ACCEPTED:
                self._write_identity(admitted.instance, examined.identity)
            return admitted
        finally:
            spool.discard()

    def _write_identity(self, instance: str, values: Mapping[str, str]) -> None:
        """Write the patient's identity for the viewer, so that it shows even while no reader is running.

        It need not be durable and a failure is ignored, because the decode child writes it again.
        """
        with suppress(OSError):
            patient_data.write_identity(values, self.state.display / instance)

    def _take_picture(self, spool: Spool, suffix: str, arrival_path: str, association: int | None) -> Admission:
        try:
            picture_formats.check_complete(spool.descriptor, suffix)
            return self._store_object(spool, suffix, None, arrival_path, association)
        finally:
            spool.discard()

    def _store_object(
        self, spool: Spool, suffix: str, examined: ExaminedObject | None, arrival_path: str, association: int | None
    ) -> Admission:
        sha256, header = spool.sha256, examined.header if examined is not None else None
        with self._database_errors():
            held = self.clinical.find(header.sop_instance_uid if header else None, sha256)
        if held is not None:
            return self._handle_duplicate(spool, held, sha256, arrival_path)
        file = f"images/{sha256[:2]}/{sha256}{suffix}"
        # Between the link and its row (or its removal) no other thread may rely on this name.
        with self._name_locks[int(sha256[:2], 16)]:
            is_new = self._link(spool, file)
            with self._database_errors():
                try:
                    admitted = self.clinical.admit(
                        path=arrival_path,
                        file=file,
                        sha256=sha256,
                        size=spool.size,
                        header=header,
                        association=association,
                        identity=examined.identity if examined is not None else NO_IDENTITY,
                        person=examined.person if examined is not None else UNKNOWN_PERSON,
                    )
                except (sqlite3.Error, StoreError) as error:
                    uid = header.sop_instance_uid if header else None
                    if is_new and is_surely_unrecorded(self.clinical, error, uid, sha256):
                        self._unlink(file)
                    raise
            if isinstance(admitted, StoredInstance):
                if is_new and admitted.file != file:
                    self._unlink(file)
            elif not (self.state.root / file).exists():
                self._link(spool, file)  # a case with the same file was deleted between the link and the row
        if isinstance(admitted, StoredInstance):  # another association brought the same instance a moment earlier
            return self._handle_duplicate(spool, admitted, sha256, arrival_path)
        return Admission(Outcome.ACCEPTED, admitted.reference, admitted.case)

    def _handle_duplicate(self, spool: Spool, held: StoredInstance, sha256: str, arrival_path: str) -> Admission:
        """The instance is known already: the same image is a success; a correction or another image is set aside."""
        if held.sha256 == sha256:
            if not clinical_db.has_file(self.state.root / held.file, spool.size):
                self._restore_file(spool, held)
        elif (error := find_conflict(spool.path, self.state.root / held.file)) is not None:
            kept = f"set_aside/{sha256}.dcm"
            self._link(spool, kept)
            self.refuse(arrival_path, error, held=held, kept_file=kept)
            raise error
        with self._database_errors():
            self.clinical.record_duplicate(arrival_path, held)
        return Admission(Outcome.DUPLICATE, held.reference, held.case)

    def _restore_file(self, spool: Spool, held: StoredInstance) -> None:
        """Replace a stored file that was lost or cut, and have its case read again.

        `reread` is called twice: the first call holds after a power cut that follows the replacement, the second undoes
        what a reader did in between.
        """
        with self._database_errors():
            self.clinical.requeue(held)
        target = self.state.root / held.file
        spool.sync()
        with disk_errors(self.state.root):
            self._make_durable_folder(target.parent)
            spool.path.replace(target)  # over the damaged file, so that the name never disappears
            sync_directory(target.parent)
        with self._database_errors():
            self.clinical.requeue(held)

    def _link(self, spool: Spool, file: str) -> bool:
        """Give the object its final name, durably; False when that name existed already.

        Only bytes that are on the disk get a name, so an existing name has its bytes.  But the process that gave it may
        have been killed before the directory was synced, so the directory is synced in any case.
        """
        target = self.state.root / file
        is_new = not target.exists()
        if is_new:
            spool.sync()
        with disk_errors(self.state.root):
            self._make_durable_folder(target.parent)
            if is_new:
                try:
                    os.link(spool.path, target)
                except FileExistsError:
                    is_new = False
            sync_directory(target.parent)
        return is_new

    def _make_durable_folder(self, folder: Path) -> None:
        """Make ``ab/`` and sync its parent; the lock keeps a second thread from using it before it is durable."""
        with self._folders_lock:
            if folder not in self._durable_folders:
                make_directory(folder)
                sync_directory(folder.parent)
                self._durable_folders.add(folder)

    def _unlink(self, file: str) -> None:
        with suppress(OSError):  # a file that cannot be removed only costs space
            (self.state.root / file).unlink()

    def _database_errors(self) -> AbstractContextManager[None]:
        return translate_database_errors(self.state.root, self._reserve_bytes)

    # --- copying -------------------------------------------------------------------------------------------------

    def _copy(self, descriptor: int, prefix: bytes, start: int) -> Spool:
        """A new spool with *prefix*, then the bytes of *descriptor* from *start* on."""
        spool = self.spool(prefix)
        try:
            while piece := read_at(descriptor, _COPY_BYTES, start):
                spool.write(piece)
                start += len(piece)
        except IntakeError:
            spool.discard()
            raise
        return spool

    def _copy_dicom(self, descriptor: int, head: bytes) -> Spool:
        """A copy with a zeroed preamble; preamble and file meta information are added where they are missing."""
        if head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC:
            return self._copy(descriptor, file_meta.PREAMBLE, len(file_meta.PREAMBLE))
        if head.startswith(b"\x02\x00"):
            return self._copy(descriptor, file_meta.PREAMBLE, 0)
        bare = self._copy(descriptor, b"", 0)
        try:
            header = examine_descriptor(bare.descriptor).header
            return self._copy(
                bare.descriptor,
                file_meta.encode_file_meta(header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid),
                0,
            )
        finally:
            bare.discard()


def _unknown_file_error(descriptor: int, size: int, head: bytes) -> IntakeError:
    """The refusal of a file of *size* bytes whose first bytes, *head*, are not those of any image."""
    if size == 0:
        return FILE_EMPTY()
    if picture_formats.is_phone_picture(head):
        return PHONE_PICTURE()
    if is_archive(head):
        return PACKED_ARCHIVE()
    return FILE_OF_ZEROS() if is_zeros(descriptor, size) else NOT_AN_IMAGE()


@contextmanager
def translate_database_errors(root: Path, reserve_bytes: int) -> Iterator[None]:
    """When the database cannot be written the object is not accepted: raises the error from `explain_not_kept`."""
    try:
        yield
    except sqlite3.Error as error:
        free = free_bytes(root)
        if _primary_result_code(error) == sqlite3.SQLITE_IOERR and free < reserve_bytes:
            raise SpaceShort(free_mb=free // 1_000_000) from None
        raise explain_not_kept(root, error) from None
    except StoreError as error:
        raise explain_not_kept(root, error) from None


def is_surely_unrecorded(
    clinical: ClinicalDatabase, error: sqlite3.Error | StoreError, sop_uid: str | None, sha256: str
) -> bool:
    """Whether it is certain that the row whose write failed with *error* does not exist and will not appear.

    A COMMIT that reports an error may have taken effect, so a new connection looks for the row.  After an I/O error
    even that is not enough: a commit that is complete in the WAL but failed in its fsync comes back with the next
    recovery.  A file without a row only costs space; a row without its file is a lost image.
    """
    if _primary_result_code(error) == sqlite3.SQLITE_IOERR:
        return False
    try:
        clinical.database.close_thread()
        return clinical.find(sop_uid, sha256) is None
    except (sqlite3.Error, StoreError):
        return False


def _primary_result_code(error: sqlite3.Error | StoreError) -> int:
    """The primary result code; the higher bits of SQLite's extended code only refine it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

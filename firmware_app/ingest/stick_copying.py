"""Copy one stick from the first file to the last: images go through the intake and are counted once they are safe.

Cases of a stick are marked incomplete until `UsbImports.record_whole_stick` removes the mark, at the end of a complete
pass. So nothing needs to be written when the stick is pulled, the power fails or the process is killed.

A stick that comes again is not read in full: each copied file is recognised by a mark, a hash over its name, size,
time, and its first and last 64 kB.  Name, size and time alone are not enough: a device without a clock writes
IM000001 with the same size and date for every patient, while the first 64 kB hold the SOP Instance UID.  The marks in
``usb/marks`` are hashes and identify nobody.  Losing that file is harmless, because the intake recognises what it
holds; a mark whose image has left the box is ignored.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from firmware_app.cases import usb_import
from firmware_app.cases.errors import FILE_GARBLED, FileUnreadable
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core import database_health
from firmware_app.core.errors import LanternError, StoreError
from firmware_app.core.records import Reason
from firmware_app.dicom.errors import DirectoryRecord, IntakeError, NotKept, SpaceShort
from firmware_app.dicom.storage import Outcome
from firmware_app.ingest import stick_file_kinds, stick_files
from firmware_app.ingest.errors import (
    STICK_EMPTY,
    STICK_LISTS_MORE,
    STICK_NOT_ALL,
    STICK_NOTHING_KNOWN,
    STICK_OVERFULL,
    STICK_PULLED,
    STICK_STOPPED,
)
from firmware_app.ingest.input_files import close_quietly, open_regular_file, read_at, to_storable_text
from firmware_app.ingest.intake import ImageIntake
from firmware_app.ingest.stick_file_kinds import FileKind, ImageNaming
from firmware_app.ingest.stick_files import StickFile
from firmware_app.ingest.stick_handover import MountMessage

log = logging.getLogger("lantern.stick")

Tell = Callable[[StickStatus], None]
_TELL_S: Final = 0.5
_TRIES: Final = 3
_TRY_S: Final = 1.0


class StickCopier:
    """The copying of the stick at *root*.  `run` is called once."""

    def __init__(
        self, root: Path, word: MountMessage, door: ImageIntake, marks: CopiedMarks, tell: Tell, stop: threading.Event
    ) -> None:
        """*word* is the mounter's description of the stick."""
        self._root, self._device, self._door, self._marks = root, word.device, door, marks
        self._tell, self._stop = tell, stop
        self._told = 0.0
        self._association: int | None = None
        self._images = ImageNaming()
        self.met: set[str] = set()  # instances that are on the stick

    def run(self, status: StickStatus) -> StickStatus:
        """Copy the stick; *status* is the status at the start, the final one is returned."""
        self.status = status
        try:
            reason = self._copy()
            ends = {None: StickStage.DONE, STICK_EMPTY.code: StickStage.EMPTY}
            stage = ends.get(reason.code if reason else None, StickStage.UNFINISHED)
        except (LanternError, sqlite3.Error) as error:
            if not isinstance(error, LanternError):
                error = NotKept(detail=getattr(error, "sqlite_errorname", type(error).__name__))
            log.warning("a stick was not copied to its end: %s", error.code)
            reason, stage = Reason.from_error(error), StickStage.UNFINISHED
        finally:
            self._close()
        return replace(self.status, stage=stage, reason=reason)

    def _copy(self) -> Reason | None:
        """The whole pass; returns why the copy is not complete all the same, or None."""
        self._tell(self.status)
        listing = stick_files.search_stick(self._root)
        files = stick_files.order_files(listing.files)
        passed_by = listing.others + listing.hidden
        self.status = replace(self.status, stage=StickStage.COPYING, found=len(files.files), passed_by=passed_by)
        if listing.unread:
            self._count_refusal(FileUnreadable.code, listing.unread)
        self._tell(self.status)
        rest: list[tuple[StickFile, FileKind, bool]] = []
        for number, one in enumerate(files.files):
            self._check_stop()
            kind = self._examine_file(one, (FileKind.DICOM, FileKind.ARCHIVE))
            if kind is None:
                self._advance()
            else:
                self._images.add_other(one.parts, kind)
                rest.append((one, kind, number < files.named))
        for one, kind, is_listed in rest:  # only now are all images known
            self._check_stop()
            self._handle_other_file(one, kind, is_listed)
            self._advance()
        if listing.overfull:
            return Reason.from_error(STICK_OVERFULL(limit=stick_files.MOST_FILES, depth=stick_files.MOST_DEPTH))
        if self.status.refused:  # which case a refused image belongs to is unknown
            return Reason.from_error(STICK_NOT_ALL(count=self.status.refusals))
        usb_import.UsbImports(self._door.clinical.database).record_whole_stick(self.met, files.listed_more)
        if files.listed_more:
            return Reason.from_error(STICK_LISTS_MORE(count=sum(files.listed_more.values())))
        if self.status.new + self.status.known:
            return None
        if self._images.unknown:
            return Reason.from_error(STICK_NOTHING_KNOWN(count=self._images.unknown))
        return Reason.from_error(STICK_EMPTY(count=self.status.passed_by))

    def _handle_other_file(self, file: StickFile, kind: FileKind, is_listed: bool) -> None:
        """Decide about a file that is not a DICOM object: accept it, count it as a lost image, or skip it.

        Next to DICOM objects, pictures are the buttons and logos of the viewer program on the disc.
        """
        if kind is FileKind.PICTURE and not self._images.count:
            self._examine_file(file, (FileKind.PICTURE,))
        elif kind is FileKind.LIST or not (is_listed or self._images.is_lost_image(file.parts, kind)):
            self._skip_file()
        elif kind is FileKind.EMPTY:
            self._examine_file(file, (FileKind.EMPTY,))
        else:
            self._door.refuse(_format_arrival_path(file), error := FILE_GARBLED())
            self._count_refusal(error.code)

    def _examine_file(self, file: StickFile, wanted: tuple[FileKind, ...]) -> FileKind | None:
        """Accept the file if its kind is *wanted*, and return None; else its kind, for `_handle_other_file`."""
        try:
            descriptor, size = open_regular_file(file.path)
            try:
                head = read_at(descriptor, END_BYTES, 0)
                kind = stick_file_kinds.classify_file(file.parts[-1], head)
                if kind not in wanted:
                    return kind
                mark = compute_mark(file, descriptor, size, head)
            finally:
                close_quietly(descriptor)
            if kind is FileKind.DICOM:
                self._images.add(file.parts)
            self._import_file(file, mark)
        except FileUnreadable as error:
            if not stick_files.is_there(self._root, self._device):
                raise STICK_PULLED() from None
            self._count_refusal(error.code)
        except (SpaceShort, NotKept):
            raise
        except DirectoryRecord:
            self._skip_file()
        except IntakeError as error:
            self._count_refusal(error.code)
        return None

    def _import_file(self, file: StickFile, mark: str) -> None:
        known = self._marks.find_instance(mark)
        if known is not None:
            self.met.add(known)
            self._count(known=self.status.known + 1)
            return
        for tries_left in reversed(range(_TRIES)):
            try:
                admission = self._door.accept_file(file.path, _format_arrival_path(file), self._open_association())
                break
            except NotKept:  # a gateway that starts empties ``incoming/``, with our half-received file in it
                if not tries_left or self._stop.wait(_TRY_S):
                    raise
        self.met.add(admission.instance)
        self._marks.add(mark, admission.instance)
        if admission.outcome is Outcome.ACCEPTED:
            self._count(new=self.status.new + 1)
        else:
            self._count(known=self.status.known + 1)

    def _check_stop(self) -> None:
        """Raise when the copying must end: on a stop signal, or because the database must be repaired."""
        if self._stop.is_set():
            raise STICK_STOPPED() if stick_files.is_there(self._root, self._device) else STICK_PULLED()
        if database_health.has_damage_note(self._door.clinical.database.path):
            raise STICK_STOPPED()

    def _open_association(self) -> int:
        if self._association is None:
            self._association = self._door.clinical.open_association(usb_import.SOURCE)
        return self._association

    def _close(self) -> None:
        if self._association is not None:
            try:
                self._door.clinical.close_association(self._association)
            except (sqlite3.Error, StoreError) as error:  # then the quiet time closes the study
                log.error("a stick's import stays open: %s", getattr(error, "sqlite_errorname", "error"))

    def _advance(self) -> None:
        self._count(looked=self.status.looked + 1)
        if time.monotonic() - self._told > _TELL_S:
            self._tell(self.status)
            self._told = time.monotonic()

    def _skip_file(self) -> None:
        self._count(passed_by=self.status.passed_by + 1)

    def _count_refusal(self, code: str, count: int = 1) -> None:
        self._count(refused={**self.status.refused, code: self.status.refused.get(code, 0) + count})

    def _count(self, **changes: object) -> None:
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]


def _format_arrival_path(file: StickFile) -> str:
    return "usb/" + to_storable_text("/".join(file.parts))


END_BYTES: Final = 65536
MOST_MARKS: Final = 200_000
_MARK: Final = 32  # hexadecimal digits of a mark: 128 bits


def compute_mark(file: StickFile, descriptor: int, size: int, head: bytes) -> str:
    """The mark of an open file whose first `END_BYTES` are *head*; raises `FileUnreadable`."""
    tail = read_at(descriptor, END_BYTES, max(END_BYTES, size - END_BYTES))
    name = "/".join(file.parts).encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(b"%d %d %d " % (len(name), size, file.mtime_ns) + name)
    digest.update(head)
    digest.update(tail)
    return digest.hexdigest()[:_MARK]


class CopiedMarks:
    """The marks of one state directory: a line per file, appended when the file was accepted."""

    def __init__(self, path: Path, holds: Callable[[str], bool], most: int = MOST_MARKS) -> None:
        """*holds* says whether the box still has an instance."""
        self._path, self._holds = path, holds
        self._known: dict[str, str] = {}
        self._load(most)

    def find_instance(self, mark: str) -> str | None:
        """The instance of the file with this *mark*, if the box still has it."""
        instance = self._known.get(mark)
        return instance if instance is not None and self._holds(instance) else None

    def add(self, mark: str, instance: str) -> None:
        """Remember a file; called only after the door has returned."""
        self._known[mark] = instance
        try:
            with self._path.open("a", encoding="ascii") as handle:
                handle.write(f"{mark} {instance}\n")
        except OSError as error:
            log.warning("what was copied is not remembered: %s", error.strerror)

    def _load(self, most: int) -> None:
        """Read the newest *most* lines, and shorten a file that has grown beyond twice that."""
        try:
            with self._path.open(encoding="ascii", errors="replace") as handle:
                lines = deque((line.split() for line in handle), maxlen=most)
                was = handle.tell()
        except OSError:
            return
        self._known = {words[0]: words[1] for words in lines if len(words) == 2 and len(words[0]) == _MARK}
        if was > 2 * most * (_MARK + 24):
            self._compact()

    def _compact(self) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text("".join(f"{mark} {instance}\n" for mark, instance in self._known.items()), "ascii")
            os.replace(fresh, self._path)
        except OSError as error:
            log.warning("the marks of sticks are not shortened: %s", error.strerror)

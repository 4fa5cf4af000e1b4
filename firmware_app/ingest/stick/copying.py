"""Copies one stick from the first file to the last: images go through the door and are counted once they are safe.

Cases of a stick are marked incomplete until `Media.met_to_the_end` removes the mark, at the end of a complete pass.  So
nothing needs to be written when the stick is pulled, the power fails or the process is killed.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from firmware_app.cases import media
from firmware_app.cases.stick_status import StickStage, StickStatus
from firmware_app.core.errors import (
    DirectoryRecord,
    FileGarbled,
    FileUnreadable,
    IntakeError,
    LanternError,
    NotKept,
    SpaceShort,
    StickDamaged,
    StickEmpty,
    StickListsMore,
    StickNotAll,
    StickNothingKnown,
    StickOverfull,
    StickPulled,
    StickStopped,
    StoreError,
)
from firmware_app.core.records import Reason
from firmware_app.core.sqlite import damage
from firmware_app.dicom.storage import Outcome
from firmware_app.ingest.accept import Door
from firmware_app.ingest.given_file import let_go, open_regular, read_at, readable
from firmware_app.ingest.stick import copied_marks, dicomdir, kinds, search, space
from firmware_app.ingest.stick.handover import Word
from firmware_app.ingest.stick.kinds import FileKind, Images
from firmware_app.ingest.stick.search import StickFile

log = logging.getLogger("lantern.stick")

Tell = Callable[[StickStatus], None]
_TELL_S: Final = 0.5
_TRIES: Final = 3
_TRY_S: Final = 1.0


class Copying:
    """The copying of the stick at *root*.  `run` is called once."""

    def __init__(
        self, root: Path, word: Word, door: Door, marks: copied_marks.Memory, tell: Tell, stop: threading.Event
    ) -> None:
        """*word* is the mounter's description of the stick."""
        self._root, self._device, self._door, self._marks = root, word.device, door, marks
        self._word = word
        self._tell, self._stop = tell, stop
        self._told = 0.0
        self._association: int | None = None
        self._images = Images()
        self.met: set[str] = set()  # instances that are on the stick

    def run(self, status: StickStatus) -> StickStatus:
        """Copy the stick; *status* is the status at the start, the final one is returned."""
        self.status = status
        try:
            reason = self._copy()
            ends = {None: StickStage.DONE, StickEmpty.code: StickStage.EMPTY}
            stage = ends.get(reason.code if reason else None, StickStage.UNFINISHED)
        except (LanternError, sqlite3.Error) as error:
            if not isinstance(error, LanternError):
                error = NotKept(detail=getattr(error, "sqlite_errorname", type(error).__name__))
            log.warning("a stick was not copied to its end: %s", error.code)
            reason, stage = Reason.of(error), StickStage.UNFINISHED
        finally:
            self._close()
        return replace(self.status, stage=stage, reason=reason)

    def _copy(self) -> Reason | None:
        """The whole pass; returns why the copy is not complete all the same, or None."""
        self._tell(self.status)
        listing = search.search(self._root)
        files = dicomdir.ordered(listing.files)
        passed_by = listing.others + listing.hidden
        self.status = replace(self.status, stage=StickStage.COPYING, found=len(files.files), passed_by=passed_by)
        if listing.unread:
            self._refused(FileUnreadable.code, listing.unread)
        self._tell(self.status)
        rest: list[tuple[StickFile, FileKind, bool]] = []
        for number, one in enumerate(files.files):
            self._go_on()
            kind = self._look(one, (FileKind.DICOM, FileKind.ARCHIVE))
            if kind is None:
                self._advance()
            else:
                self._images.add_other(one.parts, kind)
                rest.append((one, kind, number < files.named))
        for one, kind, is_listed in rest:  # only now are all images known
            self._go_on()
            self._conclude(one, kind, is_listed)
            self._advance()
        if listing.overfull:
            return Reason.of(StickOverfull(limit=search.MOST_FILES, depth=search.MOST_DEPTH))
        has_lost = space.has_lost(self._root, self._word.kind)
        if not search.is_there(self._root, self._device):  # then the sizes of its files could not all be asked for
            raise StickPulled
        if has_lost:
            return Reason.of(StickDamaged())
        if self.status.refused:  # which case a refused image belongs to is unknown
            return Reason.of(StickNotAll(count=self.status.refusals))
        media.Media(self._door.clinical.database).met_to_the_end(self.met, files.listed_more)
        if files.listed_more:
            return Reason.of(StickListsMore(count=sum(files.listed_more.values())))
        if self.status.new + self.status.known:
            return None
        if self._images.unknown:
            return Reason.of(StickNothingKnown(count=self._images.unknown))
        return Reason.of(StickEmpty(count=self.status.passed_by))

    def _conclude(self, file: StickFile, kind: FileKind, is_listed: bool) -> None:
        """Decide about a file that is not a DICOM object: accept it, count it as a lost image, or skip it.

        Next to DICOM objects, pictures are the buttons and logos of the viewer program on the disc.
        """
        if kind is FileKind.PICTURE and not self._images.count:
            self._look(file, (FileKind.PICTURE,))
        elif kind is FileKind.LIST or not (is_listed or self._images.misses(file.parts, kind)):
            self._pass_by()
        elif kind is FileKind.EMPTY:
            self._look(file, (FileKind.EMPTY,))
        else:
            self._door.refuse(_arrival(file), error := FileGarbled())
            self._refused(error.code)

    def _look(self, file: StickFile, wanted: tuple[FileKind, ...]) -> FileKind | None:
        """Accept the file if its kind is *wanted*, and return None; else its kind, for `_conclude`."""
        try:
            descriptor, size = open_regular(file.path)
            try:
                head = read_at(descriptor, copied_marks.END_BYTES, 0)
                kind = kinds.kind(file.parts[-1], head)
                if kind not in wanted:
                    return kind
                mark = copied_marks.mark(file, descriptor, size, head)
            finally:
                let_go(descriptor)
            if kind is FileKind.DICOM:
                self._images.add(file.parts)
            self._take(file, mark)
        except FileUnreadable as error:
            if not search.is_there(self._root, self._device):
                raise StickPulled from None
            self._refused(error.code)
        except (SpaceShort, NotKept):
            raise
        except DirectoryRecord:
            self._pass_by()
        except IntakeError as error:
            self._refused(error.code)
        return None

    def _take(self, file: StickFile, mark: str) -> None:
        known = self._marks.known(mark)
        if known is not None:
            self.met.add(known)
            self._count(known=self.status.known + 1)
            return
        for tries_left in reversed(range(_TRIES)):
            try:
                admission = self._door.accept_file(file.path, _arrival(file), self._opened())
                break
            except NotKept:  # a gateway that starts empties ``incoming/``, with our half-received file in it
                if not tries_left or self._stop.wait(_TRY_S):
                    raise
        self.met.add(admission.instance)
        self._marks.keep(mark, admission.instance)
        if admission.outcome is Outcome.ACCEPTED:
            self._count(new=self.status.new + 1)
        else:
            self._count(known=self.status.known + 1)

    def _go_on(self) -> None:
        """Raise when the copying must end: on a stop signal, or because the database must be repaired."""
        if self._stop.is_set():
            raise StickStopped if search.is_there(self._root, self._device) else StickPulled
        if damage.noted(self._door.clinical.database.path):
            raise StickStopped

    def _opened(self) -> int:
        if self._association is None:
            self._association = self._door.clinical.open_association(media.SOURCE)
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

    def _pass_by(self) -> None:
        self._count(passed_by=self.status.passed_by + 1)

    def _refused(self, code: str, count: int = 1) -> None:
        self._count(refused={**self.status.refused, code: self.status.refused.get(code, 0) + count})

    def _count(self, **changes: object) -> None:
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]


def _arrival(file: StickFile) -> str:
    return "usb/" + readable("/".join(file.parts))

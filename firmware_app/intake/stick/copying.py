"""One stick, from the first file to the last: what is an image goes through the one door, and is counted when safe.

What an interrupted copying leaves is said by its absence: only `Media.met_to_the_end`, at the end of a whole pass,
takes the mark of incompleteness from the cases.  So a pulled stick, a power cut and a kill need no last words.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Final

from firmware_app.errors import (
    FileEmpty,
    FileOfZeros,
    FileUnreadable,
    IntakeError,
    LanternError,
    NotKept,
    PixelLengthMismatch,
    SpaceShort,
    StickDamaged,
    StickListsMore,
    StickOverfull,
    StickPulled,
    StickStopped,
    StickUnread,
    StoreError,
    Truncated,
)
from firmware_app.intake import picture
from firmware_app.intake.accept import Door, Outcome
from firmware_app.intake.given_file import (
    is_archive,
    is_object_name,
    is_picture_name,
    let_go,
    open_regular,
    read_at,
    readable,
)
from firmware_app.intake.header import MAGIC, PREAMBLE_BYTES, looks_like_data_set
from firmware_app.intake.stick import dicomdir, memory, search
from firmware_app.intake.stick.handover import Word
from firmware_app.intake.stick.search import Found
from firmware_app.records import Reason
from firmware_app.store import media, rescue
from firmware_app.store.stick_status import Stage, StickStatus

log = logging.getLogger("lantern.stick")

Tell = Callable[[StickStatus], None]
_TELL_S: Final = 0.5
_TRIES: Final = 3
_TRY_S: Final = 1.0
_NUMBER: Final = re.compile(r"\d+")
_DIRECTORY: Final = b"1.2.840.10008.1.3.10"  # Media Storage Directory Storage, PS3.4 B.5


class _Kind(Enum):
    DICOM = 1
    PICTURE = 2
    ARCHIVE = 3
    OTHER = 4
    EMPTY = 5
    """Without contents, or of nothing but zeros as far as was looked."""


class Copying:
    """The copying of the stick at *root*.  `run` is called once."""

    def __init__(
        self, root: Path, word: Word, door: Door, marks: memory.Memory, tell: Tell, stop: threading.Event
    ) -> None:
        """*word* is what the mounter has said of the stick."""
        self._root, self._device, self._door, self._marks = root, word.device, door, marks
        self._word = word
        self._tell, self._stop = tell, stop
        self._told = 0.0
        self._association: int | None = None
        self._unread = 0
        self._images = 0
        self._forms = set[str]()
        """How the DICOM objects of this stick are named."""
        self.met: set[str] = set()  # instances of which the stick holds a file

    def run(self, status: StickStatus) -> StickStatus:
        """Copy, and return how it ended; *status* is how it begins."""
        self.status = status
        try:
            reason = self._copy()
            stage = Stage.UNFINISHED if reason else Stage.DONE
        except (LanternError, sqlite3.Error) as error:
            if not isinstance(error, LanternError):
                error = NotKept(detail=getattr(error, "sqlite_errorname", type(error).__name__))
            log.warning("a stick was not copied to its end: %s", error.code)
            reason, stage = Reason.of(error), Stage.UNFINISHED
        finally:
            self._close()
        return replace(self.status, stage=stage, reason=reason)

    def _copy(self) -> Reason | None:
        """The whole pass; why it is not the end all the same, or None."""
        self._tell(self.status)
        found = search.search(self._root)
        files = dicomdir.ordered(found.files)
        passed_by = found.others + found.hidden
        self.status = replace(self.status, stage=Stage.COPYING, found=len(files.files), passed_by=passed_by)
        self._tell(self.status)
        self._unread = found.unread
        pictures: list[Found] = []
        empty: list[tuple[Found, bool]] = []
        for number, one in enumerate(files.files):
            self._go_on()
            kind = self._look(one, (_Kind.DICOM, _Kind.ARCHIVE))
            if kind is _Kind.PICTURE:
                pictures.append(one)
            elif kind is _Kind.EMPTY:
                empty.append((one, number < files.named))
            else:
                self._advance()
        for one in pictures:
            # Beside DICOM objects, pictures are the buttons and logos of the viewing programme on the disc.
            if self._images:
                self._count(passed_by=self.status.passed_by + 1)
            else:
                self._go_on()
                self._look(one, (_Kind.PICTURE,))
            self._advance()
        for one, is_listed in empty:
            self._go_on()
            if is_listed or self._was_image(one.parts[-1]):
                self._look(one, (_Kind.EMPTY,))
            else:
                self._count(passed_by=self.status.passed_by + 1)
            self._advance()
        if found.overfull:
            return Reason.of(StickOverfull(limit=search.MOST_FILES, depth=search.MOST_DEPTH))
        if self._unread:
            return Reason.of(StickUnread(count=self._unread))
        if self._word.has_lost(found):
            return Reason.of(StickDamaged())
        media.Media(self._door.clinical.database).met_to_the_end(self.met, files.listed_more)
        if files.listed_more:
            return Reason.of(StickListsMore(count=sum(files.listed_more.values())))
        return None

    def _look(self, found: Found, wanted: tuple[_Kind, ...]) -> _Kind | None:
        """Take the file if it is of a *wanted* kind; what it is, as far as it could be read."""
        try:
            descriptor, size = open_regular(found.path)
            try:
                head = read_at(descriptor, memory.END_BYTES, 0)
                kind = _kind(head)
                if kind is _Kind.OTHER:
                    self._count(passed_by=self.status.passed_by + 1)
                if kind not in wanted:
                    return kind
                mark = memory.mark(found, descriptor, size, head)
            finally:
                let_go(descriptor)
            if kind is _Kind.DICOM:
                self._images += 1
                self._forms.add(_form(found.parts[-1]))
            self._take(found, mark)
        except FileUnreadable:
            self._missed()
            return None
        except (SpaceShort, NotKept):
            raise
        except IntakeError as error:
            refused = dict(self.status.refused)
            refused[error.code] = refused.get(error.code, 0) + 1
            self._count(refused=refused)
            # Of an image that is only half on the stick, or not at all, nobody can say which case lacks it.
            self._unread += isinstance(error, Truncated | PixelLengthMismatch | FileEmpty | FileOfZeros)
            return None
        return kind

    def _was_image(self, name: str) -> bool:
        """Whether an empty file of this name is what was left of an image; others are marks, and a label (fusefat)."""
        if is_picture_name(name):  # as with sound ones
            return not self._images
        return is_object_name(name) or _form(name) in self._forms

    def _take(self, found: Found, mark: str) -> None:
        known = self._marks.known(mark)
        if known is not None:
            self.met.add(known)
            self._count(known=self.status.known + 1)
            return
        name = "usb/" + readable("/".join(found.parts))
        for tries_left in reversed(range(_TRIES)):
            try:
                admission = self._door.accept_file(found.path, name, self._opened())
                break
            except NotKept:  # the gateway, at its start, sweeps up what is half received; ours too
                if not tries_left or self._stop.wait(_TRY_S):
                    raise
        self.met.add(admission.instance)
        self._marks.keep(mark, admission.instance)
        if admission.outcome is Outcome.ACCEPTED:
            self._count(new=self.status.new + 1)
        else:
            self._count(known=self.status.known + 1)

    def _go_on(self) -> None:
        """Raise when the copying is to end: by a word from outside, or because the database must be mended."""
        if self._stop.is_set():
            raise StickStopped if search.is_there(self._root, self._device) else StickPulled
        if rescue.wanted(self._door.state, (self._door.clinical.database.path,)):
            raise StickStopped

    def _missed(self) -> None:
        if not search.is_there(self._root, self._device):
            raise StickPulled
        self._unread += 1

    def _opened(self) -> int:
        if self._association is None:
            self._association = self._door.clinical.open_association(media.SOURCE)
        return self._association

    def _close(self) -> None:
        if self._association is not None:
            try:
                self._door.clinical.close_association(self._association)
            except (sqlite3.Error, StoreError) as error:  # the quiet time ends it instead
                log.error("a stick's import stays open: %s", getattr(error, "sqlite_errorname", "error"))

    def _advance(self) -> None:
        self._count(looked=self.status.looked + 1)
        if time.monotonic() - self._told > _TELL_S:
            self._tell(self.status)
            self._told = time.monotonic()

    def _count(self, **changes: object) -> None:
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]


def _form(name: str) -> str:
    """A name but for its numbers: machines name the objects of an examination alike."""
    return _NUMBER.sub("0", name.casefold())


def _kind(head: bytes) -> _Kind:
    """As the door sees it (`accept.Door.accept_file`); lists and what is no image never get that far."""
    if not head.strip(b"\0"):
        return _Kind.EMPTY
    is_dicom = head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC
    if is_dicom and _DIRECTORY in head[:1024]:
        return _Kind.OTHER
    if is_dicom:
        return _Kind.DICOM
    if picture.kind(head) is not None or picture.is_of_a_phone(head):
        return _Kind.PICTURE
    if looks_like_data_set(head):
        return _Kind.DICOM
    return _Kind.ARCHIVE if is_archive(head) else _Kind.OTHER

"""The threads that talk to the clinic's archives and to modalities that wait for an answer.

Each archive has a thread, so an archive that is down delays no other. The thread sends what waits, asks about what is
stored, and tries again after a failure. After a failure of the archive everything for it waits, twice as long each
time; after a failure of one object that object alone waits.

One more thread delivers the answers of Storage Commitment to modalities that did not wait for them: it dials each
until it has its answer.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.uid import UID

from firmware_app.core.database import Database
from firmware_app.core.process import WorkerThread
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.dicom import commitment, storage_scu
from firmware_app.dicom.commitment import PUSH_MODEL, ObjectReference
from firmware_app.dicom.errors import PacsError, PacsFull, PacsKindRefused, PacsObjectRefused
from firmware_app.dicom.peers import ArchivePeer, find_peer
from firmware_app.dicom.storage_scu import ArchiveAssociation
from firmware_app.results.archive_queue import Sending, SendingQueue, locate_file
from firmware_app.results.errors import PACS_UNCOMMITTED
from firmware_app.results.storage_commitment import OwedAnswer, StorageCommitments

log = logging.getLogger("lantern.sender")

_LOOK_S: Final = 0.5
DELAY_FIRST_S, DELAY_MOST_S = 2.0, 600.0
REFUSED_FIRST_S, REFUSED_MOST_S = 60.0, 3600.0
ASK_AGAIN_S: Final = (60.0, 300.0, 1800.0, 3600.0)
"""Seconds until a commitment is asked for again, by how often it was; the last holds for all further times."""
_ASK_SOON_S: Final = 5.0
_LATE_AFTER: Final = 2
"""Requests after which an archive that does not answer is reported."""
ON_THIS_ASSOCIATION_S: Final = 2.0
_OBJECT_FAILURES: Final = (PacsKindRefused, PacsObjectRefused)


@dataclass(slots=True)
class RetryDelay:
    """Seconds to wait after each failure in a row: doubled up to *most*, and spread a little."""

    first: float
    most: float
    delay: float = 0.0
    due: float = 0.0

    def extend(self) -> None:
        self.delay = min(self.most, 2 * self.delay if self.delay else self.first)
        self.due = time.monotonic() + self.delay * random.uniform(0.8, 1.0)

    def is_over(self) -> bool:
        return time.monotonic() >= self.due


@dataclass
class ArchiveSender(WorkerThread):
    """What one archive is to get, in a thread of its own from `start` until *stop*."""

    peer: ArchivePeer
    database: Database
    outgoing: Path
    stop: threading.Event
    turned: float = field(default_factory=time.monotonic)
    """When its loop last came round, or an archive last answered."""

    def __post_init__(self) -> None:
        self._queue = SendingQueue(self.database)
        self._commitments = StorageCommitments(self.database, {self.peer.name: self.peer.title})
        self._archive = RetryDelay(DELAY_FIRST_S, DELAY_MOST_S)
        self._refused: dict[int, RetryDelay] = {}
        self._failures: dict[int, int] = {}
        """How often each object had failed when it was tried last: a failed commitment counts from outside."""
        self._asked: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run, name=f"pacs-{self.peer.name}", daemon=True)

    def _run(self) -> None:
        try:
            seen = None
            while not self.stop.is_set():
                self.turned = time.monotonic()
                mark = self.database.read_change_mark()
                if mark != seen or self._is_due():
                    seen = None if self.run_once() else mark  # after a visit there may be more
                self.stop.wait(_LOOK_S)
        except sqlite3.Error as error:  # the main thread ends the process, which says why when it starts again
            log.error("the queue of a PACS cannot be read or written: %s", getattr(error, "sqlite_errorname", "error"))
        finally:
            self.database.close_thread()

    def _is_due(self) -> bool:
        return self._archive.delay > 0 or bool(self._refused) or bool(self._asked)

    def run_once(self) -> bool:
        """Send and ask what is due now, over one association; whether there was any."""
        if not self._archive.is_over():
            return False
        self._forget_delivered()
        put_off = [sequence for sequence, pause in self._refused.items() if not pause.is_over()]
        waiting = [
            sending for sending in self._queue.list_waiting(self.peer.name, put_off=put_off) if self._may_try(sending)
        ]
        stored = self._queue.list_stored(self.peer.name)
        if stored and not self.peer.settings.commitment:
            self._accept_stored()
            stored = []
        stored = [sending for sending in stored if self._may_ask(sending)]
        if not waiting and not stored:
            return False
        try:
            self._send_over_association(waiting, stored)
        except PacsError as error:
            self._archive.extend()
            log.warning("%s", error)
            self._queue.record_attempt(self.peer.name, Reason.from_error(error))
        except OSError as error:
            self._archive.extend()
            log.warning("an object cannot be read: %s", error.strerror)
        else:
            self._archive = RetryDelay(DELAY_FIRST_S, DELAY_MOST_S)
        return True

    def _forget_delivered(self) -> None:
        of_all = (self._refused, self._failures, self._asked)
        still = self._queue.filter_open({sequence for known in of_all for sequence in known})
        for known in of_all:
            for sequence in known.keys() - still:
                del known[sequence]

    def _accept_stored(self) -> None:
        """The archive is asked for no commitment, or offers none: what it has stored counts as sent."""
        self._queue.accept_stored(self.peer.name)
        self._queue.record_attempt(self.peer.name, None, commits=False)

    def _may_try(self, one: Sending) -> bool:
        """What failed since this process began has its pause; after a restart everything is tried at once."""
        if one.failures > self._failures.setdefault(one.sequence, one.failures):
            self._put_off(one, one.failures)
        return one.sequence not in self._refused or self._refused[one.sequence].is_over()

    def _put_off(self, one: Sending, failures: int) -> None:
        self._failures[one.sequence] = failures
        self._refused.setdefault(one.sequence, RetryDelay(REFUSED_FIRST_S, REFUSED_MOST_S)).extend()

    def _may_ask(self, one: Sending) -> bool:
        """A commitment asked for before this process began is asked for again soon: the archive may have gone too."""
        if not one.asked:
            return True
        pause = ASK_AGAIN_S[min(one.asked, len(ASK_AGAIN_S)) - 1]
        asked = self._asked.setdefault(one.sequence, time.monotonic() - pause + _ASK_SOON_S)
        return time.monotonic() - asked >= pause

    def _send_over_association(self, waiting: Sequence[Sending], stored: Sequence[Sending]) -> None:
        classes = list(dict.fromkeys(sending.sop_class_uid for sending in waiting))
        asks = [commitment.PUSH_MODEL] if self.peer.settings.commitment else []
        try:
            with storage_scu.dial_archive(self.peer, [*classes, *asks], reported=self._take_report) as archive:
                failures = [failure for sending in waiting if (failure := self._send(archive, sending)) is not None]
                late = self._ask(archive, stored) if archive.commits else None
                commits = archive.commits
        except PacsKindRefused:  # the archive is there and takes nothing of what was proposed
            failures, late, commits = (
                [self._refuse(sending, self._make_kind_error(sending)) for sending in waiting],
                None,
                False,
            )
        if not commits:
            self._queue.accept_stored(self.peer.name)
        self._queue.record_attempt(self.peer.name, next(iter(failures), late), commits)

    def _send(self, archive: ArchiveAssociation, one: Sending) -> Reason | None:
        """Why the archive did not take this object; None when it did.  Raises what ends the association."""
        if self.stop.is_set():
            return None
        path = locate_file(self.outgoing, one)
        if not path.is_file():
            self._queue.requeue_lost(one)
            return None
        try:
            archive.store(path, one.kind)
        except _OBJECT_FAILURES as refused:
            return self._refuse(one, refused)
        except PacsFull as full:
            self._queue.record_failure(one, Reason.from_error(full))
            self._failures[one.sequence] = one.failures + 1
            raise
        self._queue.record_success(one, commits=archive.commits)
        self._asked.pop(one.sequence, None)
        self.turned = time.monotonic()
        return None

    def _refuse(self, one: Sending, refused: PacsError) -> Reason:
        """This object waits by itself; the others go on."""
        reason = Reason.from_error(refused)
        log.warning("%s", refused)
        self._queue.record_failure(one, reason)
        self._put_off(one, one.failures + 1)
        return reason

    def _make_kind_error(self, one: Sending) -> PacsKindRefused:
        return PacsKindRefused(pacs=self.peer.title, sop_class=UID(one.sop_class_uid).name, kind=one.kind)

    def _ask(self, archive: ArchiveAssociation, again: Sequence[Sending]) -> Reason | None:
        """Ask for the commitment to what was stored just now and to *again*; returns what to say of late answers."""
        fresh = [sending for sending in self._queue.list_stored(self.peer.name) if not sending.asked]
        objects = {sending.sequence: sending for sending in (*fresh, *again)}
        if not objects or self.stop.is_set():
            return None
        transaction_uid = self._commitments.record_request(self.peer.name, objects.values())
        self._asked |= dict.fromkeys(objects, time.monotonic())
        references = [ObjectReference(sending.sop_class_uid, sending.sop_instance_uid) for sending in objects.values()]
        if archive.request_commitment(transaction_uid, references):
            archive.answered.wait(ON_THIS_ASSOCIATION_S)
        still = {sending.sequence: sending for sending in self._queue.list_stored(self.peer.name)}
        if any(sending.asked >= _LATE_AFTER for sending in still.values()):
            return Reason.from_error(PACS_UNCOMMITTED(pacs=self.peer.title, own=self.peer.own_title))
        return None

    def _take_report(self, said: commitment.CommitmentAnswer) -> bool:
        """Runs in a thread of the association, which ends with it."""
        try:
            return self._commitments.record_report(said)
        finally:
            self.database.close_thread()


_ANSWER_DELAY_FIRST_S, _ANSWER_DELAY_MOST_S = 2.0, 3600.0


class CommitmentResponder(WorkerThread):
    """Gives the owed answers, in a thread of its own from `start` until *stop*."""

    def __init__(self, config: Config, database: Database, stop: threading.Event) -> None:
        self._config, self._database, self._stop = config, database, stop
        self._commitments = StorageCommitments(database)
        self._delays: dict[str, RetryDelay] = {}
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.run_once()
                self._stop.wait(_LOOK_S)
        except sqlite3.Error as error:  # the main thread ends the process, which says why when it starts again
            log.error("the owed answers cannot be read: %s", getattr(error, "sqlite_errorname", "error"))
        finally:
            self._database.close_thread()

    def run_once(self) -> None:
        """Give every answer that is due."""
        for owed in self._commitments.list_owed():
            delay = self._delays.setdefault(owed.calling_ae, RetryDelay(_ANSWER_DELAY_FIRST_S, _ANSWER_DELAY_MOST_S))
            if self._stop.is_set() or not delay.is_over():
                continue
            if self._deliver(owed):
                self._commitments.remove_answer(owed.sequence)
                del self._delays[owed.calling_ae]
            else:
                delay.extend()

    def _deliver(self, owed: OwedAnswer) -> bool:
        """Whether the machine has its answer now, or nobody can give it one."""
        peer = find_peer(self._config, owed.calling_ae)
        if peer is None:
            return True
        try:
            with storage_scu.dial_archive(peer, [PUSH_MODEL], as_scp=True) as machine:
                return machine.report_commitment(owed.answer)
        except PacsError as error:
            log.warning("an answer of storage commitment waits: %s", error.code)
        except OSError as error:
            log.warning("an answer of storage commitment waits: %s", error.strerror)
        return False

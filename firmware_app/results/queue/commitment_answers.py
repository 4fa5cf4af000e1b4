"""The answers of Storage Commitment for machines that did not wait for them: each is dialled until it has its own."""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import Final

from firmware_app.core.errors import PacsError
from firmware_app.core.settings import Config
from firmware_app.core.sqlite.database import Database
from firmware_app.core.worker import Worker
from firmware_app.dicom.headers.commitment import PUSH_MODEL
from firmware_app.dicom.scu import connection
from firmware_app.dicom.scu.peer import answerable
from firmware_app.results.queue.archive_line import BackOff
from firmware_app.results.queue.commitments import Commitments, OwedAnswer

log = logging.getLogger("lantern.sender")

_LOOK_S: Final = 0.5
_DELAY_FIRST_S, _DELAY_MOST_S = 2.0, 3600.0


class AnswerLine(Worker):
    """Gives the owed answers, in a thread of its own from `start` until *stop*."""

    def __init__(self, config: Config, database: Database, stop: threading.Event) -> None:
        self._config, self._database, self._stop = config, database, stop
        self._commitments = Commitments(database)
        self._delays: dict[str, BackOff] = {}
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.turn()
                self._stop.wait(_LOOK_S)
        except sqlite3.Error as error:  # the main thread ends the process, which says why when it starts again
            log.error("the owed answers cannot be read: %s", getattr(error, "sqlite_errorname", "error"))
        finally:
            self._database.close_thread()

    def turn(self) -> None:
        """Give every answer that is due."""
        for owed in self._commitments.owed():
            delay = self._delays.setdefault(owed.calling_ae, BackOff(_DELAY_FIRST_S, _DELAY_MOST_S))
            if self._stop.is_set() or not delay.is_over():
                continue
            if self._give(owed):
                self._commitments.delivered(owed.sequence)
                del self._delays[owed.calling_ae]
            else:
                delay.failed()

    def _give(self, owed: OwedAnswer) -> bool:
        """Whether the machine has its answer now, or nobody can give it one."""
        peer = answerable(self._config, owed.calling_ae)
        if peer is None:
            return True
        try:
            with connection.dialled(peer, [PUSH_MODEL], as_scp=True) as machine:
                return machine.tell(owed.answer)
        except PacsError as error:
            log.warning("an answer of storage commitment waits: %s", error.code)
        except OSError as error:
            log.warning("an answer of storage commitment waits: %s", error.strerror)
        return False

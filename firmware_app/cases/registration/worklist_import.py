"""Modality Worklist as user (PS3.4 K): the hospital's patients, asked for again and again, among the registered ones.

Where the hospital has a worklist of its own, its entries stand beside those that this box has registered, and are
handed on to the clinic's machines with the hospital's numbers.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter
from datetime import date, timedelta
from typing import Final

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import UID
from pynetdicom import _config

from firmware_app.cases.registration import learned
from firmware_app.cases.registration.learned import LeftOut
from firmware_app.cases.registrations import LEFT_OUT, Registrations
from firmware_app.core import clock
from firmware_app.core.errors import PacsError, WorklistRefused, WorklistUnanswered
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.sqlite.database import Database
from firmware_app.core.worker import Worker
from firmware_app.dicom.headers.identifier import CHARSET, raw, texts
from firmware_app.dicom.scu.connection import associated, contexts, status_of
from firmware_app.dicom.scu.peer import Peer
from firmware_app.dicom.worklist_entry import WorklistEntry

log = logging.getLogger("lantern.sender")

MODEL: Final = "1.2.840.10008.5.1.4.31"
MOST_PATIENTS: Final = 2_000
_LOOK_S: Final = 0.5
_STEPS: Final = 0x00400100
# Logging what is answered would decode it first, and by its declared character set alone.
_config.LOG_RESPONSE_IDENTIFIERS = False
_PENDING: Final = (0xFF00, 0xFF01)
KEYS: Final = (
    learned.ACCESSION,
    learned.NAME,
    learned.PATIENT_ID,
    learned.BIRTH_DATE,
    learned.SEX,
    learned.AGE,
    learned.STUDY,
    learned.PROCEDURE,
    learned.PROCEDURE_ID,
)
KEYS_OF_STEP: Final = (
    learned.MODALITY,
    learned.START_DATE,
    learned.START_TIME,
    learned.STEP,
    learned.STEP_ID,
)


def peer_of(config: Config) -> Peer | None:
    """The hospital's worklist; None where the configuration names none."""
    settings = config.worklist.hospital
    return Peer("worklist", settings, config.dicom.ae_title) if settings.host else None


def patients(peer: Peer, since: date, today: date) -> tuple[list[WorklistEntry], Counter[LeftOut]]:
    """Whom *peer* has scheduled on or after *since*, as far as they can be patients of this box, and how many of its
    entries cannot, by the reason.

    Raises `WorklistUnanswered` or `WorklistRefused`.
    """
    found: list[WorklistEntry] = []
    left_out: Counter[LeftOut] = Counter()
    studies: dict[str, str] = {}  # accession number -> Study Instance UID, and the other way round
    try:
        with associated(peer, contexts([MODEL])) as association:
            for answer, identifier in association.send_c_find(_question(since), UID(MODEL)):
                status = status_of(answer)
                if status is None:
                    raise WorklistUnanswered(worklist=peer.title, detail="pacs.aborted")
                if status not in _PENDING:
                    if status != 0:
                        raise WorklistRefused(worklist=peer.title, status=f"{status:04X}H")
                    break
                if len(found) >= MOST_PATIENTS:
                    left_out[LeftOut.TOO_MANY] += 1
                    association.abort()
                    break
                one = _learned(identifier, peer.title, today) if identifier is not None else None
                if isinstance(one, WorklistEntry):
                    pair = {one.accession: one.study_uid, one.study_uid: one.accession}
                    if any(studies.get(number, other) != other for number, other in pair.items()):
                        one = LeftOut.TWICE
                    else:  # a further step of an examination is no further entry
                        studies |= pair
                        found.append(one)
                if isinstance(one, LeftOut):
                    left_out[one] += 1
    except PacsError as error:
        raise WorklistUnanswered(worklist=peer.title, detail=error.code) from None
    except (RuntimeError, ValueError):  # pynetdicom: the association is gone, or has no context for it
        raise WorklistUnanswered(worklist=peer.title, detail="pacs.aborted") from None
    return found, left_out


def _question(since: date) -> Dataset:
    asked, step = Dataset(), Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    for keys, into in ((KEYS, asked), (KEYS_OF_STEP, step)):
        for tag in keys:
            into.add_new(tag, dictionary_VR(tag), None)
    step.ScheduledProcedureStepStartDate = f"{since:%Y%m%d}-"
    asked.add_new(_STEPS, "SQ", [step])
    return asked


def _learned(identifier: Dataset, origin: str, today: date) -> WorklistEntry | LeftOut:
    charset = raw(identifier, CHARSET)
    steps = identifier[_STEPS].value if _STEPS in identifier else []
    step = texts(steps[0], raw(steps[0], CHARSET) or charset) if steps else {}
    return learned.learned(texts(identifier, charset), step, origin, today)


class WorklistLine(Worker):
    """Asks the hospital's worklist, in a thread of its own from `start` until *stop*."""

    def __init__(self, config: Config, peer: Peer, database: Database, stop: threading.Event) -> None:
        self._config, self._peer, self._database, self._stop = config, peer, database, stop
        self._registrations = Registrations(database)
        self._asked = float("-inf")
        self._thread = threading.Thread(target=self._run, name="worklist", daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if time.monotonic() - self._asked >= self._config.worklist.hospital.every_seconds:
                    self._asked = time.monotonic()
                    self.turn()
                self._stop.wait(_LOOK_S)
        except sqlite3.Error as error:  # the main thread ends the process, which says why when it starts again
            log.error("the registered patients cannot be written: %s", getattr(error, "sqlite_errorname", "error"))
        finally:
            self._database.close_thread()

    def turn(self) -> None:
        """Ask once, and keep what was answered; while it does not answer, what it said last stays."""
        today = clock.now().astimezone().date()
        since = today - timedelta(days=self._config.worklist.days - 1)
        try:
            found, left_out = patients(self._peer, since, today)
        except (WorklistUnanswered, WorklistRefused) as error:
            log.warning("%s", error)
            self._registrations.asked(self._peer.title, None, Reason.of(error))
            return
        self._registrations.learn(self._peer.title, found, since)
        self._registrations.asked(self._peer.title, len(found), _told_of(left_out))


def _told_of(left_out: Counter[LeftOut]) -> Reason | None:
    """How many entries were left out, by the reason; None for none."""
    if not left_out:
        return None
    counts = {str(reason): count for reason, count in sorted(left_out.items())}
    log.warning(
        "entries of the hospital's worklist left out: %s", ", ".join(f"{count} {one}" for one, count in counts.items())
    )
    return Reason(LEFT_OUT, counts)

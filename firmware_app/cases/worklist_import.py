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

from firmware_app.cases import registration_entry
from firmware_app.cases.errors import WorklistRefused, WorklistUnanswered
from firmware_app.cases.registration_entry import OmissionReason
from firmware_app.cases.registrations import LEFT_OUT, Registrations
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.process import WorkerThread
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.dicom.errors import PacsError
from firmware_app.dicom.peers import Peer
from firmware_app.dicom.query_keys import CHARSET_TAG, read_raw, read_texts
from firmware_app.dicom.storage_scu import build_contexts, open_association, response_status
from firmware_app.dicom.worklist import WorklistEntry

log = logging.getLogger("lantern.sender")

MODEL: Final = "1.2.840.10008.5.1.4.31"
MOST_PATIENTS: Final = 2_000
_LOOK_S: Final = 0.5
_STEPS: Final = 0x00400100
# Logging what is answered would decode it first, and by its declared character set alone.
_config.LOG_RESPONSE_IDENTIFIERS = False
_PENDING: Final = (0xFF00, 0xFF01)
KEYS: Final = (
    registration_entry.ACCESSION,
    registration_entry.NAME,
    registration_entry.PATIENT_ID,
    registration_entry.BIRTH_DATE,
    registration_entry.SEX,
    registration_entry.AGE,
    registration_entry.STUDY,
    registration_entry.PROCEDURE,
    registration_entry.PROCEDURE_ID,
)
KEYS_OF_STEP: Final = (
    registration_entry.MODALITY,
    registration_entry.START_DATE,
    registration_entry.START_TIME,
    registration_entry.STEP,
    registration_entry.STEP_ID,
)


def find_worklist_peer(config: Config) -> Peer | None:
    """The hospital's worklist; None where the configuration names none."""
    settings = config.worklist.hospital
    return Peer("worklist", settings, config.dicom.ae_title) if settings.host else None


def query_patients(peer: Peer, since: date, today: date) -> tuple[list[WorklistEntry], Counter[OmissionReason]]:
    """Whom *peer* has scheduled on or after *since*, as far as they can be patients of this box, and how many of its
    entries cannot, by the reason.

    Raises `WorklistUnanswered` or `WorklistRefused`.
    """
    found: list[WorklistEntry] = []
    left_out: Counter[OmissionReason] = Counter()
    studies: dict[str, str] = {}  # accession number -> Study Instance UID, and the other way round
    try:
        with open_association(peer, build_contexts([MODEL])) as association:
            for answer, identifier in association.send_c_find(_build_query(since), UID(MODEL)):
                status = response_status(answer)
                if status is None:
                    raise WorklistUnanswered(worklist=peer.title, detail="pacs.aborted")
                if status not in _PENDING:
                    if status != 0:
                        raise WorklistRefused(worklist=peer.title, status=f"{status:04X}H")
                    break
                if len(found) >= MOST_PATIENTS:
                    left_out[OmissionReason.TOO_MANY] += 1
                    association.abort()
                    break
                one = _parse_answer(identifier, peer.title, today) if identifier is not None else None
                if isinstance(one, WorklistEntry):
                    pair = {one.accession: one.study_uid, one.study_uid: one.accession}
                    if any(studies.get(number, other) != other for number, other in pair.items()):
                        one = OmissionReason.TWICE
                    else:  # a further step of an examination is no further entry
                        studies |= pair
                        found.append(one)
                if isinstance(one, OmissionReason):
                    left_out[one] += 1
    except PacsError as error:
        raise WorklistUnanswered(worklist=peer.title, detail=error.code) from None
    except (RuntimeError, ValueError):  # pynetdicom: the association is gone, or has no context for it
        raise WorklistUnanswered(worklist=peer.title, detail="pacs.aborted") from None
    return found, left_out


def _build_query(since: date) -> Dataset:
    asked, step = Dataset(), Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    for keys, into in ((KEYS, asked), (KEYS_OF_STEP, step)):
        for tag in keys:
            into.add_new(tag, dictionary_VR(tag), None)
    step.ScheduledProcedureStepStartDate = f"{since:%Y%m%d}-"
    asked.add_new(_STEPS, "SQ", [step])
    return asked


def _parse_answer(identifier: Dataset, origin: str, today: date) -> WorklistEntry | OmissionReason:
    charset = read_raw(identifier, CHARSET_TAG)
    steps = identifier[_STEPS].value if _STEPS in identifier else []
    step = read_texts(steps[0], read_raw(steps[0], CHARSET_TAG) or charset) if steps else {}
    return registration_entry.parse_worklist_entry(read_texts(identifier, charset), step, origin, today)


class WorklistImporter(WorkerThread):
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
                    self.poll()
                self._stop.wait(_LOOK_S)
        except sqlite3.Error as error:  # the main thread ends the process, which says why when it starts again
            log.error("the registered patients cannot be written: %s", getattr(error, "sqlite_errorname", "error"))
        finally:
            self._database.close_thread()

    def poll(self) -> None:
        """Ask once, and keep what was answered; while it does not answer, what it said last stays."""
        today = clock.now().astimezone().date()
        since = today - timedelta(days=self._config.worklist.days - 1)
        try:
            found, left_out = query_patients(self._peer, since, today)
        except (WorklistUnanswered, WorklistRefused) as error:
            log.warning("%s", error)
            self._registrations.record_query(self._peer.title, None, Reason.from_error(error))
            return
        self._registrations.import_entries(self._peer.title, found, since)
        self._registrations.record_query(self._peer.title, len(found), _explain_omissions(left_out))


def _explain_omissions(left_out: Counter[OmissionReason]) -> Reason | None:
    """How many entries were left out, by the reason; None for none."""
    if not left_out:
        return None
    counts = {str(reason): count for reason, count in sorted(left_out.items())}
    log.warning(
        "entries of the hospital's worklist left out: %s", ", ".join(f"{count} {one}" for one, count in counts.items())
    )
    return Reason(LEFT_OUT, counts)

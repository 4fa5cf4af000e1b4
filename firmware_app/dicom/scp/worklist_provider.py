"""Modality Worklist provider (PS3.4 K): what each machine that the clinic has named is told of the registered patients.

Any machine on the network may send images, but the list holds names.  So only the AE titles in `[worklist] stations`
may ask, and each hears of the examinations of its own kind, of the days that `[worklist] days` says, and of no more
than `MOST_ANSWERS` patients at once.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Protocol

from firmware_app.core import clock
from firmware_app.core.errors import StoreError
from firmware_app.core.settings import WorklistSection
from firmware_app.dicom.examinations import kind_of
from firmware_app.dicom.scp import command as dimse
from firmware_app.dicom.scp.worklist_answer import MOST_ANSWERS, Writer, knows_all
from firmware_app.dicom.scp.worklist_query import NotADataSet, NotAQuestion, Station, parse
from firmware_app.dicom.worklist_entry import WorklistEntry

log = logging.getLogger("lantern.gateway")

_MOST_LOOKED_AT: Final = 5_000


class WaitingEntries(Protocol):
    """The registered patients who are still to be imaged (`cases.registrations.Registrations.waiting`)."""

    def __call__(self, kinds: Collection[str], since: date, limit: int) -> Sequence[WorklistEntry]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """The answers to one question: the status of each, their data sets, and the final status with its comment."""

    pending: int
    data_sets: tuple[bytes, ...]
    status: int
    comment: str = ""
    offending: int | None = None
    """The key that cannot be matched."""


@dataclass(frozen=True, slots=True)
class WorklistProvider:
    """Answers machines from what *waiting* lists; safe to share between threads."""

    config: WorklistSection
    language: str
    waiting: WaitingEntries

    def find(self, ae_title: str, data: bytes, syntax: str) -> Found:
        """What the machine *ae_title* is answered to the identifier *data*.  Never raises: the peer gets a status."""
        station = Station(ae_title, self.config.stations[ae_title])
        since = clock.now().astimezone().date() - timedelta(days=self.config.days - 1)
        writer = Writer(self.config.character_set, self.language, syntax)
        try:
            question = parse(data, syntax)
            kind = kind_of(station.modality)
            fitting = [
                entry for entry in self.waiting((kind,), since, _MOST_LOOKED_AT) if question.fits(entry, station)
            ]
        except NotADataSet as error:
            return Found(dimse.PENDING, (), dimse.UNABLE, str(error))
        except NotAQuestion as error:
            return Found(dimse.PENDING, (), dimse.DOES_NOT_MATCH, str(error), error.tag)
        except (sqlite3.Error, StoreError) as error:
            log.error("the worklist cannot be read: %s", getattr(error, "sqlite_errorname", "error"))
            return Found(dimse.PENDING, (), dimse.UNABLE, "The box cannot read its list now. Ask again.")
        told = tuple(writer.encoded(question, entry, station) for entry in fitting[:MOST_ANSWERS])
        pending = dimse.PENDING if knows_all(question) else dimse.PENDING_WITHOUT_KEYS
        if len(fitting) > MOST_ANSWERS:
            return Found(pending, told, dimse.TOO_MANY, f"More than {MOST_ANSWERS} patients fit: ask for fewer.")
        return Found(pending, told, dimse.SUCCESS)

"""The images that wait to be read, and the objects that were refused or set aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.quarantine import Quarantine
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, NN_, register, register_counted
from firmware_app.core.records import Detail, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 35
NAMES: Final = {"queue": N_("Reading"), "refused": N_("Refused images")}
HANDBOOK: Final = Section(
    N_("Images that wait or were refused"),
    (
        "doctor.queue_*",
        "doctor.refused*",
        "intake.*",
        "imaging.undecodable",
        "imaging.unsupported",
        "imaging.too_large",
        "imaging.memory",
        "imaging.empty_clip",
        "reading.*gave_up",
    ),
)
_QUEUE_OK: Final = register("doctor.queue_ok", N_("No image waits to be read."))
_QUEUE_WAITING: Final = register_counted(
    "doctor.queue_waiting",
    "waiting",
    NN_(
        "{waiting} image waits to be read; no result does not mean normal.",
        "{waiting} images wait to be read; no result does not mean normal.",
    ),
)
_REFUSED: Final = register(
    "doctor.refused", N_("Objects refused or set aside: {refused}. The newest, and how often each reason came:")
)
_REFUSED_OF: Final = register("doctor.refused_of", N_("Reason {reason}: {count} ×, the last time on {date}."))
_REFUSED_NONE: Final = register("doctor.refused_none", N_("Nothing was refused or set aside."))
_NEWEST: Final = 10


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """Nothing of a database that cannot be opened, which has its own check."""
    if not state.clinical_db.exists():
        return
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        clinical.require()
        yield from [*_check_waiting(clinical), *_check_quarantine(Quarantine(clinical.database))]
    except (LanternError, sqlite3.DatabaseError):
        return
    finally:
        clinical.database.close()


def _check_waiting(clinical: ClinicalDatabase) -> Iterator[Check]:
    counts = clinical.count_queue()
    if counts.waiting:
        yield Check("queue", "warn", Reason(_QUEUE_WAITING, {"waiting": counts.waiting}))
    else:
        yield Check("queue", "ok", Reason(_QUEUE_OK))


def _check_quarantine(quarantine: Quarantine) -> Iterator[Check]:
    counts = quarantine.list_counts()
    if not counts:
        yield Check("refused", "ok", Reason(_REFUSED_NONE))
        return
    yield Check("refused", "warn", Reason(_REFUSED, {"refused": sum(count.count for count in counts)}))
    for entry in quarantine.list_entries(_NEWEST):
        yield Check("refused", "warn", entry.reason, entry.at.text("seconds"), entry.case)
    for count in counts:
        details: dict[str, Detail] = {"count": count.count, "reason": count.code, "date": count.latest.day}
        yield Check("refused", "warn", Reason(_REFUSED_OF, details))

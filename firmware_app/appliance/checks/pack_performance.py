"""What `lantern status` and `lantern doctor` say of the packs at this clinic: trials, falls, what has changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.pack_changes import PackTrials
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, LocalState, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.monitoring import drift
from firmware_app.monitoring.local_performance import PerformanceOverview
from firmware_app.monitoring.performance_drops import PerformanceDrops
from firmware_app.packs.pack_store import PackStore

ORDER: Final = 90
NAMES: Final = {"calibration": N_("Models at this clinic")}
HANDBOOK: Final = Section(N_("Models"), ("doctor.pack*",))
_SUSPENDED: Final = register(
    "doctor.pack_suspended",
    N_(
        "The model “{pack}” is suspended on one imaging machine: {confirmed} films that the clinic has confirmed give "
        "an AUC of {auc}. “lantern calibration show” has the figures."
    ),
)
_DRIFTED: Final = register(
    "doctor.pack_drifted",
    N_(
        "The films of one imaging machine are not what they were when the model “{pack}” began there ({measure}: "
        "{first} then, {now} now). Look whether machine, exposure or patients have changed, and confirm more films."
    ),
)
_ALTERED: Final = register(
    "doctor.pack_point_altered",
    N_(
        "The clinic's own threshold of the model “{pack}” is not used: its file was altered, or its key is lost. The "
        "model works with its own threshold. Propose and confirm it again."
    ),
)

_ON_TRIAL: Final = register(
    "doctor.pack_on_trial",
    N_(
        "Version {version} of the model pack “{pack}” is on trial: it has read {images} images after {before}, whose "
        "answers count. “lantern pack list” shows how it goes."
    ),
)


def status(clinical: ClinicalDatabase, config: Config) -> list[dict[str, Any]]:
    """Each finding of each pack on each machine: its state and what has changed; no machine is named."""
    changed = {one.place: one for one in drift.measure_clinic_drift(clinical, config)}
    return [
        {
            "pack": here.place.pack,
            "version": here.place.version,
            "machine": here.place.machine,
            "finding": here.finding,
            "state": here.state.value,
            "read": here.read,
            "confirmed": sum(here.sources.values()),
            "drift": [alarm.measure for alarm in (changed[here.place].alarms if here.place in changed else ())],
        }
        for here in PerformanceOverview(clinical, config).all()
    ]


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """What a technician should look at; nothing while all is well, nor of a damaged database, which has its own row."""
    if not state.clinical_db.exists():
        return
    clinical = ClinicalDatabase(state.clinical_db)
    try:
        clinical.require()
        checks = [
            *_check_trials(clinical),
            *_check_performance_drops(clinical, config),
            *_check_model_sites(clinical, config),
            *_check_drift(clinical, config),
        ]
    except (LanternError, sqlite3.DatabaseError):
        return
    finally:
        clinical.database.close()
    yield from checks


def _check_trials(clinical: ClinicalDatabase) -> Iterator[Check]:
    for trial in PackTrials(clinical.database).all().values():
        if trial.is_running:
            named: dict[str, Detail] = {"pack": trial.pack, "version": trial.version, "before": trial.before}
            yield Check("packs", "ok", Reason(_ON_TRIAL, {**named, "images": trial.images}))
        elif trial.notice is not None:
            yield Check("packs", "warn", trial.notice)


def _check_performance_drops(clinical: ClinicalDatabase, config: Config) -> Iterator[Check]:
    packs = PackStore.from_config(config).survey().packs
    for fall in PerformanceDrops(clinical.database).list_open((pack.name, pack.manifest.version) for pack in packs):
        yield Check("calibration", "warn", fall.reason)


def _check_model_sites(clinical: ClinicalDatabase, config: Config) -> Iterator[Check]:
    for here in PerformanceOverview(clinical, config).all():
        if here.state is LocalState.SUSPENDED and here.suspension is not None:
            said: dict[str, Detail] = {
                "pack": here.place.pack,
                "confirmed": here.suspension.confirmed,
                "auc": here.suspension.auc,
            }
            yield Check("calibration", "warn", Reason(_SUSPENDED, said))
        if here.altered:
            yield Check("calibration", "warn", Reason(_ALTERED, {"pack": here.place.pack}))


def _check_drift(clinical: ClinicalDatabase, config: Config) -> Iterator[Check]:
    for one in drift.measure_clinic_drift(clinical, config):
        for shift in one.alarms:
            changed: dict[str, Detail] = {
                "pack": one.place.pack,
                "measure": shift.measure,
                "first": round(shift.first, 2),
                "now": round(shift.now, 2),
            }
            yield Check("calibration", "warn", Reason(_DRIFTED, changed))

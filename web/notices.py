"""What the box did with its models, or fears of them, for the banner of every page until a person has noted it."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_app.cases.accounts import Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.pack_changes import PackChanges, PackTrials
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.monitoring.performance_drops import PerformanceDrop, PerformanceDrops
from firmware_app.packs.pack_store import PackStore


@dataclass(frozen=True, slots=True)
class ModelNotice:
    """One sentence about a pack; `back` is the version to which one tap goes back, where the model does badly."""

    pack: str
    reason: Reason
    is_fall: bool = False
    back: str | None = None


def list_notices(clinical: ClinicalDatabase, config: Config, role: Role) -> list[ModelNotice]:
    """The notices for a person of that *role*; an auditor changes no models."""
    if role not in (Role.DOCTOR, Role.TECHNICIAN):
        return []
    trials = PackTrials(clinical.database).all().values()
    left = [ModelNotice(trial.pack, told) for trial in trials if (told := trial.notice) is not None]
    return [*_list_drop_notices(clinical, config), *left]


def find_drops(clinical: ClinicalDatabase, config: Config) -> dict[str, PerformanceDrop]:
    """Those of the versions that serve and that nobody has noted, by the pack's name."""
    known = PerformanceDrops(clinical.database)
    if not known.all():
        return {}
    packs = PackStore.from_config(config).survey().packs
    return {
        performance_drop.pack: performance_drop
        for performance_drop in known.list_open((pack.name, pack.manifest.version) for pack in packs)
    }


def _list_drop_notices(clinical: ClinicalDatabase, config: Config) -> list[ModelNotice]:
    store, asked = (
        PackStore.from_config(config),
        {pack_change.pack for pack_change in PackChanges(clinical.database).list_requested()},
    )
    return [
        ModelNotice(name, one.reason, True, None if name in asked else store.find_previous_version(store.find(name)))
        for name, one in find_drops(clinical, config).items()
    ]

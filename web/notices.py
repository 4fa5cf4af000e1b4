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


def of(clinical: ClinicalDatabase, config: Config, role: Role) -> list[ModelNotice]:
    """The notices for a person of that *role*; an auditor changes no models."""
    if role not in (Role.DOCTOR, Role.TECHNICIAN):
        return []
    trials = PackTrials(clinical.database).all().values()
    left = [ModelNotice(one.pack, told) for one in trials if (told := one.tells) is not None]
    return [*_falls(clinical, config), *left]


def falls(clinical: ClinicalDatabase, config: Config) -> dict[str, PerformanceDrop]:
    """Those of the versions that serve and that nobody has noted, by the pack's name."""
    known = PerformanceDrops(clinical.database)
    if not known.all():
        return {}
    packs = PackStore.of(config).survey().packs
    return {one.pack: one for one in known.open((pack.name, pack.manifest.version) for pack in packs)}


def _falls(clinical: ClinicalDatabase, config: Config) -> list[ModelNotice]:
    store, asked = PackStore.of(config), {one.pack for one in PackChanges(clinical.database).asked()}
    return [
        ModelNotice(name, one.reason, True, None if name in asked else store.before(store.find(name)))
        for name, one in falls(clinical, config).items()
    ]

"""The model packs: whether they are complete, and which of two that fit the same images is asked first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.packs.errors import PackError
from firmware_app.packs.pack_store import PackStore
from firmware_app.reading import routing

ORDER: Final = 80
NAMES: Final = {"packs": N_("Models")}
HANDBOOK: Final = Section(
    N_("Models"),
    (
        "doctor.pack*",
        "selftest.golden_*",
        "selftest.no_pack",
        "pack.manifest",
        "pack.artefact_missing",
        "pack.digest",
        "pack.task",
        "pack.unlisted",
        "pack.sums",
    ),
)
_PACKS_NONE: Final = register(
    "doctor.packs_none",
    N_("There is no model pack in {path}, so nothing can be judged. Correct [packs] dir, or install Lantern again."),
)
_PACK_OK: Final = register("doctor.pack_ok", N_("The model pack {pack} {version} is complete."))
_PREFER_IDLE: Final = register(
    "doctor.prefer_idle",
    N_("[packs] prefer names the model pack “{pack}”, which is not on this box. Correct its name or take it out."),
)


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    yield from _check_packs(config)
    yield from _check_precedence(config)


def _check_packs(config: Config) -> Iterator[Check]:
    shelf = PackStore.from_config(config).survey()
    if not shelf.packs:
        yield Check("packs", "fail", Reason(_PACKS_NONE, {"path": str(PackStore.from_config(config).shipped)}))
    for broken in shelf.broken:
        yield Check("packs", "fail", Reason.from_error(broken))
    for pack in shelf.packs:
        try:
            pack.verify()
        except PackError as error:
            yield Check("packs", "fail", Reason.from_error(error))
        else:
            yield Check("packs", "ok", Reason(_PACK_OK, {"pack": pack.manifest.name, "version": pack.manifest.version}))


def _check_precedence(config: Config) -> Iterator[Check]:
    store = PackStore.from_config(config)
    packs = store.survey().packs
    for overlap in routing.find_overlaps(packs, config, store):
        yield Check("packs", "ok" if overlap.is_chosen else "warn", overlap.reason)
    names = {pack.name for pack in packs}
    for name in config.packs.prefer:
        if name not in names:
            yield Check("settings", "warn", Reason(_PREFER_IDLE, {"pack": name}))

"""The configuration: who may send, whom an image without an age shows, and whether what it names is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core import config_check
from firmware_app.core.errors import ConfigFileForbidden, ConfigFolderForbidden
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config, ConfigSource
from firmware_app.core.state_dir import StateDir
from firmware_app.packs.pack_store import PackStore

ORDER: Final = 170
NAMES: Final = {"population": N_("Usual patients"), "door": N_("Who may send"), "settings": N_("Settings")}
HANDBOOK: Final = Section(N_("Settings"), ("doctor.*", "config.*"))
_POPULATION_ASK: Final = register(
    "doctor.population_ask",
    N_(
        "Films without an age are not judged. If this clinic sees mostly children or mostly adults, "
        "the technician sets [box] usual_population."
    ),
)
_POPULATION_SET: Final = register("doctor.population_set", N_("Films without an age are taken to show: {population}."))
_OPEN_DOOR: Final = register(
    "doctor.open_door",
    N_("Any machine on the network may send images. To admit only the clinic's own, set [dicom] allowed_calling."),
)
_CLOSED_DOOR: Final = register("doctor.closed_door", N_("Only configured machines may send images: {count}."))
_OPEN_WORKLIST: Final = register(
    "doctor.open_worklist",
    N_(
        "Whoever calls itself like one of the {count} machines in [worklist] stations is told the patients' names. "
        "Name the machines' addresses in [dicom] allowed_addresses, or give the port TLS with a client CA."
    ),
)
_PREVALENCE_IDLE: Final = register(
    "doctor.prevalence_idle",
    N_("[reader] prevalence names the finding “{finding}”, which no model on this box gives. Correct its code."),
)


def examine(config: Config, state: StateDir, source: ConfigSource | None = None) -> Iterator[Check]:
    usual = config.box.usual_population
    if usual == "ask":
        yield Check("population", "warn", Reason(_POPULATION_ASK))
    else:
        yield Check("population", "ok", Reason(_POPULATION_SET, {"population": usual}))
    allowed = len(config.dicom.allowed_calling) + len(config.dicom.allowed_addresses)
    if allowed:
        yield Check("door", "ok", Reason(_CLOSED_DOOR, {"count": allowed}))
    else:
        yield Check("door", "warn", Reason(_OPEN_DOOR))
    if config.worklist.stations and not config.dicom.allowed_addresses and config.dicom.tls_ca is None:
        yield Check("door", "warn", Reason(_OPEN_WORKLIST, {"count": len(config.worklist.stations)}))
    known = {
        finding.code for pack in PackStore.from_config(config).survey().packs for finding in pack.manifest.findings
    }
    for code in sorted(set(config.reader.prevalence) - known):
        yield Check("settings", "warn", Reason(_PREVALENCE_IDLE, {"finding": code}))
    for finding in config_check.check_config(config, source or ConfigSource()):
        if not isinstance(finding, ConfigFileForbidden | ConfigFolderForbidden):  # which this user cannot judge
            yield Check("settings", "fail", Reason.from_error(finding))

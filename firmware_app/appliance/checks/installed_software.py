"""Checks of the box's own software, for `lantern doctor`: what runs in which slot, and why the other one was left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from firmware_app.appliance import software_bundle, software_record
from firmware_app.appliance.checks.check import Check, Section
from firmware_app.appliance.software_bundle import InstalledSystem
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

ORDER: Final = 60
NAMES: Final = {"software": N_("Software")}
HANDBOOK: Final = Section(N_("Software of the box"), ("doctor.software_*", "slot.*"))
NAME: Final = "software"
_RUNS: Final = register("doctor.software_runs", N_("Version {version} of the software runs."))
_RUNS_IN_SLOT: Final = register(
    "doctor.software_slot", N_("Version {version} of the software runs, in slot {slot} of the disk.")
)


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """What `lantern doctor` says of the software."""
    return check_software(state, software_bundle.read_installed_system())


def check_software(state: StateDir, running: InstalledSystem) -> Iterator[Check]:
    """The running version and slot; and the slot that was left."""
    if running.slot:
        yield Check(NAME, "ok", Reason(_RUNS_IN_SLOT, {"version": running.version, "slot": running.slot}))
    else:
        yield Check(NAME, "ok", Reason(_RUNS, {"version": running.version}))
    if (left := software_record.read_abandoned_slot(state)) is not None:
        yield Check(NAME, "warn", left.reason)

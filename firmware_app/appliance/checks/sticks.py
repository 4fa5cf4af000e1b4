"""What `lantern doctor` says of sticks: which kinds this machine can open, and what the last one left to be done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.cases import usb_import
from firmware_app.cases.usb_import import StickStage
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest import stick_mounting

ORDER: Final = 130
NAMES: Final = {"stick": N_("Stick")}
HANDBOOK: Final = Section(N_("USB sticks"), ("stick.*",))
_DRIVERS: Final = register("stick.drivers", N_("This box opens sticks and discs of these kinds: {kinds}."))
_ABSENT: Final = register(
    "stick.drivers_absent",
    N_(
        "This box cannot open sticks or discs of these kinds: {kinds}. Its kernel has no driver for them; install one "
        "with “apt install {packages}”."
    ),
)


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """Nothing is said where no stick is copied."""
    if config.usb.enabled:
        yield from _check_drivers()
        yield from _check_last_stick(state)


def _check_last_stick(state: StateDir) -> Iterator[Check]:
    """Until a person has said in the viewer that it is read."""
    status = usb_import.read_status(state)
    if (
        status is not None
        and status.stage in (StickStage.UNFINISHED, StickStage.REFUSED)
        and status.reason
        and not status.seen
    ):
        yield Check("stick", "warn", status.reason)


def _check_drivers() -> Iterator[Check]:
    """Nothing within a sandbox that hides the kernel's modules."""
    try:
        absent = stick_mounting.list_missing_drivers()
    except PermissionError:
        return
    if there := [driver.name for driver in stick_mounting.DRIVERS.values() if driver not in absent]:
        yield Check("stick", "ok", Reason(_DRIVERS, {"kinds": ", ".join(there)}))
    if absent:
        kinds, packages = (", ".join(one.name for one in absent), " ".join(one.package for one in absent))
        yield Check("stick", "warn", Reason(_ABSENT, {"kinds": kinds, "packages": packages}))

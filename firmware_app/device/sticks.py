"""What `lantern doctor` says of sticks: which kinds this machine can open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from firmware_app.config import Config
from firmware_app.device.check import Check
from firmware_app.intake.stick import drivers
from firmware_app.language import N_, register
from firmware_app.records import Reason
from firmware_app.store.layout import StateDir

_DRIVERS: Final = register("stick.drivers", N_("This box opens sticks and discs of these kinds: {kinds}."))
_ABSENT: Final = register(
    "stick.drivers_absent",
    N_(
        "This box cannot open sticks or discs of these kinds: {kinds}. Its kernel has no driver for them; install one "
        "with “apt install {packages}”."
    ),
)


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    """Nothing is said where no stick is copied, nor within a sandbox that hides the kernel's modules."""
    if not config.usb.enabled:
        return
    try:
        absent = drivers.absent()
    except PermissionError:
        return
    if there := [driver.name for driver in drivers.DRIVERS.values() if driver not in absent]:
        yield Check("stick", "ok", Reason(_DRIVERS, {"kinds": ", ".join(there)}))
    if absent:
        kinds, packages = (", ".join(one.name for one in absent), " ".join(one.package for one in absent))
        yield Check("stick", "warn", Reason(_ABSENT, {"kinds": kinds, "packages": packages}))

"""The state directory: whether it can be used, and how much of the disk is free."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_app.appliance.checks.check import Check, Section
from firmware_app.core import disk
from firmware_app.core.errors import LanternError
from firmware_app.core.language import N_, register
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes

ORDER: Final = 10
NAMES: Final = {"state": N_("Disk")}
HANDBOOK: Final = Section(
    N_("Disk and old images"),
    (
        "doctor.state_*",
        "doctor.space_low",
        "disk.*",
        "store.unusable",
        "machine.disk_*",
        "machine.inodes_*",
        "retention.*",
    ),
)
_STATE_OK: Final = register("doctor.state_ok", N_("The state directory {path} can be used; {free_mb} MB are free."))
_STATE_NONE: Final = register(
    "doctor.state_none",
    N_(
        "There is no state directory {path}. It is made when the box first runs; if this box has run before, look "
        "whether its disk is mounted and [state] dir is right."
    ),
)
_SPACE_LOW: Final = register(
    "doctor.space_low",
    N_("Only {free_mb} MB of disk are free and the box stops taking images at {limit_mb} MB. Free some space."),
)


def examine(config: Config, state: StateDir) -> Iterator[Check]:
    if not state.root.exists() and _can_be_created(state.root):
        yield Check("state", "warn", Reason(_STATE_NONE, {"path": str(state.root)}))
        return
    try:
        state.prepare()
        if (trouble := disk.find_disk_trouble(state.run, config.retention.high_water_free_mb)) is not None:
            raise trouble
        if not os.access(state.images, os.W_OK):
            raise PermissionError(13, "it may not be written by this user")
        free_mb = free_bytes(state.root) // 1_000_000
    except LanternError as error:
        yield Check("state", "fail", Reason.from_error(error))
        return
    except OSError as error:
        yield Check(
            "state", "fail", Reason("store.unusable", {"path": str(state.root), "detail": error.strerror or ""})
        )
        return
    limit = config.retention.high_water_free_mb
    if free_mb < 2 * limit:
        yield Check("state", "warn", Reason(_SPACE_LOW, {"free_mb": free_mb, "limit_mb": limit}))
    else:
        yield Check("state", "ok", Reason(_STATE_OK, {"path": str(state.root), "free_mb": free_mb}))


def _can_be_created(folder: Path) -> bool:
    """Whether this user could create it; the doctor itself creates nothing."""
    return os.access(next(above for above in folder.parents if above.exists()), os.W_OK | os.X_OK)

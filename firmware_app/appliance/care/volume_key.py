"""The key of the volume on which the state lies, where that is LUKS2: `erase_volume_key` is what a factory reset calls.

Without its keyslots nobody opens the volume again, not even with the passphrase or the security chip.  What is mounted
stays readable until the machine is switched off, because its memory holds the key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from firmware_app.appliance.care import state_volume
from firmware_app.core import system_program
from firmware_app.core.errors import VolumeKeyKept
from firmware_app.core.system_program import ProgramFailed, ProgramMissing

_S: Final = 60.0
_SYSTEM: Final = frozenset({"/", "/usr", "/boot", "/home"})
"""With one of these on the same volume, erasing it would end the machine itself, not only the box."""


def erase_volume_key(folder: Path) -> str | None:
    """Erase every keyslot of the LUKS2 device below *folder*; its name, or None where there is none of the box's own.

    Done twice, it changes nothing.  Raises `VolumeKeyKept`.
    """
    device = volume_of(folder)
    if device is None:
        return None
    try:
        if (flashed := state_volume.Places()).made.exists() or flashed.reset.exists():
            state_volume.erase(flashed)
            return device
        system_program.run("cryptsetup", "--batch-mode", "erase", device, seconds=_S)
    except (OSError, ProgramFailed) as error:
        raise VolumeKeyKept(device=device, detail=str(error)) from None
    return device


def volume_of(folder: Path) -> str | None:
    """The LUKS2 device that holds *folder* and nothing of the system; None where there is none."""
    try:
        source = system_program.run(
            "findmnt", "--noheadings", "--output", "SOURCE", "--target", str(folder), seconds=_S
        )
        named = source.decode().strip().partition("[")[0]  # of a bind mount: device[/folder]
        told = system_program.run(
            "lsblk", "--json", "--inverse", "--paths", "--output", "NAME,FSTYPE,MOUNTPOINTS", named, seconds=_S
        )
        device = luks_below(json.loads(told))
        if device is None:
            return None
        held = system_program.run("lsblk", "--json", "--paths", "--output", "NAME,MOUNTPOINTS", device, seconds=_S)
        if holds_the_system(json.loads(held)):
            return None
        system_program.run("cryptsetup", "isLuks", "--type", "luks2", device, seconds=_S)
    except ProgramMissing:
        return None
    except (ProgramFailed, ValueError):  # not a block device, or of another kind
        return None
    return device


def luks_below(told: Any) -> str | None:
    """The LUKS device in what ``lsblk --inverse`` says: the nearest one below the file system."""
    return next((str(one["name"]) for one in _devices(told) if one.get("fstype") == "crypto_LUKS"), None)


def holds_the_system(told: Any) -> bool:
    """Whether anything of the machine itself is mounted from the device that ``lsblk`` describes."""
    mounted = {place for one in _devices(told) for place in one.get("mountpoints") or ()}
    return not _SYSTEM.isdisjoint(mounted)


def _devices(told: Any) -> Iterator[dict[str, Any]]:
    for one in told.get("blockdevices", told.get("children", ())):
        yield one
        yield from _devices({"children": one.get("children", ())})

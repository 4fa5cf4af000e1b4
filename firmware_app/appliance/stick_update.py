"""A flashed box is renewed from a stick: the signed file of another version is written to the slot that does not run.

Run by root for each stick that is plugged in or was there at the start (systemd/image/units/lantern-renewal@.service).
RAUC checks the signature, for the kind of machine, and block by block while it writes; the running slot is not touched,
and the boot loader learns of the new one when all of it is on the disk.  A version that is not later than the running
one is left alone, and so is one that was left here before: the stick may still be plugged in.  A folder
``lantern-software`` on the stick is a signed repository, as the channel has it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firmware_app.appliance import software_bundle, software_record, software_service
from firmware_app.appliance.errors import SoftwareNotInstalled
from firmware_app.appliance.software_channel import UpdateRequest
from firmware_app.core.errors import LanternError
from firmware_app.core.settings import load_config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.stick_mounting import FileSystem, probe_file_system

_PLACE: Final = Path("/run/lantern-renewal")
_STICK: Final = "stick"
_REPOSITORY: Final = "lantern-software"
_KINDS: Final = frozenset({FileSystem.FAT, FileSystem.EXFAT, FileSystem.ISO9660})
"""The kernel's other drivers are not for a stranger's stick, and NTFS is read by a program of the importer's only."""


def main(arguments: Sequence[str]) -> int:
    [device] = arguments
    place = _PLACE / device
    place.mkdir(parents=True, exist_ok=True)
    try:
        kind = probe_file_system(Path("/dev", device))
    except LanternError:
        return 0  # the importer tells the doctor
    words = ["mount", "-t", kind.value, "-o", "ro,nosuid,nodev,noexec", f"/dev/{device}", place]
    if kind not in _KINDS or subprocess.run(words, check=False).returncode:
        return 0
    try:
        if (place / _REPOSITORY).is_dir():
            return _install_from_repository(place / _REPOSITORY)
        return _install_first_usable(sorted(place.glob("lantern-*.raucb")))
    finally:
        subprocess.run(["umount", place], check=False)


def _install_from_repository(repository: Path) -> int:
    """A signed repository with its rings: one stick for many boxes, of which those are renewed whose turn it is."""
    config = load_config()
    state = StateDir(config.state.dir)
    try:
        if software_service.install_from_channel(
            state, software_bundle.read_installed_system(), config.box.id, UpdateRequest(str(repository)), _STICK
        ):
            subprocess.run(["systemctl", "reboot"], check=True)
    except LanternError as error:
        software_record.note_outcome(state, _STICK, repository.name, error)
        _print_line(str(error))
        return 1 if isinstance(error, SoftwareNotInstalled) else 0
    return 0


def _install_first_usable(found: Sequence[Path]) -> int:
    running, state, failed = software_bundle.read_installed_system(), StateDir(load_config().state.dir), 0
    for path in found:
        try:
            software = software_bundle.read_bundle(path)
            software_bundle.judge_bundle(software, running, software_record.list_abandoned_versions(state))
            software_service.install_file(state, software, _STICK, path.name)
        except LanternError as error:
            software_record.note_outcome(state, _STICK, path.name, error)
            _print_line(f"{error}; {running.version} goes on")
            failed += isinstance(error, SoftwareNotInstalled)
        else:
            subprocess.run(["systemctl", "reboot"], check=True)
            return 0
    return 1 if failed else 0


def _print_line(sentence: str) -> None:
    print(f"lantern: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

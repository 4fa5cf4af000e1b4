"""A flashed box is renewed from a stick: the signed file of another version is written to the slot that does not run.

Run by root for each stick that is plugged in or was there at the start (systemd/image/units/lantern-renewal@.service).
RAUC checks the signature, for the kind of machine, and block by block while it writes; the running slot is not touched,
and the boot loader learns of the new one when all of it is on the disk.  A version that is not later than the running
one is left alone, and so is one that this box has tried and left (`care.slot`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firmware_app.care import slot
from firmware_app.config import load
from firmware_app.store.disk.layout import StateDir

_PLACE: Final = Path("/run/lantern-renewal")
_VERSION: Final = Path("/etc/lantern-image")
_MACHINE: Final = Path("/etc/rauc/system.conf")


def main(arguments: Sequence[str]) -> int:
    [device] = arguments
    place = _PLACE / device
    place.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", "-o", "ro,nosuid,nodev,noexec", f"/dev/{device}", place], check=False).returncode:
        return 0  # no file system that the kernel reads: the importer tells the doctor
    try:
        return _renew(sorted(place.glob("lantern-*.raucb")))
    finally:
        subprocess.run(["umount", place], check=False)


def _renew(found: Sequence[Path]) -> int:
    running, failed = _VERSION.read_text("utf-8").strip(), 0
    for path in found:
        version = _version(path)
        if version is None:
            _tell(f"{path.name} is refused: it is damaged, for another machine, or not signed by whom this box trusts")
        elif not _is_later(version, running):
            _tell(f"{path.name} is not later than {running}, which runs")
        elif version == slot.left_version(StateDir(load().state.dir)):
            _tell(f"{path.name} is refused: this box has tried {version} and left it")
        else:
            _tell(f"{version} is being installed")
            if subprocess.run(["rauc", "install", path], check=False).returncode:
                _tell(f"{path.name} could not be installed; {running} goes on")
                failed += 1
                continue
            _tell(f"{version} is installed; starting it")
            subprocess.run(["systemctl", "reboot"], check=True)
            return 0
    return 1 if failed else 0


def _version(path: Path) -> str | None:
    """That of a bundle for this kind of machine that is signed as it should be; None for any other file."""
    done = subprocess.run(["rauc", "info", "--output-format=shell", path], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    said = {name: value.strip("'\"") for name, _, value in (line.partition("=") for line in done.stdout.splitlines())}
    if f"compatible={said.get('RAUC_MF_COMPATIBLE')}" not in _MACHINE.read_text("utf-8").splitlines():
        return None
    return said.get("RAUC_MF_VERSION") or None


def _is_later(version: str, running: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", version, "gt", running], check=False).returncode == 0


def _tell(sentence: str) -> None:
    print(f"lantern: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

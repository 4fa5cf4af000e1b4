"""The signed file that renews a flashed box (RAUC): read, judged, and written to the slot that does not run.

RAUC checks the signature when the file is read, and every block against it while it writes; the boot loader learns of
the new slot when all of it is on the disk.  Whoever installs, from a stick, a browser or the channel, does it by this.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.appliance.updates.machine import Machine, is_later
from firmware_app.appliance.updates.offers import VERSION
from firmware_app.core.errors import (
    SoftwareCurrent,
    SoftwareDamaged,
    SoftwareForAnotherMachine,
    SoftwareLeft,
    SoftwareNotInstalled,
    SoftwareNotSigned,
    SoftwareOlder,
)

NAME: Final = re.compile(rf"lantern-({VERSION})\.raucb", re.ASCII)
_UNSIGNED: Final = "signature verification failed"
_PERCENT: Final = re.compile(r"\s*(\d{1,3})%")
_DETAIL: Final = 200


@dataclass(frozen=True, slots=True)
class Bundle:
    """A file that is signed as it should be."""

    path: Path
    version: str
    machine: str


def read(path: Path, *options: str) -> Bundle:
    """What *path* is; raises `SoftwareNotSigned` or `SoftwareDamaged`.  *options* are RAUC's own, for a test."""
    command = ["rauc", *options, "info", "--output-format=shell", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        detail = (done.stderr.strip().splitlines() or [""])[-1][:_DETAIL]
        if detail.startswith(_UNSIGNED):
            raise SoftwareNotSigned(file=path.name)
        raise SoftwareDamaged(file=path.name, detail=detail)
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    version, machine = (said.get(f"RAUC_MF_{key}", "").strip("'\"") for key in ("VERSION", "COMPATIBLE"))
    if not re.fullmatch(VERSION, version, re.ASCII):
        raise SoftwareDamaged(file=path.name, detail="it names no version")
    return Bundle(path, version, machine)


def judge(bundle: Bundle, machine: Machine, left: Collection[str], *, again: bool = False) -> None:
    """Raise unless *bundle* is to be installed on *machine*, which has *left* these versions as unfit.

    *again*: a person wants a version once more that was left.
    """
    if bundle.machine != machine.kind:
        raise SoftwareForAnotherMachine(file=bundle.path.name, machine=bundle.machine, here=machine.kind)
    if bundle.version == machine.version:
        raise SoftwareCurrent(version=bundle.version)
    if not is_later(bundle.version, machine.version):
        raise SoftwareOlder(version=bundle.version, current=machine.version)
    if bundle.version in left and not again:
        raise SoftwareLeft(version=bundle.version)


def install(bundle: Bundle, on_percent: Callable[[int], None]) -> None:
    """Write it to the slot that does not run; that one starts next.  Raises `SoftwareNotInstalled`."""
    last = ""
    with subprocess.Popen(
        ["rauc", "install", str(bundle.path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            last = line.strip() or last
            if found := _PERCENT.match(line):
                on_percent(min(100, int(found[1])))
    if running.returncode:
        raise SoftwareNotInstalled(file=bundle.path.name, detail=last[:_DETAIL])

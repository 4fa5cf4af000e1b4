"""What runs on this box (kind of hardware, version, slot), and the signed file (RAUC) that renews a flashed box.

The file is read, judged, and written to the slot that does not run.  RAUC checks the signature when the file is read,
and every block against it during the write; the boot loader learns of the new slot when all of it is on the disk.
Every installation, from a stick, a browser or the channel, uses this.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import (
    SOFTWARE_DAMAGED,
    SOFTWARE_FOR_ANOTHER_MACHINE,
    SOFTWARE_LEFT,
    SOFTWARE_NOT_SIGNED,
    SOFTWARE_OLDER,
    SoftwareCurrent,
    SoftwareNotInstalled,
)
from firmware_app.appliance.software_offers import VERSION
from firmware_app.core.version import version

BUNDLE_NAME: Final = re.compile(rf"lantern-({VERSION})\.raucb", re.ASCII)
_UNSIGNED: Final = "signature verification failed"
_PERCENT: Final = re.compile(r"\s*(\d{1,3})%")
_DETAIL: Final = 200


@dataclass(frozen=True, slots=True)
class SoftwareBundle:
    """A file that is signed as it should be."""

    path: Path
    version: str
    machine: str


def read_bundle(path: Path, *options: str) -> SoftwareBundle:
    """What *path* is; raises `SOFTWARE_NOT_SIGNED` or `SOFTWARE_DAMAGED`.  *options* are RAUC's own, for a test."""
    command = ["rauc", *options, "info", "--output-format=shell", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        detail = (done.stderr.strip().splitlines() or [""])[-1][:_DETAIL]
        if detail.startswith(_UNSIGNED):
            raise SOFTWARE_NOT_SIGNED(file=path.name)
        raise SOFTWARE_DAMAGED(file=path.name, detail=detail)
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    version, machine = (said.get(f"RAUC_MF_{key}", "").strip("'\"") for key in ("VERSION", "COMPATIBLE"))
    if not re.fullmatch(VERSION, version, re.ASCII):
        raise SOFTWARE_DAMAGED(file=path.name, detail="it names no version")
    return SoftwareBundle(path, version, machine)


def judge_bundle(
    bundle: SoftwareBundle, machine: InstalledSystem, left: Collection[str], *, again: bool = False
) -> None:
    """Raise unless *bundle* is to be installed on *machine*, which has *left* these versions as unfit.

    *again*: a person wants a version once more that was left.
    """
    if bundle.machine != machine.kind:
        raise SOFTWARE_FOR_ANOTHER_MACHINE(file=bundle.path.name, machine=bundle.machine, here=machine.kind)
    if bundle.version == machine.version:
        raise SoftwareCurrent(version=bundle.version)
    if not is_later(bundle.version, machine.version):
        raise SOFTWARE_OLDER(version=bundle.version, current=machine.version)
    if bundle.version in left and not again:
        raise SOFTWARE_LEFT(version=bundle.version)


def install_bundle(bundle: SoftwareBundle, on_percent: Callable[[int], None]) -> None:
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


FLASHED: Final = "lantern-"
DEBIAN: Final = "debian-"
_PACKAGE: Final = "lantern-box"
_PACKAGED: Final = Path("usr/lib/systemd/system/lantern.target")

Later = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class InstalledSystem:
    """`kind` is what an index and a bundle call it (``lantern-x86_64``, ``debian-amd64``); empty: none of them."""

    kind: str
    version: str
    slot: str | None = None

    @property
    def is_flashed(self) -> bool:
        """Whether it has two slots, which RAUC writes."""
        return self.kind.startswith(FLASHED)

    @property
    def is_packaged(self) -> bool:
        """Whether its software is a Debian package."""
        return self.kind.startswith(DEBIAN)


def read_installed_system(root: Path = Path("/")) -> InstalledSystem:
    """This machine, or the one whose file system is below *root*."""
    try:
        image = (root / "etc/lantern-image").read_text("utf-8").strip()
    except OSError:
        return _read_package() if (root / _PACKAGED).exists() else InstalledSystem("", version())
    return InstalledSystem(_read_compatible(root), image, _read_slot(root))


def _read_compatible(root: Path) -> str:
    """The kind that RAUC's own configuration states (systemd/image/rauc.conf)."""
    lines = (root / "etc/rauc/system.conf").read_text("utf-8").splitlines()
    return next(line.partition("=")[2].strip() for line in lines if line.startswith("compatible="))


def _read_slot(root: Path) -> str | None:
    words = (root / "proc/cmdline").read_text("ascii").split()
    return next((word.partition("=")[2] for word in words if word.startswith("rauc.slot=")), None)


def _read_package() -> InstalledSystem:
    asked = ["dpkg-query", "--show", "--showformat=${Version} ${Architecture}", _PACKAGE]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    its, _, architecture = done.stdout.partition(" ")
    return InstalledSystem(f"{DEBIAN}{architecture}", its) if architecture else InstalledSystem("", version())


def is_later(version: str, than: str) -> bool:
    """By Debian's order of versions (deb-version(7)): an image has the version of the package in it."""
    return subprocess.run(["dpkg", "--compare-versions", version, "gt", than], check=False).returncode == 0


def sort_versions(versions: Iterable[str], later: Later = is_later) -> list[str]:
    """The versions in Debian's order, the latest first."""

    def order(one: str, other: str) -> int:
        return -1 if later(one, other) else 1

    return sorted(versions, key=cmp_to_key(order))

"""What runs on this box: the kind of machine, the version, and on a flashed box the slot."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path
from typing import Final

from firmware_app.core.version import version

FLASHED: Final = "lantern-"
DEBIAN: Final = "debian-"
_PACKAGE: Final = "lantern-box"
_PACKAGED: Final = Path("usr/lib/systemd/system/lantern.target")

Later = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Machine:
    """`kind` is what an index and a bundle call it (``lantern-x86_64``, ``debian-amd64``); empty: none of them."""

    kind: str
    version: str
    slot: str | None = None

    @property
    def flashed(self) -> bool:
        """Whether it has two slots, which RAUC writes."""
        return self.kind.startswith(FLASHED)

    @property
    def packaged(self) -> bool:
        """Whether its software is a Debian package."""
        return self.kind.startswith(DEBIAN)


def here(root: Path = Path("/")) -> Machine:
    """This machine, or the one whose file system is below *root*."""
    try:
        image = (root / "etc/lantern-image").read_text("utf-8").strip()
    except OSError:
        return _package() if (root / _PACKAGED).exists() else Machine("", version())
    return Machine(_compatible(root), image, _slot(root))


def _compatible(root: Path) -> str:
    """The kind that RAUC's own configuration states (systemd/image/rauc.conf)."""
    lines = (root / "etc/rauc/system.conf").read_text("utf-8").splitlines()
    return next(line.partition("=")[2].strip() for line in lines if line.startswith("compatible="))


def _slot(root: Path) -> str | None:
    words = (root / "proc/cmdline").read_text("ascii").split()
    return next((word.partition("=")[2] for word in words if word.startswith("rauc.slot=")), None)


def _package() -> Machine:
    asked = ["dpkg-query", "--show", "--showformat=${Version} ${Architecture}", _PACKAGE]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    its, _, architecture = done.stdout.partition(" ")
    return Machine(f"{DEBIAN}{architecture}", its) if architecture else Machine("", version())


def is_later(version: str, than: str) -> bool:
    """By Debian's order of versions (deb-version(7)): an image has the version of the package in it."""
    return subprocess.run(["dpkg", "--compare-versions", version, "gt", than], check=False).returncode == 0


def newest_first(versions: Iterable[str], later: Later = is_later) -> list[str]:
    """The versions in Debian's order, the latest first."""

    def order(one: str, other: str) -> int:
        return -1 if later(one, other) else 1

    return sorted(versions, key=cmp_to_key(order))

"""What a machine must have before anything is installed. A refusal comes early, in a sentence, with nothing changed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from firmware_app.appliance.installation.kind import MachineKind
from firmware_app.appliance.installation.machine import PREFIX, Machine, Record, last_words, run
from firmware_app.appliance.installation.programs import ProgramSource
from firmware_app.core.errors import (
    InstallNeedsRoot,
    InstallPackagesMissing,
    InstallPortTaken,
    InstallPythonHidden,
    InstallRoomShort,
    InstallStepFailed,
    InstallWheelsForeign,
)
from firmware_app.core.language import N_

PROGRAMS: Final = {
    "usr/sbin/nginx": "nginx",
    "usr/bin/ip": "iproute2",
    "usr/sbin/avahi-daemon": "avahi-daemon",
    "usr/bin/ntfs-3g": "ntfs-3g",  # Debian's kernel has a driver for every stick that is opened, but for NTFS
    "usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc": "fonts-noto-cjk",  # for reports in Chinese
}
"""What the box needs that is not its own -> the Debian package that brings it."""
PORTS: Final = (80, 443, 11112)
_NEEDED_MB: Final = 2000
_QUIET: Final = {"DEBIAN_FRONTEND": "noninteractive"}
_ABSENT: Final = ("not-installed", "config-files")  # dpkg(1); every other state has files of the package
_FROM_FOLDER: Final = Path("systemd/packages.sh")
_NGINX: Final = Path("etc/systemd/system/nginx.service")
_JOURNAL: Final = Path("var/lib/dpkg/updates")
_FINISHING = N_("Debian packages were left half installed; finishing them first …")
_FETCHING = N_("Installing the Debian packages {packages} …")
_SKIPPED = N_("No Debian package is installed into {root}; the box needs there: {packages}.")


def check(machine: Machine) -> None:
    """Raises what is wrong with this machine."""
    need_root("install")
    if Path(sys.base_prefix).parts[1:2] in (("root",), ("home",)):  # ProtectHome= hides them from every unit
        raise InstallPythonHidden(path=sys.base_prefix)
    if not (machine.record or Record()).files:  # an installation that was cut off early has not started anything yet
        _room(machine)
        if machine.alive:
            for port in PORTS:
                need_port(port)


def suits(machine: Machine, source: ProgramSource) -> None:
    """Raises `InstallWheelsForeign` unless the given files were made for a machine of this kind.

    Of an image (DESTDIR) the machine that makes it counts: its Python installs the programs there.
    """
    made_for = MachineKind.of(source.wheels) if source.wheels is not None else None
    if made_for is None:
        return
    here = MachineKind.here(machine.root if machine.alive else Path("/"))
    if (made_for.system, made_for.python) != (here.system, here.python):
        raise InstallWheelsForeign(folder=str(source.wheels), made_for=str(made_for), here=str(here))


def need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise InstallNeedsRoot(what=what)


def _room(machine: Machine) -> None:
    place = next(one for one in (machine.at(PREFIX), *machine.at(PREFIX).parents) if one.exists())
    free_mb = shutil.disk_usage(place).free // 1_000_000
    if free_mb < _NEEDED_MB:
        raise InstallRoomShort(path=str(place), free_mb=free_mb, needed_mb=_NEEDED_MB)


def need_port(port: int) -> None:
    """Raises `InstallPortTaken`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            raise InstallPortTaken(port=port) from None


def packages(machine: Machine, record: Record, source: ProgramSource) -> None:
    """Install the Debian packages that are missing. They are on *record* before they come: the power may fail
    meanwhile.

    Raises `InstallPackagesMissing`.
    """
    if machine.alive:
        finish_dpkg(machine, record)
    wanted = [package for program, package in PROGRAMS.items() if not machine.at(program).exists()]
    if machine.alive and source.pip() is None and importlib.util.find_spec("ensurepip") is None:
        wanted.append("python3-venv")
    if not wanted:
        unmask(machine, record)
        return
    if not machine.alive:
        machine.tell(_SKIPPED, root=machine.root, packages=", ".join(wanted))
        return
    machine.did(_FETCHING, packages=", ".join(wanted))
    had, before = set(record.packages), present()
    try:
        refresh(source)
        coming = re.findall(r"^Inst (\S+)", apt(source, "--simulate", *wanted), re.MULTILINE)
        record.packages = sorted({*had, *(set(coming) - before)})
        machine.remember(record)
        with _nginx_not_started(machine, record):
            apt(source, *wanted)
    except InstallStepFailed as error:
        raise InstallPackagesMissing(packages=", ".join(wanted), detail=last_words(error.detail)) from None
    finally:
        record.packages = sorted({*had, *(present() - before)})
        if record == Record():
            machine.forget()
        else:
            machine.remember(record)


def finish_dpkg(machine: Machine, record: Record) -> None:
    """Finish what dpkg was killed in, in this installation or another; apt does nothing before that."""
    if not any(machine.at(_JOURNAL).glob("*")) and not run("dpkg", "--audit").strip():
        return
    machine.did(_FINISHING)
    with _nginx_not_started(machine, record):
        run("dpkg", "--configure", "-a", "--force-confold", environment=_QUIET)


def _offline(source: ProgramSource) -> bool:
    return source.wheels is not None and (source.wheels / "Packages").exists()


def refresh(source: ProgramSource) -> None:
    """Read Debian's lists of packages, unless the given folder has Debian's packages too."""
    if not _offline(source):
        run("apt-get", "update", "-q", environment=_QUIET)


def apt(source: ProgramSource, *words: str) -> str:
    """What apt says when it installs these, out of the given folder where that has Debian's packages, too."""
    if source.wheels is not None and _offline(source):
        return run("sh", source.tree / _FROM_FOLDER, source.wheels, *words)
    return run("apt-get", "install", "-q", "-y", "--no-install-recommends", *words, environment=_QUIET)


def present() -> set[str]:
    """Debian packages that are on this machine, also those whose installation was cut off."""
    listed = run("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n")
    lines = (line.partition(" ") for line in listed.splitlines())
    return {package for state, _, package in lines if package and state not in _ABSENT}


@contextmanager
def _nginx_not_started(machine: Machine, record: Record) -> Iterator[None]:
    """Mask Debian's own nginx: Debian starts what it installs, on the port that the box's nginx needs."""
    if "nginx" in record.packages and not os.path.lexists(machine.at(_NGINX)):
        machine.link(_NGINX, "/dev/null")
    try:
        yield
    finally:
        unmask(machine, record)


def unmask(machine: Machine, record: Record) -> None:
    """Remove the mask of `_nginx_not_started`, also that of a run that was cut off. A mask that another made stays."""
    mask = machine.at(_NGINX)
    if "nginx" in record.packages and mask.is_symlink() and str(mask.readlink()) == "/dev/null":
        mask.unlink()
        run("systemctl", f"--root={machine.root}", "disable", "nginx.service")

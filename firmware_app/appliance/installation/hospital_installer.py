"""The hospital's computer: programs, a user, and units for its receiver and its broker.

`make install-hospital` writes all of it; of the Debian package lantern-hospital dpkg brings the files, and `configure`
does the rest.  /var/lib/lantern-hospital is that user's; “lantern-hospital keys new”, typed by root, makes the hospital
in it.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import (
    INSTALL_PACKAGED,
    INSTALL_SOURCE_MISSING,
)
from firmware_app.appliance.installation import installer, programs
from firmware_app.appliance.installation.target_system import InstallationRecord, TargetSystem, run
from firmware_app.core.language import N_

NAME: Final = "lantern-hospital"
PREFIX: Final = Path("opt/lantern-hospital")
STATE: Final = Path("var/lib/lantern-hospital")
SETTINGS: Final = Path("etc/default/lantern-hospital")
COMMAND: Final = Path("usr/local/bin/lantern-hospital")
SERVICES: Final = (
    "lantern-hospital-broker.service",
    "lantern-hospital-enrolment.service",
    "lantern-hospital.service",
)
PLACES: Final = {
    **{unit: Path("etc/systemd/system") / unit for unit in SERVICES},
    "lantern-hospital.sysusers": Path("etc/sysusers.d/lantern-hospital.conf"),
    "lantern-hospital.tmpfiles": Path("etc/tmpfiles.d/lantern-hospital.conf"),
}
"""File in systemd/hospital -> where `make install-hospital` puts it."""
_OF_PACKAGE: Final = Path("usr/lib/systemd/system") / SERVICES[-1]
_FETCHING = N_("Installing the Debian packages {packages} …")
_NEXT = N_(
    "The hospital's programs and units are installed. Next: “lantern-hospital keys new --host NAME”, then “systemctl "
    "start {units}”."
)
_STARTED = N_("The hospital runs with what was installed: {units}.")


def install(machine: TargetSystem, source: programs.ProgramSource) -> None:
    """Make *machine* a hospital's computer; done twice it changes nothing.  Raises an `InstallError`."""
    installer.require_root("install-hospital")
    tree = source.tree / "systemd" / "hospital"
    if not tree.is_dir():
        raise INSTALL_SOURCE_MISSING(path="systemd/hospital")
    if machine.at(_OF_PACKAGE).exists():
        raise INSTALL_PACKAGED(what="install-hospital", package=NAME)
    installer.check_wheels(machine, source)
    source.check()
    install_packages(machine, source)
    files = {place: (tree / name).read_bytes() for name, place in PLACES.items()}
    files[SETTINGS] = (tree / "lantern-hospital.default").read_bytes()
    if machine.at(SETTINGS).exists():
        del files[SETTINGS]
    _complete(machine, source, files)


def configure(machine: TargetSystem, source: programs.ProgramSource) -> None:
    """What is left to do when dpkg has unpacked the package of *source*, and apt all that it depends on."""
    installer.require_root("configure-hospital")
    source.check()
    for old in (COMMAND, *PLACES.values()):  # of a `make install-hospital` before: /etc goes before /usr/lib
        machine.at(old).unlink(missing_ok=True)
    _complete(machine, replace(source, extras="", as_given=True), {})


def withdraw(machine: TargetSystem) -> None:
    """What is left to do before dpkg removes the package's files: state, settings and the user stay."""
    installer.require_root("withdraw-hospital")
    run("systemctl", *_where(machine), "disable", *SERVICES)
    if machine.has_systemd:
        run("systemctl", "stop", *SERVICES)
    shutil.rmtree(machine.at(PREFIX), ignore_errors=True)


def _complete(machine: TargetSystem, source: programs.ProgramSource, files: dict[Path, bytes]) -> None:
    machine = replace(machine, prefix=PREFIX)
    before, stamp = programs.read_stamp_in_use(machine), programs.prepare_programs(machine, source)
    changed = stamp != before or not files  # dpkg has brought units, and nobody has compared them
    programs.switch_programs(machine, stamp)
    for place, content in files.items():
        changed |= machine.put(place, content)
    if files:
        changed |= machine.link(COMMAND, f"/{machine.venv}/bin/lantern-hospital")
    run("systemd-sysusers", *_where(machine), "lantern-hospital.conf")
    run("systemd-tmpfiles", *_where(machine), "--create", "lantern-hospital.conf")
    run("systemctl", *_where(machine), "enable", *SERVICES)
    if not machine.at(STATE / "hospital.json").exists():
        machine.tell(_NEXT, units=" ".join(SERVICES))
    elif changed and machine.has_systemd:
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", *SERVICES)
        machine.tell(_STARTED, units=" ".join(SERVICES))
    if stamp != before:
        programs.finish(machine, before)


def _where(machine: TargetSystem) -> list[str]:
    return [] if machine.alive else [f"--root={machine.root}"]


def install_packages(machine: TargetSystem, source: programs.ProgramSource) -> None:
    """Have the Debian packages, out of the given folder where that has them.  Raises an `InstallError`."""
    if not machine.alive:
        return
    installer.finish_dpkg(machine, InstallationRecord())
    wanted = [] if machine.at("usr/sbin/mosquitto").exists() else ["mosquitto"]
    if source.pip() is None and importlib.util.find_spec("ensurepip") is None:
        wanted.append("python3-venv")
    if not wanted:
        return
    machine.did(_FETCHING, packages=", ".join(wanted))
    installer.refresh_package_lists(source)
    installer.run_apt(source, *wanted)
    if "mosquitto" in wanted and machine.has_systemd:  # Debian starts what it installs, with settings that are not ours
        run("systemctl", "disable", "--now", "mosquitto.service")

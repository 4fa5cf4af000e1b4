"""`make install-hospital`: programs, a user, and units for the hospital's receiver and its broker.

/var/lib/lantern-hospital is that user's; “lantern-hospital keys new”, typed by root, makes the hospital in it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from firmware_app.errors import InstallSourceMissing
from firmware_app.installation import ground, programs
from firmware_app.installation.machine import VENV, Machine, Record, run
from firmware_app.language import N_

COMMAND: Final = Path("usr/local/bin/lantern-hospital")
SERVICES: Final = (
    "lantern-hospital-broker.service", "lantern-hospital-enrolment.service", "lantern-hospital.service",
)  # fmt: skip
_PLACES: Final = {
    **{unit: Path("etc/systemd/system") / unit for unit in SERVICES},
    "lantern-hospital.sysusers": Path("etc/sysusers.d/lantern-hospital.conf"),
    "lantern-hospital.tmpfiles": Path("etc/tmpfiles.d/lantern-hospital.conf"),
}
_FOLDER: Final = Path("var/lib/lantern-hospital")
_FETCHING = N_("Installing the Debian packages {packages} …")
_NEXT = N_(
    "The hospital's programs and units are installed. Next: “lantern-hospital keys new --host NAME”, then “systemctl "
    "start {units}”."
)
_STARTED = N_("The hospital runs with what was installed: {units}.")


def install(machine: Machine, source: programs.ProgramSource) -> None:
    """Make *machine* a hospital's computer; done twice it changes nothing.  Raises an `InstallError`."""
    ground.need_root("install-hospital")
    tree = source.tree / "systemd" / "hospital"
    if not tree.is_dir():
        raise InstallSourceMissing(path="systemd/hospital")
    ground.suits(machine, source)
    source.check()
    packages(machine, source)
    before, stamp = programs.in_use(machine), programs.prepare(machine, source)
    changed = stamp != before
    programs.switch(machine, stamp)
    for name, place in _PLACES.items():
        changed |= machine.put(place, (tree / name).read_bytes())
    changed |= machine.link(COMMAND, f"/{VENV}/bin/lantern-hospital")
    where = [] if machine.alive else [f"--root={machine.root}"]
    run("systemd-sysusers", *where, "lantern-hospital.conf")
    run("systemd-tmpfiles", *where, "--create", "lantern-hospital.conf")
    run("systemctl", *where, "enable", *SERVICES)
    if not machine.at(_FOLDER / "hospital.json").exists():
        machine.tell(_NEXT, units=" ".join(SERVICES))
    elif changed and machine.has_systemd:
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", *SERVICES)
        machine.tell(_STARTED, units=" ".join(SERVICES))
    if stamp != before:
        programs.finish(machine, before)


def packages(machine: Machine, source: programs.ProgramSource) -> None:
    """Have the Debian packages, out of the given folder where that has them.  Raises an `InstallError`."""
    if not machine.alive:
        return
    ground.finish_dpkg(machine, Record())
    wanted = [] if machine.at("usr/sbin/mosquitto").exists() else ["mosquitto"]
    if source.pip() is None and importlib.util.find_spec("ensurepip") is None:
        wanted.append("python3-venv")
    if not wanted:
        return
    machine.did(_FETCHING, packages=", ".join(wanted))
    ground.refresh(source)
    ground.apt(source, *wanted)
    if "mosquitto" in wanted and machine.has_systemd:  # Debian starts what it installs, with settings that are not ours
        run("systemctl", "disable", "--now", "mosquitto.service")

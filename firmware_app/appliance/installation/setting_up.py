"""`make install`: one step after another, each of which first checks whether it is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_app.appliance.installation import ground, programs
from firmware_app.appliance.installation.machine import COMMAND, CONFIG, PREFIX, VENV, Machine, Record, digest, run
from firmware_app.core.errors import InstallPackaged, InstallSourceMissing
from firmware_app.core.language import N_

UNITS: Final = Path("etc/systemd/system")
SYSUSERS: Final = Path("etc/sysusers.d/lantern.conf")
TMPFILES: Final = Path("etc/tmpfiles.d/lantern.conf")
AVAHI: Final = Path("etc/avahi/services/lantern.service")  # without avahi nobody reads it
JOURNAL: Final = Path("etc/systemd/journald.conf.d/lantern.conf")
RULES: Final = Path("etc/udev/rules.d")
MANAGER: Final = Path("etc/systemd/system.conf.d/lantern.conf")
_OF_PACKAGES: Final = Path("usr/lib")
"""Where a Debian package puts what `make install` writes to /etc: systemd and udev look into both."""
UDEV: Final = Path("run/udev/control")
"""There while systemd-udevd runs; a container has none."""
TARGET: Final = "lantern.target"
_FILES = N_("Files written: {count} (units, users, rules, the TLS front).")
_STALE = N_("Removed, for this version has it no more: {path}")
_USERS = N_("The box's users and groups are made.")
_CONFIG = N_("The configuration {path} is written. “lantern provision” makes this box the clinic's own.")
_ENABLED = N_("The box starts with the machine from now on.")
_STARTED = N_("The box is starting. “lantern doctor” says how it is.")
_NOT_ALIVE = N_("{root} is not the running machine, so nothing was started there.")
_NOTHING = N_("Everything is in place already; nothing was changed.")


def install(machine: Machine, source: programs.ProgramSource) -> None:
    """Make *machine* a box.  Raises an `InstallError` that says what to do."""
    files = files_of(source.tree)
    if packaged(machine):
        raise InstallPackaged(what="install", package="lantern-box")
    ground.check(machine)
    ground.suits(machine, source)
    source.check()
    record = machine.record or Record()
    ground.packages(machine, record, source)
    _complete(machine, source, record, files)


def configure(machine: Machine, source: programs.ProgramSource) -> None:
    """What is left to do when dpkg has unpacked the package of *source*, and apt all that it depends on."""
    ground.need_root("configure")
    source.check()
    files = {path: content for path, content in files_of(source.tree).items() if path.is_relative_to(PREFIX)}
    record = machine.record or Record()
    record.files.pop(str(AVAHI), None)  # of a `make install` before; it is dpkg's now, in the same place
    _complete(machine, source, record, files)


def packaged(machine: Machine) -> bool:
    """Whether the box on *machine* is a Debian package."""
    return machine.at(of_package(UNITS) / TARGET).exists()


def of_package(path: Path) -> Path:
    """Where a Debian package has the file that `make install` writes to *path*."""
    return path if path == AVAHI or not path.is_relative_to("etc") else _OF_PACKAGES / path.relative_to("etc")


def _complete(machine: Machine, source: programs.ProgramSource, record: Record, files: dict[Path, bytes]) -> None:
    before, stamp = programs.in_use(machine), programs.prepare(machine, source)
    if stamp != before:
        _stop(machine, record)
        programs.switch(machine, stamp)
    _place(machine, record, files)
    if not machine.at(CONFIG / "lantern.toml").exists():
        machine.put(CONFIG / "lantern.toml", (source.tree / "systemd/lantern.toml").read_bytes())
        machine.did(_CONFIG, path=f"/{CONFIG}/lantern.toml")
    machine.remember(record)
    _users(machine)
    _enable(machine)
    _start(machine, record)
    if stamp != before:
        programs.finish(machine, before)
    if not machine.changed:
        machine.tell(_NOTHING)
    elif not machine.alive:
        machine.tell(_NOT_ALIVE, root=machine.root)


def files_of(source: Path) -> dict[Path, bytes]:
    """Path on the box -> content, of everything in `systemd/` of the unpacked Lantern that a box has."""
    return dict(_files(source / "systemd"))


def _files(tree: Path) -> Iterator[tuple[Path, bytes]]:
    if not (tree / "units").is_dir():
        raise InstallSourceMissing(path="systemd/units")
    for path in sorted((tree / "units").iterdir()):
        yield UNITS / path.name, path.read_bytes()
    for path in sorted((tree / "udev").glob("*.rules")):
        yield RULES / path.name, path.read_bytes()
    for name, place in (
        ("lantern.sysusers", SYSUSERS),
        ("lantern.tmpfiles", TMPFILES),
        ("lantern.system.conf", MANAGER),
        ("lantern.journald.conf", JOURNAL),
        ("avahi/lantern.service", AVAHI),
        ("nginx.conf.in", PREFIX / "share" / "nginx.conf.in"),
        ("starting.html", PREFIX / "share" / "starting.html"),
    ):
        yield place, (tree / name).read_bytes()


def _place(machine: Machine, record: Record, files: dict[Path, bytes]) -> None:
    """Write what is new and remove what an older version had; the record is written first, for a power cut."""
    record.files |= {str(path): digest(content) for path, content in files.items()}
    machine.remember(record)
    written = [path for path, content in files.items() if machine.put(path, content)]
    if packaged(machine):
        machine.at(COMMAND).unlink(missing_ok=True)  # that of a `make install` before; the package has /usr/bin/lantern
    elif machine.link(COMMAND, f"/{VENV}/bin/lantern"):
        written.append(COMMAND)
    if written:
        machine.did(_FILES, count=len(written))
    for old in set(record.files) - {str(path) for path in files}:
        for gone in (machine.at(old), *machine.at(UNITS).glob(f"*.wants/{Path(old).name}")):
            gone.unlink(missing_ok=True)
        machine.did(_STALE, path=f"/{old}")
    record.files = {str(path): digest(content) for path, content in files.items()}


def _users(machine: Machine) -> None:
    """Users, groups and folders, as sysusers.d(5) and tmpfiles.d(5) say them."""
    before = _accounts(machine)
    where = [] if machine.alive else [f"--root={machine.root}"]
    run("systemd-sysusers", *where, SYSUSERS.name)
    run("systemd-tmpfiles", *where, "--create", TMPFILES.name)
    if _accounts(machine) != before:
        machine.did(_USERS)


def installable(machine: Machine) -> dict[str, list[Path]]:
    """Each unit of ours that says by what it wants to be started -> the links that say so to systemd."""
    links = {}
    folder = of_package(UNITS) if packaged(machine) else UNITS
    for unit in sorted(machine.at(folder).glob("lantern*")):
        wanted_by = re.findall(r"^WantedBy=(.+)$", unit.read_text("utf-8"), re.MULTILINE) if unit.is_file() else []
        if wanted_by:
            links[unit.name] = [machine.at(UNITS / f"{other}.wants" / unit.name) for other in wanted_by[0].split()]
    return links


def _accounts(machine: Machine) -> list[bytes]:
    places = (machine.at("etc/passwd"), machine.at("etc/group"))
    return [place.read_bytes() if place.exists() else b"" for place in places]


def _enable(machine: Machine) -> None:
    """Have everything that wants it start with the machine."""
    if waiting := [
        unit for unit, links in installable(machine).items() if not all(os.path.lexists(one) for one in links)
    ]:
        run("systemctl", *([] if machine.alive else [f"--root={machine.root}"]), "enable", *waiting)
        machine.did(_ENABLED)


def _stop(machine: Machine, record: Record) -> None:
    """End the box, sticks included: what runs imports modules later on, and they are about to be other ones."""
    if not machine.has_systemd or not (machine.at(UNITS / TARGET).exists() or packaged(machine)):
        return
    record.running = ""  # so that the next installation starts the box, also one of the same version
    machine.remember(record)
    run("systemctl", "stop", TARGET, "lantern-mount@*")


def _start(machine: Machine, record: Record) -> None:
    """Start the box now, or start it again, where it does not run as it is installed."""
    wanted = digest(f"{programs.in_use(machine)} {sorted(record.files.items())}".encode())
    if not machine.has_systemd or record.running == wanted:
        return
    run("systemctl", "daemon-reload")
    if machine.at(UDEV).exists():
        run("udevadm", "control", "--reload")
    # Not waited for: a database that must be rebuilt takes its time, and the doctor tells of it.
    run("systemctl", "--no-block", "restart", TARGET)
    record.running = wanted
    machine.remember(record)
    machine.did(_STARTED)

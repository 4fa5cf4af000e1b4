"""`make install` and `make install-hospital`: the steps, each of which first checks whether it is needed.

A refusal comes early, in a sentence, with nothing changed.  Of a Debian package dpkg brings the files, and `configure`
does the rest.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import (
    INSTALL_NEEDS_ROOT,
    INSTALL_PACKAGED,
    INSTALL_PORT_TAKEN,
    INSTALL_PYTHON_HIDDEN,
    INSTALL_ROOM_SHORT,
    INSTALL_WHEELS_FOREIGN,
)
from firmware_app.appliance.installation import programs, system_packages
from firmware_app.appliance.installation.kind import Platform
from firmware_app.appliance.installation.product import UNITS, Product, map_to_package_path
from firmware_app.appliance.installation.programs import ProgramSource
from firmware_app.appliance.installation.target_system import InstallationRecord, TargetSystem, compute_digest, run
from firmware_app.core.language import N_

UDEV: Final = Path("run/udev/control")
"""There while systemd-udevd runs; a container has none."""
_NEEDED_MB: Final = 2000
_FILES = N_("Files written: {count} (units, users, rules).")
_STALE = N_("Removed, for this version has it no more: {path}")
_USERS = N_("Users and groups are made.")
_ENABLED = N_("What was installed starts with the machine from now on.")
_NOT_ALIVE = N_("{root} is not the running machine, so nothing was started there.")
_NOTHING = N_("Everything is in place already; nothing was changed.")
_NEXT = N_(
    "The hospital's programs and units are installed. Next: “lantern-hospital keys new --host NAME”, then “systemctl "
    "start {units}”."
)


def install(product: Product, machine: TargetSystem, source: ProgramSource) -> None:
    """Put *product* on *machine*; done twice it changes nothing.  Raises an `InstallError` that says what to do."""
    machine = replace(machine, prefix=product.prefix)
    files = product.collect_files(source.tree)
    if is_packaged(product, machine):
        raise INSTALL_PACKAGED(what=f"install{product.verb}", package=product.name)
    _check_machine(product, machine)
    _check_wheels(machine, source)
    source.check()
    record = machine.record or InstallationRecord()
    system_packages.install_packages(product, machine, record, source)
    _complete(product, machine, source, record, files)


def configure(product: Product, machine: TargetSystem, source: ProgramSource) -> None:
    """What is left to do when dpkg has unpacked the package of *source*, and apt all that it depends on."""
    require_root(f"configure{product.verb}")
    machine = replace(machine, prefix=product.prefix)
    if product.as_given:
        source = replace(source, extras="", as_given=True)
    source.check()
    files = product.collect_files(source.tree)
    record = machine.record or InstallationRecord()
    for path in files:  # of a `make install` before: /etc goes before /usr/lib
        if map_to_package_path(path) != path and machine.resolve(path).exists():
            _remove_file(machine, path)
        elif map_to_package_path(path) == path and not path.is_relative_to(product.prefix):
            record.files.pop(str(path), None)  # it is dpkg's now, in the same place
    own = {path: content for path, content in files.items() if path.is_relative_to(product.prefix)}
    _complete(product, machine, source, record, own)


def is_packaged(product: Product, machine: TargetSystem) -> bool:
    """Whether *product* is on *machine* as a Debian package."""
    return machine.resolve(map_to_package_path(UNITS) / product.starts[-1]).exists()


def _complete(
    product: Product, machine: TargetSystem, source: ProgramSource, record: InstallationRecord, files: dict[Path, bytes]
) -> None:
    before, stamp = programs.read_stamp_in_use(machine), programs.prepare_programs(machine, source)
    if stamp != before:
        _stop(product, machine, record)
        programs.switch_programs(machine, stamp)
    _place(product, machine, record, files)
    if not machine.resolve(product.settings).exists():
        machine.write_file(product.settings, (source.tree / product.tree / product.template).read_bytes())
        machine.print_change(product.configured, path=f"/{product.settings}")
    machine.save_record(record)
    _make_users(product, machine)
    _enable(product, machine)
    _start(product, machine, record)
    if stamp != before:
        programs.finish(machine, before)
    if not machine.changed:
        machine.print_message(_NOTHING)
    elif not machine.is_running_system:
        machine.print_message(_NOT_ALIVE, root=machine.root)


# --- the machine ----------------------------------------------------------------------------------------------------


def _check_machine(product: Product, machine: TargetSystem) -> None:
    """Raises what is wrong with this machine."""
    require_root(f"install{product.verb}")
    if Path(sys.base_prefix).parts[1:2] in (("root",), ("home",)):  # ProtectHome= hides them from every unit
        raise INSTALL_PYTHON_HIDDEN(path=sys.base_prefix)
    if machine.record is not None and machine.record.files:
        return
    _check_room(machine)  # also after an installation that was cut off early: it has not started anything yet
    if machine.is_running_system:
        for port in product.ports:
            require_free_port(port)


def _check_wheels(machine: TargetSystem, source: ProgramSource) -> None:
    """Raises `INSTALL_WHEELS_FOREIGN` unless the given files were made for a machine of this kind.

    Of an image (DESTDIR) the machine that makes it counts: its Python installs the programs there.
    """
    made_for = Platform.from_folder(source.wheels) if source.wheels is not None else None
    if made_for is None:
        return
    here = Platform.detect(machine.root if machine.is_running_system else Path("/"))
    if (made_for.system, made_for.python) != (here.system, here.python):
        raise INSTALL_WHEELS_FOREIGN(folder=str(source.wheels), made_for=str(made_for), here=str(here))


def require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise INSTALL_NEEDS_ROOT(what=what)


def _check_room(machine: TargetSystem) -> None:
    prefix = machine.resolve(machine.prefix)
    place = next(parent for parent in (prefix, *prefix.parents) if parent.exists())
    free_mb = shutil.disk_usage(place).free // 1_000_000
    if free_mb < _NEEDED_MB:
        raise INSTALL_ROOM_SHORT(path=str(place), free_mb=free_mb, needed_mb=_NEEDED_MB)


def require_free_port(port: int) -> None:
    """Raises `INSTALL_PORT_TAKEN`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            raise INSTALL_PORT_TAKEN(port=port) from None


# --- files, users, units --------------------------------------------------------------------------------------------


def _place(product: Product, machine: TargetSystem, record: InstallationRecord, files: dict[Path, bytes]) -> None:
    """Write what is new and remove what an older version had; the record is written first, for a power cut."""
    record.files |= {str(path): compute_digest(content) for path, content in files.items()}
    machine.save_record(record)
    written = [path for path, content in files.items() if machine.write_file(path, content)]
    if is_packaged(product, machine):
        machine.resolve(product.command).unlink(
            missing_ok=True
        )  # that of a `make install` before; the package has its own
    elif machine.link(product.command, f"/{machine.venv}/bin/{product.command.name}"):
        written.append(product.command)
    if written:
        machine.print_change(_FILES, count=len(written))
    for old in set(record.files) - {str(path) for path in files}:
        _remove_file(machine, Path(old))
        machine.print_change(_STALE, path=f"/{old}")
    record.files = {str(path): compute_digest(content) for path, content in files.items()}


def _remove_file(machine: TargetSystem, path: Path) -> None:
    """Remove the file *path*, and of a unit the links that start it."""
    for gone in (machine.resolve(path), *machine.resolve(UNITS).glob(f"*.wants/{path.name}")):
        gone.unlink(missing_ok=True)


def _make_users(product: Product, machine: TargetSystem) -> None:
    """Users, groups and folders, as sysusers.d(5) and tmpfiles.d(5) say them."""
    before = _accounts(machine)
    run("systemd-sysusers", *machine.root_option, product.sysusers.name)
    run("systemd-tmpfiles", *machine.root_option, "--create", product.tmpfiles.name)
    if _accounts(machine) != before:
        machine.print_change(_USERS)


def list_installable_units(product: Product, machine: TargetSystem) -> dict[str, list[Path]]:
    """Each unit of the product that says by what it wants to be started -> the links that say so to systemd."""
    links = {}
    folder = map_to_package_path(UNITS) if is_packaged(product, machine) else UNITS
    for unit in sorted(machine.resolve(folder).glob(product.units)):
        wanted_by = re.findall(r"^WantedBy=(.+)$", unit.read_text("utf-8"), re.MULTILINE) if unit.is_file() else []
        if wanted_by:
            links[unit.name] = [machine.resolve(UNITS / f"{other}.wants" / unit.name) for other in wanted_by[0].split()]
    return links


def _accounts(machine: TargetSystem) -> list[bytes]:
    places = (machine.resolve("etc/passwd"), machine.resolve("etc/group"))
    return [place.read_bytes() if place.exists() else b"" for place in places]


def _enable(product: Product, machine: TargetSystem) -> None:
    """Have everything that wants it start with the machine."""
    waiting = [
        unit
        for unit, links in list_installable_units(product, machine).items()
        if not all(os.path.lexists(link) for link in links)
    ]
    if waiting:
        run("systemctl", *machine.root_option, "enable", *waiting)
        machine.print_change(_ENABLED)


def _stop(product: Product, machine: TargetSystem, record: InstallationRecord) -> None:
    """End what runs, sticks included: it imports modules later on, and they are about to be other ones."""
    is_there = machine.resolve(UNITS / product.starts[-1]).exists() or is_packaged(product, machine)
    if not machine.has_systemd or not is_there:
        return
    record.running = ""  # so that the next installation starts it, also one of the same version
    machine.save_record(record)
    run("systemctl", "stop", *product.starts, *product.instances)


def _start(product: Product, machine: TargetSystem, record: InstallationRecord) -> None:
    """Start it now, or start it again, where it does not run as it is installed."""
    if product.needs is not None and not machine.resolve(product.needs).exists():
        machine.print_message(_NEXT, units=" ".join(product.starts))
        return
    wanted = compute_digest(f"{programs.read_stamp_in_use(machine)} {sorted(record.files.items())}".encode())
    if not machine.has_systemd or record.running == wanted:
        return
    run("systemctl", "daemon-reload")
    if machine.resolve(UDEV).exists():
        run("udevadm", "control", "--reload")
    # Not waited for: a database that must be rebuilt takes its time, and the doctor tells of it.
    run("systemctl", "--no-block", "restart", *product.starts)
    record.running = wanted
    machine.save_record(record)
    machine.print_change(product.started, units=" ".join(product.starts))

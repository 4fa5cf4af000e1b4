"""`make install`: what a computer must have, and the steps, each of which first checks whether it is needed.

A refusal comes early, in a sentence, with nothing changed.
"""

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

from firmware_app.appliance.errors import (
    INSTALL_NEEDS_ROOT,
    INSTALL_PACKAGED,
    INSTALL_PACKAGES_MISSING,
    INSTALL_PORT_TAKEN,
    INSTALL_PYTHON_HIDDEN,
    INSTALL_ROOM_SHORT,
    INSTALL_SOURCE_MISSING,
    INSTALL_WHEELS_FOREIGN,
    InstallStepFailed,
)
from firmware_app.appliance.installation import programs
from firmware_app.appliance.installation.kind import MachineKind
from firmware_app.appliance.installation.programs import ProgramSource
from firmware_app.appliance.installation.target_system import (
    COMMAND,
    CONFIG,
    PREFIX,
    VENV,
    InstallationRecord,
    TargetSystem,
    digest,
    last_words,
    run,
)
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


def install(machine: TargetSystem, source: programs.ProgramSource) -> None:
    """Make *machine* a box.  Raises an `InstallError` that says what to do."""
    files = collect_files(source.tree)
    if is_packaged(machine):
        raise INSTALL_PACKAGED(what="install", package="lantern-box")
    check_requirements(machine)
    check_wheels(machine, source)
    source.check()
    record = machine.record or InstallationRecord()
    packages(machine, record, source)
    _complete(machine, source, record, files)


def configure(machine: TargetSystem, source: programs.ProgramSource) -> None:
    """What is left to do when dpkg has unpacked the package of *source*, and apt all that it depends on."""
    require_root("configure")
    source.check()
    files = {path: content for path, content in collect_files(source.tree).items() if path.is_relative_to(PREFIX)}
    record = machine.record or InstallationRecord()
    record.files.pop(str(AVAHI), None)  # of a `make install` before; it is dpkg's now, in the same place
    _complete(machine, source, record, files)


def is_packaged(machine: TargetSystem) -> bool:
    """Whether the box on *machine* is a Debian package."""
    return machine.at(package_path(UNITS) / TARGET).exists()


def package_path(path: Path) -> Path:
    """Where a Debian package has the file that `make install` writes to *path*."""
    return path if path == AVAHI or not path.is_relative_to("etc") else _OF_PACKAGES / path.relative_to("etc")


def _complete(
    machine: TargetSystem, source: programs.ProgramSource, record: InstallationRecord, files: dict[Path, bytes]
) -> None:
    before, stamp = programs.read_stamp_in_use(machine), programs.prepare_programs(machine, source)
    if stamp != before:
        _stop(machine, record)
        programs.switch_programs(machine, stamp)
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


def collect_files(source: Path) -> dict[Path, bytes]:
    """Path on the box -> content, of everything in `systemd/` of the unpacked Lantern that a box has."""
    return dict(_files(source / "systemd"))


def _files(tree: Path) -> Iterator[tuple[Path, bytes]]:
    if not (tree / "units").is_dir():
        raise INSTALL_SOURCE_MISSING(path="systemd/units")
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


def _place(machine: TargetSystem, record: InstallationRecord, files: dict[Path, bytes]) -> None:
    """Write what is new and remove what an older version had; the record is written first, for a power cut."""
    record.files |= {str(path): digest(content) for path, content in files.items()}
    machine.remember(record)
    written = [path for path, content in files.items() if machine.put(path, content)]
    if is_packaged(machine):
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


def _users(machine: TargetSystem) -> None:
    """Users, groups and folders, as sysusers.d(5) and tmpfiles.d(5) say them."""
    before = _accounts(machine)
    where = [] if machine.alive else [f"--root={machine.root}"]
    run("systemd-sysusers", *where, SYSUSERS.name)
    run("systemd-tmpfiles", *where, "--create", TMPFILES.name)
    if _accounts(machine) != before:
        machine.did(_USERS)


def list_installable_units(machine: TargetSystem) -> dict[str, list[Path]]:
    """Each unit of ours that says by what it wants to be started -> the links that say so to systemd."""
    links = {}
    folder = package_path(UNITS) if is_packaged(machine) else UNITS
    for unit in sorted(machine.at(folder).glob("lantern*")):
        wanted_by = re.findall(r"^WantedBy=(.+)$", unit.read_text("utf-8"), re.MULTILINE) if unit.is_file() else []
        if wanted_by:
            links[unit.name] = [machine.at(UNITS / f"{other}.wants" / unit.name) for other in wanted_by[0].split()]
    return links


def _accounts(machine: TargetSystem) -> list[bytes]:
    places = (machine.at("etc/passwd"), machine.at("etc/group"))
    return [place.read_bytes() if place.exists() else b"" for place in places]


def _enable(machine: TargetSystem) -> None:
    """Have everything that wants it start with the machine."""
    if waiting := [
        unit
        for unit, links in list_installable_units(machine).items()
        if not all(os.path.lexists(one) for one in links)
    ]:
        run("systemctl", *([] if machine.alive else [f"--root={machine.root}"]), "enable", *waiting)
        machine.did(_ENABLED)


def _stop(machine: TargetSystem, record: InstallationRecord) -> None:
    """End the box, sticks included: what runs imports modules later on, and they are about to be other ones."""
    if not machine.has_systemd or not (machine.at(UNITS / TARGET).exists() or is_packaged(machine)):
        return
    record.running = ""  # so that the next installation starts the box, also one of the same version
    machine.remember(record)
    run("systemctl", "stop", TARGET, "lantern-mount@*")


def _start(machine: TargetSystem, record: InstallationRecord) -> None:
    """Start the box now, or start it again, where it does not run as it is installed."""
    wanted = digest(f"{programs.read_stamp_in_use(machine)} {sorted(record.files.items())}".encode())
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


def check_requirements(machine: TargetSystem) -> None:
    """Raises what is wrong with this machine."""
    require_root("install")
    if Path(sys.base_prefix).parts[1:2] in (("root",), ("home",)):  # ProtectHome= hides them from every unit
        raise INSTALL_PYTHON_HIDDEN(path=sys.base_prefix)
    if not (
        machine.record or InstallationRecord()
    ).files:  # an installation that was cut off early has not started anything yet
        _room(machine)
        if machine.alive:
            for port in PORTS:
                require_free_port(port)


def check_wheels(machine: TargetSystem, source: ProgramSource) -> None:
    """Raises `INSTALL_WHEELS_FOREIGN` unless the given files were made for a machine of this kind.

    Of an image (DESTDIR) the machine that makes it counts: its Python installs the programs there.
    """
    made_for = MachineKind.of(source.wheels) if source.wheels is not None else None
    if made_for is None:
        return
    here = MachineKind.here(machine.root if machine.alive else Path("/"))
    if (made_for.system, made_for.python) != (here.system, here.python):
        raise INSTALL_WHEELS_FOREIGN(folder=str(source.wheels), made_for=str(made_for), here=str(here))


def require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise INSTALL_NEEDS_ROOT(what=what)


def _room(machine: TargetSystem) -> None:
    place = next(one for one in (machine.at(PREFIX), *machine.at(PREFIX).parents) if one.exists())
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


def packages(machine: TargetSystem, record: InstallationRecord, source: ProgramSource) -> None:
    """Install the Debian packages that are missing. They are on *record* before they come: the power may fail
    meanwhile.

    Raises `INSTALL_PACKAGES_MISSING`.
    """
    if machine.alive:
        finish_dpkg(machine, record)
    wanted = [package for program, package in PROGRAMS.items() if not machine.at(program).exists()]
    if machine.alive and source.pip() is None and importlib.util.find_spec("ensurepip") is None:
        wanted.append("python3-venv")
    if not wanted:
        unmask_nginx(machine, record)
        return
    if not machine.alive:
        machine.tell(_SKIPPED, root=machine.root, packages=", ".join(wanted))
        return
    machine.did(_FETCHING, packages=", ".join(wanted))
    had, before = set(record.packages), present()
    try:
        refresh_package_lists(source)
        coming = re.findall(r"^Inst (\S+)", run_apt(source, "--simulate", *wanted), re.MULTILINE)
        record.packages = sorted({*had, *(set(coming) - before)})
        machine.remember(record)
        with _nginx_not_started(machine, record):
            run_apt(source, *wanted)
    except InstallStepFailed as error:
        raise INSTALL_PACKAGES_MISSING(packages=", ".join(wanted), detail=last_words(error.detail)) from None
    finally:
        record.packages = sorted({*had, *(present() - before)})
        if record == InstallationRecord():
            machine.forget()
        else:
            machine.remember(record)


def finish_dpkg(machine: TargetSystem, record: InstallationRecord) -> None:
    """Finish what dpkg was killed in, in this installation or another; apt does nothing before that."""
    if not any(machine.at(_JOURNAL).glob("*")) and not run("dpkg", "--audit").strip():
        return
    machine.did(_FINISHING)
    with _nginx_not_started(machine, record):
        run("dpkg", "--configure", "-a", "--force-confold", environment=_QUIET)


def _offline(source: ProgramSource) -> bool:
    return source.wheels is not None and (source.wheels / "Packages").exists()


def refresh_package_lists(source: ProgramSource) -> None:
    """Read Debian's lists of packages, unless the given folder has Debian's packages too."""
    if not _offline(source):
        run("apt-get", "update", "-q", environment=_QUIET)


def run_apt(source: ProgramSource, *words: str) -> str:
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
def _nginx_not_started(machine: TargetSystem, record: InstallationRecord) -> Iterator[None]:
    """Mask Debian's own nginx: Debian starts what it installs, on the port that the box's nginx needs."""
    if "nginx" in record.packages and not os.path.lexists(machine.at(_NGINX)):
        machine.link(_NGINX, "/dev/null")
    try:
        yield
    finally:
        unmask_nginx(machine, record)


def unmask_nginx(machine: TargetSystem, record: InstallationRecord) -> None:
    """Remove the mask of `_nginx_not_started`, also that of a run that was cut off. A mask that another made stays."""
    mask = machine.at(_NGINX)
    if "nginx" in record.packages and mask.is_symlink() and str(mask.readlink()) == "/dev/null":
        mask.unlink()
        run("systemctl", f"--root={machine.root}", "disable", "nginx.service")

"""`make uninstall`: removes the box, except what it was asked to keep.  `withdraw` is for either Debian package."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import INSTALL_PACKAGED, KEEP_UNKNOWN, NOT_INSTALLED, InstallStepFailed
from firmware_app.appliance.installation import system_packages
from firmware_app.appliance.installation.installer import UDEV, is_packaged, list_installable_units, require_root
from firmware_app.appliance.installation.product import BOX, Product
from firmware_app.appliance.installation.target_system import InstallationRecord, TargetSystem, run, terminal_language
from firmware_app.core.language import N_, translate

KEEPABLE: Final = {"state": BOX.state, "config": BOX.settings.parent}
_OWN_USERS: Final = Path(__file__).parents[3] / "systemd" / "lantern.sysusers"
"""In the unpacked Lantern; for a machine from which an earlier removal has taken the installed one."""
_STOPPED = N_("What ran is stopped.")
_KEPT = N_("Kept: /{path} ({what}).")
_KEPT_USERS = N_("Kept: the box's users and groups, whose files these are.")
_FILES = N_("Removed: {count} files (units, users, rules).")
_REMOVED = N_("Removed: /{path}")
_REMOVED_USERS = N_("Removed: the users and groups {names}.")
_REMOVED_PACKAGES = N_("Removed: the Debian packages {packages}, which came with Lantern.")
_LEFT_PACKAGES = N_("These Debian packages came with Lantern and could not be removed: {packages} ({detail}).")
_NEEDED_PACKAGES = N_("These Debian packages came with Lantern and stay, for others need them: {packages} ({others}).")
_WILL_GO = N_("This removes for good: /{path} ({what}).")
_MOUNTED = N_("/{path} is a disk of its own: it is empty now, and still mounted.")
_HOW_TO_RETURN = N_("“make install” finds what was kept and goes on with it.")
_IMAGES = N_("{files} files, {megabytes} MB: images, readings, accounts, keys")
_SETTINGS = N_("{files} files, {megabytes} MB: the configuration")


def parse_kept(words: str) -> set[str]:
    """``state,config`` as a set; raises `KEEP_UNKNOWN`."""
    chosen = {word for word in re.split(r"[ ,]+", words) if word}
    for word in sorted(chosen - set(KEEPABLE)):
        raise KEEP_UNKNOWN(word=word)
    return chosen


def announce_removal(machine: TargetSystem, keep: set[str]) -> list[Path]:
    """Say what will be lost for good, before it is; returns those folders."""
    require_root("uninstall")
    if is_packaged(BOX, machine):
        raise INSTALL_PACKAGED(what="uninstall", package=BOX.name)
    _load_record(machine)
    lost = [path for word, path in KEEPABLE.items() if word not in keep and machine.resolve(path).exists()]
    for path in lost:
        machine.print_message(_WILL_GO, path=path, what=_describe_content(machine, path))
    return lost


def uninstall(machine: TargetSystem, keep: set[str]) -> None:
    """Take the box from *machine*, without asking.  Raises an `InstallError` that says what to do."""
    require_root("uninstall")
    record = _load_record(machine)
    users, groups = _list_users(machine)
    _stop(BOX, machine)
    there = [
        machine.resolve(name)
        for name in (*map(Path, record.files), BOX.command)
        if os.path.lexists(machine.resolve(name))
    ]
    for place in there:
        if place != machine.resolve(BOX.sysusers):  # who the users are has to be known until they are gone
            place.unlink()
    if there:
        machine.print_change(_FILES, count=len(there))
    _forget_units(BOX, machine)
    for word, path in KEEPABLE.items():
        if word in keep and machine.resolve(path).exists():
            machine.print_message(_KEPT, path=path, what=_describe_content(machine, path))
        else:
            _remove(machine, path)
    _remove_users(machine, users, groups)
    machine.resolve(BOX.sysusers).unlink(missing_ok=True)
    _remove_packages(machine, record)
    _remove(machine, BOX.prefix)  # last: it holds the record, so that a removal that was cut off can be started again
    if keep:
        machine.print_message(_HOW_TO_RETURN)


def withdraw(product: Product, machine: TargetSystem) -> None:
    """What is left to do before dpkg removes the package's files: state, settings and users stay."""
    require_root(f"withdraw{product.verb}")
    machine = replace(machine, prefix=product.prefix)
    _stop(product, machine)
    _forget_units(product, machine)
    _remove(machine, product.prefix)


def _load_record(machine: TargetSystem) -> InstallationRecord:
    """What is installed; empty where an earlier removal has left what it was asked to keep, or was cut off late."""
    record = machine.record
    if record is None and not any(machine.resolve(path).exists() for path in (*KEEPABLE.values(), BOX.prefix)):
        raise NOT_INSTALLED()
    return record or InstallationRecord()


def _describe_content(machine: TargetSystem, path: Path) -> str:
    files = [one for one in machine.resolve(path).rglob("*") if one.is_file() and not one.is_symlink()]
    size = sum(file.stat().st_size for file in files) // 1_000_000
    return translate(_IMAGES if path == BOX.state else _SETTINGS, terminal_language()).format(
        files=len(files), megabytes=size
    )


def _stop(product: Product, machine: TargetSystem) -> None:
    if units := list(list_installable_units(product, machine)):
        run("systemctl", *machine.root_option, "disable", *units)
    if units and machine.has_systemd:
        run("systemctl", "stop", *product.starts, product.units)
        machine.print_change(_STOPPED)


def _forget_units(product: Product, machine: TargetSystem) -> None:
    for place in [match for pattern in product.run_files for match in machine.root.glob(pattern)]:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()
    if machine.has_systemd:
        run("systemctl", "daemon-reload")
        run("systemctl", "reset-failed", product.units)
        if machine.resolve(UDEV).exists():
            run("udevadm", "control", "--reload")


def _remove(machine: TargetSystem, path: Path) -> None:
    """Remove the folder with its content; a disk that is mounted there is emptied and stays."""
    place = machine.resolve(path)
    if not place.exists():
        return
    if place.is_mount():
        for one in place.iterdir():
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one)
            else:
                one.unlink()
        machine.print_change(_MOUNTED, path=path)
        return
    shutil.rmtree(place)
    machine.print_change(_REMOVED, path=path)


# --- users and packages -------------------------------------------------------------------------------------------


def _list_users(machine: TargetSystem) -> tuple[list[str], list[str]]:
    """Users and groups of sysusers.d(5); a user has a group of its own name."""
    sysusers = next(
        (path.read_text("utf-8") for path in (machine.resolve(BOX.sysusers), _OWN_USERS) if path.exists()), ""
    )
    words = [line.split() for line in sysusers.splitlines()]
    users = [word[1] for word in words if word[:1] == ["u"]]
    return users, [*users, *(word[1] for word in words if word[:1] == ["g"])]


def _remove_users(machine: TargetSystem, users: list[str], groups: list[str]) -> None:
    """Only when no file of theirs is left: a number that is free is given to the next user, with the files."""
    if machine.resolve(BOX.state).exists() and any(machine.resolve(BOX.state).iterdir()):
        machine.print_message(_KEPT_USERS)
        return
    where = [] if machine.is_running_system else ["--prefix", str(machine.root)]
    gone = []
    for tool, table, names in (("userdel", "etc/passwd", users), ("groupdel", "etc/group", groups)):
        for name in names:  # groups after users: userdel takes a user's own with it, if nobody else is in it
            if re.search(rf"^{name}:", machine.resolve(table).read_text("utf-8"), re.MULTILINE):
                run(tool, *where, name)
                gone.append(name)
    if gone:
        machine.print_change(_REMOVED_USERS, names=", ".join(dict.fromkeys(gone)))


def _remove_packages(machine: TargetSystem, record: InstallationRecord) -> None:
    if not (record.packages and machine.is_running_system):
        return
    system_packages.unmask_foreign(BOX, machine, record)
    # Not all have come where the installation was cut off, and apt refuses them all for one that it does not know.
    packages = sorted(set(record.packages) & system_packages.list_present())
    if not packages:
        return
    try:
        if others := _list_dependents(packages):
            machine.print_message(_NEEDED_PACKAGES, packages=", ".join(packages), others=", ".join(others))
            return
        run("apt-get", "purge", "-q", "-y", *packages, environment={"DEBIAN_FRONTEND": "noninteractive"})
    except InstallStepFailed as error:
        machine.print_message(_LEFT_PACKAGES, packages=", ".join(packages), detail=error.detail)
    else:
        machine.print_change(_REMOVED_PACKAGES, packages=", ".join(packages))


def _list_dependents(packages: list[str]) -> list[str]:
    """The packages that apt would remove too, because they came later and need one of *packages*."""
    simulated = run("apt-get", "--simulate", "purge", *packages)
    return sorted(set(re.findall(r"^(?:Purg|Remv) (\S+)", simulated, re.MULTILINE)) - set(packages))

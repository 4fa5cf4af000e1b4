"""The Debian packages that a product needs: out of the internet, or out of the folder that `make wheels` has filled."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from firmware_app.appliance.errors import INSTALL_PACKAGES_MISSING, InstallStepFailed
from firmware_app.appliance.installation.product import UNITS, Product
from firmware_app.appliance.installation.programs import ProgramSource
from firmware_app.appliance.installation.target_system import InstallationRecord, TargetSystem, quote_end, run
from firmware_app.core.language import N_

_QUIET: Final = {"DEBIAN_FRONTEND": "noninteractive"}
_ABSENT: Final = ("not-installed", "config-files")  # dpkg(1); every other state has files of the package
_FROM_FOLDER: Final = Path("systemd/packages.sh")
_JOURNAL: Final = Path("var/lib/dpkg/updates")
_FINISHING = N_("Debian packages were left half installed; finishing them first …")
_FETCHING = N_("Installing the Debian packages {packages} …")
_SKIPPED = N_("No Debian package is installed into {root}; what is missing there: {packages}.")


def install_packages(
    product: Product, machine: TargetSystem, record: InstallationRecord, source: ProgramSource
) -> None:
    """Install the Debian packages that are missing. They are on *record* before they come: the power may fail
    meanwhile.

    Raises `INSTALL_PACKAGES_MISSING`.
    """
    if machine.is_running_system:
        _finish_dpkg(product, machine, record)
    wanted = [package for program, package in product.programs.items() if not machine.resolve(program).exists()]
    if machine.is_running_system and source.find_pip() is None and importlib.util.find_spec("ensurepip") is None:
        wanted.append("python3-venv")
    if not wanted:
        unmask_foreign(product, machine, record)
        return
    if not machine.is_running_system:
        machine.print_message(_SKIPPED, root=machine.root, packages=", ".join(wanted))
        return
    machine.print_change(_FETCHING, packages=", ".join(wanted))
    had, before = set(record.packages), list_present()
    try:
        _refresh_lists(source)
        coming = re.findall(r"^Inst (\S+)", _run_apt(source, "--simulate", *wanted), re.MULTILINE)
        record.packages = sorted({*had, *(set(coming) - before)})
        machine.save_record(record)
        with _mask_foreign_service(product, machine, record):
            _run_apt(source, *wanted)
    except InstallStepFailed as error:
        raise INSTALL_PACKAGES_MISSING(packages=", ".join(wanted), detail=quote_end(error.detail)) from None
    finally:
        record.packages = sorted({*had, *(list_present() - before)})
        if record == InstallationRecord():
            machine.delete_record()
        else:
            machine.save_record(record)


def list_present() -> set[str]:
    """Debian packages that are on this machine, also those whose installation was cut off."""
    listed = run("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n")
    lines = (line.partition(" ") for line in listed.splitlines())
    return {package for state, _, package in lines if package and state not in _ABSENT}


def _finish_dpkg(product: Product, machine: TargetSystem, record: InstallationRecord) -> None:
    """Finish what dpkg was killed in, in this installation or another; apt does nothing before that."""
    if not any(machine.resolve(_JOURNAL).glob("*")) and not run("dpkg", "--audit").strip():
        return
    machine.print_change(_FINISHING)
    with _mask_foreign_service(product, machine, record):
        run("dpkg", "--configure", "-a", "--force-confold", environment=_QUIET)


def _is_offline(source: ProgramSource) -> bool:
    """Whether the given folder has Debian's packages too."""
    return source.wheels is not None and (source.wheels / "Packages").exists()


def _refresh_lists(source: ProgramSource) -> None:
    if not _is_offline(source):
        run("apt-get", "update", "-q", environment=_QUIET)


def _run_apt(source: ProgramSource, *words: str) -> str:
    """What apt says when it installs these."""
    if source.wheels is not None and _is_offline(source):
        return run("sh", source.tree / _FROM_FOLDER, source.wheels, *words)
    return run("apt-get", "install", "-q", "-y", "--no-install-recommends", *words, environment=_QUIET)


@contextmanager
def _mask_foreign_service(product: Product, machine: TargetSystem, record: InstallationRecord) -> Iterator[None]:
    """Mask Debian's own service: Debian starts what it installs."""
    mask = UNITS / f"{product.foreign}.service"
    if product.foreign in record.packages and not os.path.lexists(machine.resolve(mask)):
        machine.link(mask, "/dev/null")
    try:
        yield
    finally:
        unmask_foreign(product, machine, record)


def unmask_foreign(product: Product, machine: TargetSystem, record: InstallationRecord) -> None:
    """Remove the mask of `_mask_foreign_service`, also that of a run that was cut off. Another's mask stays."""
    mask = machine.resolve(UNITS / f"{product.foreign}.service")
    if product.foreign in record.packages and mask.is_symlink() and str(mask.readlink()) == "/dev/null":
        mask.unlink()
        run("systemctl", f"--root={machine.root}", "disable", mask.name)

"""Refusals of the installation and its units."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.language import N_


class InstallError(LanternError):
    """The box's software cannot be put on this machine, or taken from it."""


INSTALL_NEEDS_ROOT = Refusal(
    InstallError, "install.root", N_("Only root can do this. Try again with: sudo make {what}")
)


INSTALL_PYTHON_HIDDEN = Refusal(
    InstallError,
    "install.python_hidden",
    N_(
        "The Python in {path} lies where the box's users may not look. Use the system's own: "
        "make install SYSTEM_PYTHON=/usr/bin/python3"
    ),
)


INSTALL_ROOM_SHORT = Refusal(
    InstallError,
    "install.room",
    N_("{path} has {free_mb} MB free and the installation needs {needed_mb}. Free some space and try again."),
)


INSTALL_PORT_TAKEN = Refusal(
    InstallError,
    "install.port",
    N_(
        "Another program listens on port {port}, which the box needs. “ss -ltnp” names it; stop it or remove it, and "
        "try again."
    ),
)


INSTALL_PACKAGES_MISSING = Refusal(
    InstallError,
    "install.packages",
    N_(
        "The packages {packages} are missing and could not be fetched: {detail}. Connect the internet, or put their "
        ".deb files into a folder and try again: make install WHEELS=FOLDER"
    ),
)


INSTALL_SOURCE_MISSING = Refusal(
    InstallError,
    "install.source",
    N_("{path} is missing in this folder. Unpack Lantern again and start from its own folder."),
)


class InstallWheelStale(InstallError):
    code = "install.wheel_stale"
    sentence = N_(
        "{wheel} was not built from the Lantern in this folder ({path} differs). Run “make wheels” again where there "
        "is internet, or install from the folder that it was built in."
    )
    wheel: str
    path: str


class InstallWheelDamaged(InstallError):
    code = "install.wheel_damaged"
    sentence = N_(
        "{wheel} is damaged, or was copied in part ({detail}). Copy the folder again, or run “make wheels” again where "
        "there is internet."
    )
    wheel: str
    detail: str


INSTALL_WHEELS_FOREIGN = Refusal(
    InstallError,
    "install.wheels_foreign",
    N_(
        "The files in {folder} were made for {made_for}, and this machine is {here}. Nothing was changed. Run “make "
        "wheels” on a computer with internet and the same system as this machine, and bring that folder."
    ),
)


INSTALL_PROGRAMS_FAILED = Refusal(
    InstallError,
    "install.programs",
    N_(
        "The programs could not be installed: {detail}. What was installed before still runs. Check the internet, or "
        "bring the files: “make wheels” where there is internet, then make install WHEELS=FOLDER"
    ),
)


class InstallStepFailed(InstallError):
    code = "install.step"
    sentence = N_("“{command}” failed: {detail}. Correct that and try again; what is done is not done twice.")
    command: str
    detail: str


INSTALL_PACKAGED = Refusal(
    InstallError,
    "install.packaged",
    N_(
        "Lantern is on this machine as the Debian package {package}, so “make {what}” changes nothing. Use apt: “apt "
        "install ./{package}_….deb”, “apt remove {package}”."
    ),
)


NOT_INSTALLED = Refusal(
    InstallError, "install.not_there", N_("Lantern is not installed on this machine, so there is nothing to remove.")
)


REMOVAL_UNSURE = Refusal(
    InstallError,
    "install.unsure",
    N_(
        "Nothing was removed. There is no terminal on which you could be asked; if what is named above may go for "
        "good, say so: make uninstall SURE=yes, with the same KEEP= or PURGE="
    ),
)


KEEP_UNKNOWN = Refusal(
    InstallError, "install.keep", N_("KEEP knows only “state” and “config”, not “{word}”. Nothing was removed.")
)

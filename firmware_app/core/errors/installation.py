"""`make install` and `make uninstall`: why a machine does not become a box."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class InstallError(LanternError):
    """The box's software cannot be put on this machine, or taken from it."""


class InstallNeedsRoot(InstallError):
    code = "install.root"
    sentence = N_("Only root can do this. Try again with: sudo make {what}")
    what: str


class InstallPythonHidden(InstallError):
    code = "install.python_hidden"
    sentence = N_(
        "The Python in {path} lies where the box's users may not look. Use the system's own: "
        "make install SYSTEM_PYTHON=/usr/bin/python3"
    )
    path: str


class InstallRoomShort(InstallError):
    code = "install.room"
    sentence = N_("{path} has {free_mb} MB free and the installation needs {needed_mb}. Free some space and try again.")
    path: str
    free_mb: int
    needed_mb: int


class InstallPortTaken(InstallError):
    code = "install.port"
    sentence = N_(
        "Another program listens on port {port}, which the box needs. “ss -ltnp” names it; stop it or remove it, and "
        "try again."
    )
    port: int


class InstallPackagesMissing(InstallError):
    code = "install.packages"
    sentence = N_(
        "The packages {packages} are missing and could not be fetched: {detail}. Connect the internet, or put their "
        ".deb files into a folder and try again: make install WHEELS=FOLDER"
    )
    packages: str
    detail: str


class InstallSourceMissing(InstallError):
    code = "install.source"
    sentence = N_("{path} is missing in this folder. Unpack Lantern again and start from its own folder.")
    path: str


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


class InstallWheelsForeign(InstallError):
    code = "install.wheels_foreign"
    sentence = N_(
        "The files in {folder} were made for {made_for}, and this machine is {here}. Nothing was changed. Run “make "
        "wheels” on a computer with internet and the same system as this machine, and bring that folder."
    )
    folder: str
    made_for: str
    here: str


class InstallProgramsFailed(InstallError):
    code = "install.programs"
    sentence = N_(
        "The programs could not be installed: {detail}. What was installed before still runs. Check the internet, or "
        "bring the files: “make wheels” where there is internet, then make install WHEELS=FOLDER"
    )
    detail: str


class InstallStepFailed(InstallError):
    code = "install.step"
    sentence = N_("“{command}” failed: {detail}. Correct that and try again; what is done is not done twice.")
    command: str
    detail: str


class InstallPackaged(InstallError):
    code = "install.packaged"
    sentence = N_(
        "Lantern is on this machine as the Debian package {package}, so “make {what}” changes nothing. Use apt: “apt "
        "install ./{package}_….deb”, “apt remove {package}”."
    )
    what: str
    package: str


class NotInstalled(InstallError):
    code = "install.not_there"
    sentence = N_("Lantern is not installed on this machine, so there is nothing to remove.")


class RemovalUnsure(InstallError):
    code = "install.unsure"
    sentence = N_(
        "Nothing was removed. There is no terminal on which you could be asked; if what is named above may go for "
        "good, say so: make uninstall SURE=yes, with the same KEEP= or PURGE="
    )


class KeepUnknown(InstallError):
    code = "install.keep"
    sentence = N_("KEEP knows only “state” and “config”, not “{word}”. Nothing was removed.")
    word: str

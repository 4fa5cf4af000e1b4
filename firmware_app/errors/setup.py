"""Why an installed box cannot be made ready for its units."""

from __future__ import annotations

from firmware_app.errors.base import LanternError
from firmware_app.language import N_


class SetupError(LanternError):
    """The box's folders, users or units are not as its processes need them."""


class StateElsewhere(SetupError):
    code = "setup.state_elsewhere"
    sentence = N_(
        "An installed box keeps its state in {expected}, not in {path}. Remove [state] dir from the configuration; to "
        "use another disk, mount it there."
    )
    path: str
    expected: str


class UserMissing(SetupError):
    code = "setup.user_missing"
    sentence = N_("The system user or group {name} is missing. Install Lantern again: “make install”.")
    name: str


class UnitsNotReread(SetupError):
    code = "setup.units_not_reread"
    sentence = N_(
        "systemd has not read anew what was written for the box's services: {detail}. They run as they were set "
        "before. Run “sudo systemctl daemon-reload”, then “sudo systemctl restart lantern.target”."
    )
    detail: str


class NameNotTaken(SetupError):
    code = "setup.name_not_taken"
    sentence = N_(
        "The name {name}.local is not known in the clinic's network: {detail}. Open the page by the box's address; see "
        "that avahi-daemon runs, then “sudo systemctl restart lantern-mdns”."
    )
    name: str
    detail: str


class FolderStrange(SetupError):
    code = "setup.folder_strange"
    sentence = N_("{path} is a link or a file where a folder belongs. Move it away; the box then makes the folder.")
    path: str

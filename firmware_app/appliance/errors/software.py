"""Refusals of software updates."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.language import N_


class SoftwareError(LanternError):
    """A version of the box's software is not fetched or not installed; what runs goes on."""


SOFTWARE_PUBLISHER_UNKNOWN = Refusal(
    SoftwareError,
    "software.no_publisher",
    N_(
        "This box trusts no publisher of software yet. Give it the publisher's root.json once: on the page “Software "
        "of the box”, or with lantern software check --repository {repository} --root FILE."
    ),
)


SOFTWARE_ROOT_INVALID = Refusal(
    SoftwareError,
    "software.root",
    N_("{path} is not the root.json of a publisher: {detail}. Ask the publisher for the right file."),
)


SOFTWARE_PUBLISHER_OTHER = Refusal(
    SoftwareError,
    "software.other_publisher",
    N_(
        "This box trusts another publisher of software than the one of {path}; nothing was changed. "
        "To change the publisher on purpose, delete the folder {trust} first."
    ),
)


SOFTWARE_UNREACHABLE = Refusal(
    SoftwareError,
    "software.unreachable",
    N_("The software repository {repository} cannot be read: {detail}. Check the stick or the line and try again."),
)


SOFTWARE_REPOSITORY_INVALID = Refusal(
    SoftwareError,
    "software.repository",
    N_("The software repository {repository} cannot be used: {detail}. Ask the publisher for a fresh copy."),
)


SOFTWARE_KIND_OTHER = Refusal(
    SoftwareError,
    "software.not_software",
    N_(
        "{repository} is a repository of packs, not of software. Name the folder or the address of the software; "
        "packs are installed with “lantern pack install”."
    ),
)


SOFTWARE_SIGNATURE_WRONG = Refusal(
    SoftwareError,
    "software.signature",
    N_(
        "The software repository {repository} is not signed by the publisher that this box trusts: {detail}. "
        "Nothing was installed; ask the publisher for a fresh copy."
    ),
)


SOFTWARE_ROLLED_BACK = Refusal(
    SoftwareError,
    "software.rolled_back",
    N_(
        "The software repository {repository} is older than what this box has already seen from its publisher: "
        "{detail}. Nothing was installed; ask the publisher for a fresh copy."
    ),
)


SOFTWARE_EXPIRED = Refusal(
    SoftwareError,
    "software.expired",
    N_(
        "The signatures of the software repository {repository} have expired. "
        "Ask the publisher for a fresh copy, and check the box's clock."
    ),
)


SOFTWARE_TRUNCATED = Refusal(
    SoftwareError,
    "software.truncated",
    N_(
        "{file} in the software repository {repository} is cut off. "
        "Nothing was installed; try again, or copy the repository again."
    ),
)


SOFTWARE_ALTERED = Refusal(
    SoftwareError,
    "software.altered",
    N_(
        "{file} in the software repository {repository} is not the file that its publisher signed. "
        "Nothing was installed; copy the repository again."
    ),
)


SOFTWARE_NOT_OFFERED = Refusal(
    SoftwareError,
    "software.not_offered",
    N_(
        "The software repository {repository} offers nothing for this kind of machine ({machine}). It offers: "
        "{offered}."
    ),
)


class SoftwareCurrent(SoftwareError):
    code = "software.current"
    sentence = N_("Version {version} runs already; nothing later is offered.")
    version: str


SOFTWARE_OLDER = Refusal(
    SoftwareError,
    "software.older",
    N_("Version {version} is not later than {current}, which runs. Nothing was changed."),
)


SOFTWARE_WAITS = Refusal(
    SoftwareError,
    "software.waits",
    N_(
        "Version {version} is given to a few boxes first, and this one is not among them yet. Nothing is to be done: "
        "it is offered here when the publisher goes on."
    ),
)


SOFTWARE_LEFT = Refusal(
    SoftwareError,
    "software.left",
    N_(
        "Version {version} ran on this box before and was left, because it did not work here. It is not installed "
        "again by itself. A later version is taken; to try this one again, use “Install again” on the page, or "
        "lantern software install --again."
    ),
)


SOFTWARE_FOR_ANOTHER_MACHINE = Refusal(
    SoftwareError,
    "software.machine",
    N_("{file} is for machines of the kind {machine}; this one is of the kind {here}. Nothing was changed."),
)


SOFTWARE_NOT_SIGNED = Refusal(
    SoftwareError,
    "software.not_signed",
    N_("{file} is not signed by whom this box trusts. Nothing was changed; take the file from the publisher again."),
)


SOFTWARE_DAMAGED = Refusal(
    SoftwareError,
    "software.damaged",
    N_(
        "{file} is damaged, cut off, or no file that renews a box. Nothing was changed; copy it again. It must be "
        "called lantern-VERSION.raucb."
    ),
    unsaid=("detail",),
)


class SoftwareNotInstalled(SoftwareError):
    code = "software.not_installed"
    sentence = N_(
        "{file} could not be installed; what runs goes on. Copy the file again and try once more; if it stays so, "
        "call whoever gave you the box."
    )
    unsaid = ("detail",)
    file: str
    detail: str


SOFTWARE_DISK_FULL = Refusal(
    SoftwareError,
    "software.disk_full",
    N_("The disk has no room for the new software: {missing_mb} MB are missing. Nothing was changed."),
)


SOFTWARE_FOLDER_UNUSABLE = Refusal(
    SoftwareError,
    "software.folder",
    N_("The folder {path} cannot be used: {detail}. Check the disk, and run this as root."),
)


class SoftwareBusy(SoftwareError):
    code = "software.busy"
    sentence = N_("Software is being fetched or installed just now. Wait until that is done.")


SOFTWARE_BY_HAND = Refusal(
    SoftwareError,
    "software.by_hand",
    N_(
        "This box is a Debian with the package lantern-box: its software is renewed at the console, by root: lantern "
        "software install, or apt install ./FILE.deb."
    ),
)


SOFTWARE_NO_REPOSITORY = Refusal(
    SoftwareError,
    "software.no_repository",
    N_(
        "No software repository is named. Give one with --repository, or set [software] repository in the "
        "configuration."
    ),
)


SOFTWARE_ADDRESS_INVALID = Refusal(
    SoftwareError,
    "software.address",
    N_("This is no address of a software repository. It begins with https:// and has no spaces."),
)


UPLOAD_REFUSED = Refusal(
    SoftwareError,
    "software.upload_form",
    N_("Choose the file lantern-VERSION.raucb; anything else, or a larger file, is not taken."),
)


UPLOAD_BROKEN = Refusal(
    SoftwareError,
    "software.upload_broken",
    N_("The file did not come whole, and nothing was installed. Send it again."),
)

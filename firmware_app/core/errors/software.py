"""The box's own software: why a version is not taken from the channel, a stick or a browser, and why one was left."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class SoftwareError(LanternError):
    """A version of the box's software is not fetched or not installed; what runs goes on."""


class SoftwarePublisherUnknown(SoftwareError):
    code = "software.no_publisher"
    sentence = N_(
        "This box trusts no publisher of software yet. Give it the publisher's root.json once: on the page “Software "
        "of the box”, or with lantern software check --repository {repository} --root FILE."
    )
    repository: str


class SoftwareRootInvalid(SoftwareError):
    code = "software.root"
    sentence = N_("{path} is not the root.json of a publisher: {detail}. Ask the publisher for the right file.")
    path: str
    detail: str


class SoftwarePublisherOther(SoftwareError):
    code = "software.other_publisher"
    sentence = N_(
        "This box trusts another publisher of software than the one of {path}; nothing was changed. "
        "To change the publisher on purpose, delete the folder {trust} first."
    )
    path: str
    trust: str


class SoftwareUnreachable(SoftwareError):
    code = "software.unreachable"
    sentence = N_(
        "The software repository {repository} cannot be read: {detail}. Check the stick or the line and try again."
    )
    repository: str
    detail: str


class SoftwareRepositoryInvalid(SoftwareError):
    code = "software.repository"
    sentence = N_("The software repository {repository} cannot be used: {detail}. Ask the publisher for a fresh copy.")
    repository: str
    detail: str


class SoftwareKindOther(SoftwareError):
    code = "software.not_software"
    sentence = N_(
        "{repository} is a repository of packs, not of software. Name the folder or the address of the software; "
        "packs are installed with “lantern pack install”."
    )
    repository: str


class SoftwareSignatureWrong(SoftwareError):
    code = "software.signature"
    sentence = N_(
        "The software repository {repository} is not signed by the publisher that this box trusts: {detail}. "
        "Nothing was installed; ask the publisher for a fresh copy."
    )
    repository: str
    detail: str


class SoftwareRolledBack(SoftwareError):
    code = "software.rolled_back"
    sentence = N_(
        "The software repository {repository} is older than what this box has already seen from its publisher: "
        "{detail}. Nothing was installed; ask the publisher for a fresh copy."
    )
    repository: str
    detail: str


class SoftwareExpired(SoftwareError):
    code = "software.expired"
    sentence = N_(
        "The signatures of the software repository {repository} have expired. "
        "Ask the publisher for a fresh copy, and check the box's clock."
    )
    repository: str


class SoftwareTruncated(SoftwareError):
    code = "software.truncated"
    sentence = N_(
        "{file} in the software repository {repository} is cut off. "
        "Nothing was installed; try again, or copy the repository again."
    )
    repository: str
    file: str


class SoftwareAltered(SoftwareError):
    code = "software.altered"
    sentence = N_(
        "{file} in the software repository {repository} is not the file that its publisher signed. "
        "Nothing was installed; copy the repository again."
    )
    repository: str
    file: str


class SoftwareNotOffered(SoftwareError):
    code = "software.not_offered"
    sentence = N_(
        "The software repository {repository} offers nothing for this kind of machine ({machine}). It offers: "
        "{offered}."
    )
    repository: str
    machine: str
    offered: str


class SoftwareCurrent(SoftwareError):
    code = "software.current"
    sentence = N_("Version {version} runs already; nothing later is offered.")
    version: str


class SoftwareOlder(SoftwareError):
    code = "software.older"
    sentence = N_("Version {version} is not later than {current}, which runs. Nothing was changed.")
    version: str
    current: str


class SoftwareWaits(SoftwareError):
    code = "software.waits"
    sentence = N_(
        "Version {version} is given to a few boxes first, and this one is not among them yet. Nothing is to be done: "
        "it is offered here when the publisher goes on."
    )
    version: str


class SoftwareLeft(SoftwareError):
    code = "software.left"
    sentence = N_(
        "Version {version} ran on this box before and was left, because it did not work here. It is not installed "
        "again by itself. A later version is taken; to try this one again, use “Install again” on the page, or "
        "lantern software install --again."
    )
    version: str


class SoftwareForAnotherMachine(SoftwareError):
    code = "software.machine"
    sentence = N_("{file} is for machines of the kind {machine}; this one is of the kind {here}. Nothing was changed.")
    file: str
    machine: str
    here: str


class SoftwareNotSigned(SoftwareError):
    code = "software.not_signed"
    sentence = N_(
        "{file} is not signed by whom this box trusts. Nothing was changed; take the file from the publisher again."
    )
    file: str


class SoftwareDamaged(SoftwareError):
    code = "software.damaged"
    sentence = N_(
        "{file} is damaged, cut off, or no file that renews a box. Nothing was changed; copy it again. It must be "
        "called lantern-VERSION.raucb."
    )
    unsaid = ("detail",)
    file: str
    detail: str


class SoftwareNotInstalled(SoftwareError):
    code = "software.not_installed"
    sentence = N_(
        "{file} could not be installed; what runs goes on. Copy the file again and try once more; if it stays so, "
        "call whoever gave you the box."
    )
    unsaid = ("detail",)
    file: str
    detail: str


class SoftwareDiskFull(SoftwareError):
    code = "software.disk_full"
    sentence = N_("The disk has no room for the new software: {missing_mb} MB are missing. Nothing was changed.")
    missing_mb: int


class SoftwareFolderUnusable(SoftwareError):
    code = "software.folder"
    sentence = N_("The folder {path} cannot be used: {detail}. Check the disk, and run this as root.")
    path: str
    detail: str


class SoftwareBusy(SoftwareError):
    code = "software.busy"
    sentence = N_("Software is being fetched or installed just now. Wait until that is done.")


class SoftwareNotHere(SoftwareError):
    code = "software.not_here"
    sentence = N_(
        "This box was neither flashed nor installed as a Debian package, so it is not renewed this way. Install "
        "Lantern again in the way in which it was installed."
    )


class SoftwareByHand(SoftwareError):
    code = "software.by_hand"
    sentence = N_(
        "This box is a Debian with the package lantern-box: its software is renewed at the console, by root: lantern "
        "software install, or apt install ./FILE.deb."
    )


class SoftwareNoRepository(SoftwareError):
    code = "software.no_repository"
    sentence = N_(
        "No software repository is named. Give one with --repository, or set [software] repository in the "
        "configuration."
    )


class SoftwareAddressInvalid(SoftwareError):
    code = "software.address"
    sentence = N_("This is no address of a software repository. It begins with https:// and has no spaces.")


class UploadRefused(SoftwareError):
    code = "software.upload_form"
    sentence = N_("Choose the file lantern-VERSION.raucb; anything else, or a larger file, is not taken.")


class UploadBroken(SoftwareError):
    code = "software.upload_broken"
    sentence = N_("The file did not come whole, and nothing was installed. Send it again.")

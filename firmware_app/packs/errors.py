"""Refusals of model packs."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.errors.packs import RuntimeFault
from firmware_app.core.language import N_


class PackError(LanternError):
    """A model pack is missing, damaged or not what it claims."""


PACK_UNKNOWN = Refusal(
    PackError,
    "pack.unknown",
    N_("There is no model pack named “{pack}” on this box. “lantern pack list” lists the packs."),
)


class PackManifestInvalid(PackError):
    code = "pack.manifest"
    sentence = N_("The manifest of the model pack in {path} cannot be used: {detail}. Install the pack again.")
    path: str
    detail: str


PACK_FOLDER_RENAMED = Refusal(
    PackError,
    "pack.folder_name",
    N_("The folder {path} holds the model pack “{pack}”, so it has to be called “{pack}”. Rename it."),
)


class PackArtefactMissing(PackError):
    code = "pack.artefact_missing"
    sentence = N_("The model pack “{pack}” lacks its file {file}. Install the pack again.")
    pack: str
    file: str


PACK_DIGEST_MISMATCH = Refusal(
    PackError,
    "pack.digest",
    N_("The file {file} of the model pack “{pack}” is not the one that was shipped. Install the pack again."),
)


class PackTaskUnread(PackError):
    code = "pack.task"
    sentence = N_(
        "The model pack “{pack}” has a task that this version of the box does not support ({task}), so it is not used. "
        "Update the box, or remove the pack."
    )
    pack: str
    task: str


PACK_FILE_UNLISTED = Refusal(
    PackError,
    "pack.unlisted",
    N_("The model pack “{pack}” holds {file}, which its SHA256SUMS does not name. Install the pack again."),
)


PACK_SUMS_INVALID = Refusal(
    PackError,
    "pack.sums",
    N_("The SHA256SUMS of the model pack “{pack}” cannot be used: {detail}. Install the pack again."),
)


PACK_PUBLISHER_UNKNOWN = Refusal(
    PackError,
    "pack.no_publisher",
    N_(
        "This box trusts no publisher of model packs yet. Give it the publisher's root.json once: "
        "lantern pack install {pack} --repository {repository} --root FILE."
    ),
)


PACK_ROOT_INVALID = Refusal(
    PackError,
    "pack.root",
    N_("{path} is not the root.json of a publisher: {detail}. Ask the publisher for the right file."),
)


PACK_PUBLISHER_OTHER = Refusal(
    PackError,
    "pack.other_publisher",
    N_(
        "This box trusts another publisher than the one of {path}; nothing was changed. "
        "To change the publisher on purpose, delete the folder {trust} first."
    ),
)


PACK_REPOSITORY_UNREADABLE = Refusal(
    PackError,
    "pack.unreachable",
    N_("The pack repository {repository} cannot be read: {detail}. Check the stick or the line and try again."),
)


PACK_REPOSITORY_INVALID = Refusal(
    PackError,
    "pack.repository",
    N_("The pack repository {repository} cannot be used: {detail}. Ask the publisher for a fresh copy."),
)


PACK_KIND_OTHER = Refusal(
    PackError,
    "pack.not_packs",
    N_(
        "{repository} is a repository of software, not of packs. Name the folder or the address of the packs; "
        "software is installed with “lantern software install”."
    ),
)


PACK_SIGNATURE_WRONG = Refusal(
    PackError,
    "pack.signature",
    N_(
        "The pack repository {repository} is not signed by the publisher that this box trusts: {detail}. "
        "Nothing was installed; ask the publisher for a fresh copy."
    ),
)


PACK_REPOSITORY_ROLLED_BACK = Refusal(
    PackError,
    "pack.rolled_back",
    N_(
        "The pack repository {repository} is older than what this box has already seen from its publisher: {detail}. "
        "Nothing was installed; ask the publisher for a fresh copy."
    ),
)


PACK_REPOSITORY_EXPIRED = Refusal(
    PackError,
    "pack.expired",
    N_(
        "The signatures of the pack repository {repository} have expired. "
        "Ask the publisher for a fresh copy, and check the box's clock."
    ),
)


PACK_TRUNCATED = Refusal(
    PackError,
    "pack.truncated",
    N_(
        "{file} in the pack repository {repository} is cut off. "
        "Nothing was installed; try again, or copy the repository again."
    ),
)


PACK_FILE_ALTERED = Refusal(
    PackError,
    "pack.altered",
    N_(
        "{file} in the pack repository {repository} is not the file that its publisher signed. "
        "Nothing was installed; copy the repository again."
    ),
)


PACK_NOT_OFFERED = Refusal(
    PackError, "pack.not_offered", N_("The pack repository {repository} does not offer {pack}. It offers: {offered}.")
)


PACK_OLDER = Refusal(
    PackError,
    "pack.older",
    N_(
        "Version {offered} of the model pack “{pack}” is older than {current}, which is in use. "
        "To go back to the version before, use: lantern pack rollback {pack}."
    ),
)


PACK_NO_PREVIOUS = Refusal(
    PackError,
    "pack.no_previous",
    N_("There is no earlier version of the model pack “{pack}” on this box; {current} stays in use."),
)


PACK_WRONG_HARDWARE = Refusal(
    PackError,
    "pack.wrong_hardware",
    N_(
        "Version {version} of the model pack “{pack}” is not made for this machine: {detail}. It is not used. "
        "Ask its publisher for the pack for this machine."
    ),
)


class PackNotOnTrial(PackError):
    code = "pack.not_on_trial"
    sentence = N_("No other version of the model pack “{pack}” is on trial on this box.")
    pack: str


PACK_TRIAL_LOST = Refusal(
    PackError,
    "pack.trial_lost",
    N_(
        "By what the doctors said, version {version} of the model pack “{pack}” was wrong where {before} was right in "
        "{worse} cases, and right where it was wrong in {better}. It was left, and {before} reads on."
    ),
)


PACK_TRIAL_DIFFERS = Refusal(
    PackError,
    "pack.trial_differs",
    N_(
        "Version {version} of the model pack “{pack}” said the same as {before} for only {same} of {images} images. It "
        "was left, and {before} reads on."
    ),
)


PACK_TRIAL_SLOWER = Refusal(
    PackError,
    "pack.trial_slower",
    N_(
        "Version {version} of the model pack “{pack}” takes {seconds} seconds for an image, {before} {seconds_before}. "
        "It was left, and {before} reads on."
    ),
)


PACK_SHIPPED = Refusal(
    PackError,
    "pack.shipped",
    N_(
        "The model pack “{pack}” came with Lantern and cannot be removed. To have another pack used before it, name "
        "that pack under [packs] prefer in the configuration."
    ),
)


class PackDiskFull(PackError):
    code = "pack.disk_full"
    sentence = N_(
        "The disk has no room for the model pack “{pack}”. Nothing was changed; free some space and try again."
    )
    pack: str


class PackFolderUnusable(PackError):
    code = "pack.folder"
    sentence = N_("The folder of model packs {path} cannot be used: {detail}. Check the disk and who owns the folder.")
    path: str
    detail: str


class PackBusy(PackError):
    code = "pack.busy"
    sentence = N_("Another command is changing the model packs in {path}. Wait until it is done.")
    path: str


class InferenceFailed(RuntimeFault):
    code = "runtime.inference_failed"
    sentence = N_("The model “{pack}” failed on {runtime}: {detail}.")
    pack: str
    runtime: str
    detail: str

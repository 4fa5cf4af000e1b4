"""Model packs and the runtimes that infer with them."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError
from firmware_app.core.language import N_


class PackError(LanternError):
    """A model pack is missing, damaged or not what it claims."""


class PackUnknown(PackError):
    code = "pack.unknown"
    sentence = N_("There is no model pack named “{pack}” on this box. “lantern pack list” lists the packs.")
    pack: str


class PackManifestInvalid(PackError):
    code = "pack.manifest"
    sentence = N_("The manifest of the model pack in {path} cannot be used: {detail}. Install the pack again.")
    path: str
    detail: str


class PackFolderRenamed(PackError):
    code = "pack.folder_name"
    sentence = N_("The folder {path} holds the model pack “{pack}”, so it has to be called “{pack}”. Rename it.")
    path: str
    pack: str


class PackArtefactMissing(PackError):
    code = "pack.artefact_missing"
    sentence = N_("The model pack “{pack}” lacks its file {file}. Install the pack again.")
    pack: str
    file: str


class PackDigestMismatch(PackError):
    code = "pack.digest"
    sentence = N_("The file {file} of the model pack “{pack}” is not the one that was shipped. Install the pack again.")
    pack: str
    file: str


class PackTaskUnread(PackError):
    code = "pack.task"
    sentence = N_(
        "The model pack “{pack}” has a task that this version of the box does not support ({task}), so it is not used. "
        "Update the box, or remove the pack."
    )
    pack: str
    task: str


class PackFileUnlisted(PackError):
    code = "pack.unlisted"
    sentence = N_("The model pack “{pack}” holds {file}, which its SHA256SUMS does not name. Install the pack again.")
    pack: str
    file: str


class PackSumsInvalid(PackError):
    code = "pack.sums"
    sentence = N_("The SHA256SUMS of the model pack “{pack}” cannot be used: {detail}. Install the pack again.")
    pack: str
    detail: str


class PackPublisherUnknown(PackError):
    code = "pack.no_publisher"
    sentence = N_(
        "This box trusts no publisher of model packs yet. Give it the publisher's root.json once: "
        "lantern pack install {pack} --repository {repository} --root FILE."
    )
    pack: str
    repository: str


class PackRootInvalid(PackError):
    code = "pack.root"
    sentence = N_("{path} is not the root.json of a publisher: {detail}. Ask the publisher for the right file.")
    path: str
    detail: str


class PackPublisherOther(PackError):
    code = "pack.other_publisher"
    sentence = N_(
        "This box trusts another publisher than the one of {path}; nothing was changed. "
        "To change the publisher on purpose, delete the folder {trust} first."
    )
    path: str
    trust: str


class PackRepositoryUnreadable(PackError):
    code = "pack.unreachable"
    sentence = N_(
        "The pack repository {repository} cannot be read: {detail}. Check the stick or the line and try again."
    )
    repository: str
    detail: str


class PackRepositoryInvalid(PackError):
    code = "pack.repository"
    sentence = N_("The pack repository {repository} cannot be used: {detail}. Ask the publisher for a fresh copy.")
    repository: str
    detail: str


class PackKindOther(PackError):
    code = "pack.not_packs"
    sentence = N_(
        "{repository} is a repository of software, not of packs. Name the folder or the address of the packs; "
        "software is installed with “lantern software install”."
    )
    repository: str


class PackSignatureWrong(PackError):
    code = "pack.signature"
    sentence = N_(
        "The pack repository {repository} is not signed by the publisher that this box trusts: {detail}. "
        "Nothing was installed; ask the publisher for a fresh copy."
    )
    repository: str
    detail: str


class PackRepositoryRolledBack(PackError):
    code = "pack.rolled_back"
    sentence = N_(
        "The pack repository {repository} is older than what this box has already seen from its publisher: {detail}. "
        "Nothing was installed; ask the publisher for a fresh copy."
    )
    repository: str
    detail: str


class PackRepositoryExpired(PackError):
    code = "pack.expired"
    sentence = N_(
        "The signatures of the pack repository {repository} have expired. "
        "Ask the publisher for a fresh copy, and check the box's clock."
    )
    repository: str


class PackTruncated(PackError):
    code = "pack.truncated"
    sentence = N_(
        "{file} in the pack repository {repository} is cut off. "
        "Nothing was installed; try again, or copy the repository again."
    )
    repository: str
    file: str


class PackFileAltered(PackError):
    code = "pack.altered"
    sentence = N_(
        "{file} in the pack repository {repository} is not the file that its publisher signed. "
        "Nothing was installed; copy the repository again."
    )
    repository: str
    file: str


class PackNotOffered(PackError):
    code = "pack.not_offered"
    sentence = N_("The pack repository {repository} does not offer {pack}. It offers: {offered}.")
    repository: str
    pack: str
    offered: str


class PackOlder(PackError):
    code = "pack.older"
    sentence = N_(
        "Version {offered} of the model pack “{pack}” is older than {current}, which is in use. "
        "To go back to the version before, use: lantern pack rollback {pack}."
    )
    pack: str
    offered: str
    current: str


class PackNoPrevious(PackError):
    code = "pack.no_previous"
    sentence = N_("There is no earlier version of the model pack “{pack}” on this box; {current} stays in use.")
    pack: str
    current: str


class PackNotRightHere(PackError):
    code = "pack.not_right_here"
    sentence = N_(
        "Version {version} of the model pack “{pack}” gives wrong results for its own test images on this box "
        "({detail}). It was not put in use, and nothing was changed. Tell its publisher the words in brackets."
    )
    pack: str
    version: str
    detail: str


class PackWrongHardware(PackError):
    code = "pack.wrong_hardware"
    sentence = N_(
        "Version {version} of the model pack “{pack}” is not made for this machine: {detail}. It is not used. "
        "Ask its publisher for the pack for this machine."
    )
    pack: str
    version: str
    detail: str


class PackNotOnTrial(PackError):
    code = "pack.not_on_trial"
    sentence = N_("No other version of the model pack “{pack}” is on trial on this box.")
    pack: str


class PackTrialCrashed(PackError):
    code = "pack.trial_crashed"
    sentence = N_(
        "Version {version} of the model pack “{pack}” stopped twice over one image while it was on trial ({detail}). "
        "It was left, and {before} reads on. Tell its publisher the words in brackets."
    )
    pack: str
    version: str
    before: str
    detail: str


class PackTrialStalled(PackError):
    code = "pack.trial_stalled"
    sentence = N_(
        "Version {version} of the model pack “{pack}” gave no answer in time while it was on trial (more than "
        "{seconds} seconds, twice). It was left, and {before} reads on. Tell its publisher."
    )
    pack: str
    version: str
    before: str
    seconds: int


class PackTrialUnfit(PackError):
    code = "pack.trial_unfit"
    sentence = N_(
        "Version {version} of the model pack “{pack}” no longer gives the right results for its own test images on "
        "this box ({detail}). It was left, and {before} reads on. Tell its publisher the words in brackets."
    )
    pack: str
    version: str
    before: str
    detail: str


class PackTrialFailed(PackError):
    code = "pack.trial_failed"
    sentence = N_(
        "Version {version} of the model pack “{pack}” failed on {images} images that {before} could read. It was left, "
        "and {before} reads on. Tell its publisher."
    )
    pack: str
    version: str
    before: str
    images: int


class PackTrialLost(PackError):
    code = "pack.trial_lost"
    sentence = N_(
        "By what the doctors said, version {version} of the model pack “{pack}” was wrong where {before} was right in "
        "{worse} cases, and right where it was wrong in {better}. It was left, and {before} reads on."
    )
    pack: str
    version: str
    before: str
    worse: int
    better: int


class PackTrialDiffers(PackError):
    code = "pack.trial_differs"
    sentence = N_(
        "Version {version} of the model pack “{pack}” said the same as {before} for only {same} of {images} images. It "
        "was left, and {before} reads on."
    )
    pack: str
    version: str
    before: str
    same: int
    images: int


class PackTrialSlower(PackError):
    code = "pack.trial_slower"
    sentence = N_(
        "Version {version} of the model pack “{pack}” takes {seconds} seconds for an image, {before} {seconds_before}. "
        "It was left, and {before} reads on."
    )
    pack: str
    version: str
    before: str
    seconds: float
    seconds_before: float


class PackOverlaps(PackError):
    code = "pack.overlap"
    sentence = N_(
        "Images that the model pack “{pack}” reads are also read by “{other}”, and the configuration does not say "
        'which of the two is used. Nothing was changed. Write prefer = ["{pack}"] or prefer = ["{other}"] under '
        "[packs] in the configuration, then install it again."
    )
    pack: str
    other: str


class PackShipped(PackError):
    code = "pack.shipped"
    sentence = N_(
        "The model pack “{pack}” came with Lantern and cannot be removed. To have another pack used before it, name "
        "that pack under [packs] prefer in the configuration."
    )
    pack: str


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


class RuntimeFault(LanternError):
    """An inference runtime cannot be used, or failed while it was."""


class RuntimeUnavailable(RuntimeFault):
    code = "runtime.unavailable"
    sentence = N_("The inference runtime {runtime} cannot be used here: {detail}.")
    runtime: str
    detail: str


class InferenceFailed(RuntimeFault):
    code = "runtime.inference_failed"
    sentence = N_("The model “{pack}” failed on {runtime}: {detail}.")
    pack: str
    runtime: str
    detail: str


class RuntimeWrong(RuntimeFault):
    code = "runtime.wrong"
    sentence = N_(
        "The model “{pack}” answers wrongly on {runtime} in {precision}: for its test image {case} it gives {given} "
        "instead of {expected} ({finding}; {tolerance} apart is allowed). It is not run in this way."
    )
    pack: str
    runtime: str
    precision: str
    case: str
    finding: str
    given: float
    expected: float
    tolerance: float


class RuntimeStopped(RuntimeFault):
    code = "runtime.stopped"
    sentence = N_(
        "The model “{pack}” stopped {runtime} in {precision} when it was tried ({detail}). It is not run in this way."
    )
    pack: str
    runtime: str
    precision: str
    detail: str


class RuntimeHung(RuntimeFault):
    code = "runtime.hung"
    sentence = N_(
        "The model “{pack}” gave no answer on {runtime} in {precision} within {seconds} seconds when it was tried. "
        "It is not run in this way."
    )
    pack: str
    runtime: str
    precision: str
    seconds: int

"""Model packs and the runtimes that infer with them."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_app.errors.base import LanternError
from firmware_app.language import N_


class PackError(LanternError):
    """A model pack is missing, damaged or not what it claims."""


@dataclass(eq=False)
class PackUnknown(PackError):
    code = "pack.unknown"
    sentence = N_("There is no model pack named “{pack}” on this box. “lantern status” lists the installed ones.")
    pack: str


@dataclass(eq=False)
class PackManifestInvalid(PackError):
    code = "pack.manifest"
    sentence = N_("The manifest of the model pack in {path} cannot be used: {detail}. Install the pack again.")
    path: str
    detail: str


@dataclass(eq=False)
class PackArtefactMissing(PackError):
    code = "pack.artefact_missing"
    sentence = N_("The model pack “{pack}” lacks its file {file}. Install the pack again.")
    pack: str
    file: str


@dataclass(eq=False)
class PackDigestMismatch(PackError):
    code = "pack.digest"
    sentence = N_("The file {file} of the model pack “{pack}” is not the one that was shipped. Install the pack again.")
    pack: str
    file: str


class RuntimeFault(LanternError):
    """An inference runtime cannot be used, or failed while it was."""


@dataclass(eq=False)
class RuntimeUnavailable(RuntimeFault):
    code = "runtime.unavailable"
    sentence = N_("The inference runtime {runtime} cannot be used here: {detail}.")
    runtime: str
    detail: str


@dataclass(eq=False)
class InferenceFailed(RuntimeFault):
    code = "runtime.inference_failed"
    sentence = N_("The model “{pack}” failed on {runtime}: {detail}.")
    pack: str
    runtime: str
    detail: str

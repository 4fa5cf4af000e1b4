"""Why an image does not leave the box de-identified, or an export does not begin."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_app.errors.base import LanternError
from firmware_app.language import N_


class ExportError(LanternError):
    """Nothing left the box, or one image stayed behind."""


@dataclass(eq=False)
class ExportOff(ExportError):
    code = "export.off"
    sentence = N_(
        "Export is switched off on this box. Whoever answers for its data writes “enabled = true” under [export] in "
        "the configuration, and tries again."
    )


@dataclass(eq=False)
class ExportPersonUnknown(ExportError):
    code = "export.person"
    sentence = N_(
        "“{name}” is no account in use on this box. Name who exports with --person; “lantern user list” shows the "
        "accounts."
    )
    name: str


@dataclass(eq=False)
class ExportFolderUnusable(ExportError):
    code = "export.folder"
    sentence = N_("The folder {path} cannot take the export: {detail}. Name another folder, or repair this one.")
    path: str
    detail: str


@dataclass(eq=False)
class ExportThere(ExportError):
    code = "export.there"
    sentence = N_("{path} is there already, and nothing is written over. Name another folder, or take it away first.")
    path: str


@dataclass(eq=False)
class ExportNotDicom(ExportError):
    code = "export.not_dicom"
    sentence = N_("This is a picture or a clip without a DICOM header; only DICOM images are exported.")


@dataclass(eq=False)
class ExportNoSector(ExportError):
    code = "export.no_sector"
    sentence = N_(
        "Where the ultrasound ends and the machine's text begins cannot be told in this image, so it was not exported."
    )


@dataclass(eq=False)
class ExportTextFound(ExportError):
    code = "export.text_found"
    sentence = N_(
        "Something that looks like letters is in the picture (frame {frame}) and may name a person, so the image was "
        "not exported. Look at every image of the case; if no letters name anybody, export it again with --looked."
    )
    frame: int


@dataclass(eq=False)
class ExportTextUnchecked(ExportError):
    code = "export.text_unchecked"
    sentence = N_(
        "This box was installed without the part that looks for letters in pictures, so the image was not exported. "
        "The technician adds it with “pip install lantern-box[ocr]”; or look at every image of the case and, if no "
        "letters name anybody, export it again with --looked."
    )


@dataclass(eq=False)
class ExportTooLarge(ExportError):
    code = "export.too_large"
    sentence = N_("Uncompressed, this image takes {megabytes} MB, more than the {most} MB that one exported file may.")
    megabytes: int
    most: int


@dataclass(eq=False)
class ExportGaveUp(ExportError):
    code = "export.gave_up"
    sentence = N_("De-identifying this image stopped the process that does it ({detail}), so it was not exported.")
    detail: str

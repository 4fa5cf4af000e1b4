"""Errors of images that several flats know."""

from __future__ import annotations

from firmware_app.core.errors.base import LanternError, Refusal
from firmware_app.core.language import N_, register_terms


class ImagingError(LanternError):
    """The object was accepted, but no frame a model may see can be made of it."""


class Undecodable(ImagingError):
    code = "imaging.undecodable"
    sentence = N_(
        "The image cannot be decoded: its data are damaged or incomplete. Ask for it to be exported again, "
        "uncompressed."
    )
    detail: str
    unsaid = ("detail",)


MEMORY_SHORT = Refusal(
    ImagingError,
    "imaging.memory",
    N_(
        "Opening this image takes more memory than the box gives to one image, so it was not opened. "
        "It need not be damaged. Save or export it with fewer pixels and give it again."
    ),
)


register_terms(
    "modality",
    {
        "CR": N_("X-ray"),
        "DX": N_("X-ray"),
        "RF": N_("fluoroscopy"),
        "XA": N_("angiography"),
        "MG": N_("mammography"),
        "US": N_("ultrasound"),
        "IVUS": N_("intravascular ultrasound"),
        "CT": "CT",
        "MR": "MR",
        "NM": N_("nuclear medicine"),
        "PT": "PET",
        "ES": N_("endoscopy"),
        "SM": N_("microscopy"),
        "IO": N_("dental X-ray"),
        "PX": N_("dental X-ray"),
        "XC": N_("photograph"),
        "OP": N_("photograph of the eye"),
        "OPT": N_("tomography of the eye"),
        "ECG": N_("ECG"),
        "SC": N_("screen picture"),
        "OT": N_("other"),
    },
)
_PARTS = {
    "CHEST": N_("chest"),
    "BREAST": N_("breast"),
    "LIVER": N_("liver"),
    "ABDOMEN": N_("abdomen"),
    "SPINE": N_("spine"),
    "BONE": N_("bone"),
    "EXTREMITY": N_("arm or leg"),
    "HEAD": N_("head"),
    "THYROID": N_("thyroid"),
    "UTERUS": N_("uterus"),
    "PROSTATE": N_("prostate"),
    "HEART": N_("heart"),
    "GALLBLADDER": N_("gall bladder"),
    "PANCREAS": N_("pancreas"),
    "SPLEEN": N_("spleen"),
    "OTHERPART": N_("other"),
}
register_terms("body_part", _PARTS)
register_terms("other_part", _PARTS)
register_terms(
    "view",
    {
        "LATERAL": N_("from the side"),
        "OBLIQUE": N_("oblique"),
        "DECUBITUS": N_("lying on the side"),
        "LORDOTIC": N_("lordotic"),
        "AXIAL": N_("axial"),
        "OTHER": N_("other"),
        "FRONTAL": N_("from the front"),
    },
)

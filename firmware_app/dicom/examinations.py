"""What can be asked for at registration: each examination's kind of machine, body part and name.

A worklist machine says which kind it is by its modality, and is told the modality that it is itself: consoles look for
the entries of one modality, and a radiograph is CR on one machine and DX on the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_app.core.language import N_, translate
from firmware_app.dicom.headers.body_part import examined

KINDS: Final = {
    "xray": ("CR", "DX", "RF", "XA"),
    "mammography": ("MG",),
    "ultrasound": ("US",),
    "ct": ("CT",),
    "mr": ("MR",),
}
"""Kinds of machine, and the modalities (PS3.3 C.7.3.1.1.1) that such a machine may call itself."""
MODALITIES: Final = tuple(modality for modalities in KINDS.values() for modality in modalities)


@dataclass(frozen=True, slots=True)
class Examination:
    """One examination; `body_part` is a defined term of PS3.16 Annex L, empty for a part that nobody has named."""

    kind: str
    body_part: str
    name: str

    def text(self, language: str) -> str:
        """Its name for people."""
        return translate(self.name, language)


EXAMINATIONS: Final = {
    "chest": Examination("xray", "CHEST", N_("Chest X-ray")),
    "abdomen": Examination("xray", "ABDOMEN", N_("Abdomen X-ray")),
    "cervical_spine": Examination("xray", "CSPINE", N_("Cervical spine X-ray")),
    "lumbar_spine": Examination("xray", "LSPINE", N_("Lumbar spine X-ray")),
    "pelvis": Examination("xray", "PELVIS", N_("Pelvis X-ray")),
    "arm": Examination("xray", "EXTREMITY", N_("X-ray of arm or hand")),
    "leg": Examination("xray", "EXTREMITY", N_("X-ray of leg or foot")),
    "skull": Examination("xray", "SKULL", N_("Skull X-ray")),
    "xray": Examination("xray", "", N_("Another X-ray")),
    "breast_us": Examination("ultrasound", "BREAST", N_("Breast ultrasound")),
    "liver_us": Examination("ultrasound", "LIVER", N_("Liver ultrasound")),
    "thyroid_us": Examination("ultrasound", "THYROID", N_("Thyroid ultrasound")),
    "abdomen_us": Examination("ultrasound", "ABDOMEN", N_("Abdomen ultrasound")),
    "pregnancy_us": Examination("ultrasound", "UTERUS", N_("Ultrasound in pregnancy")),
    "us": Examination("ultrasound", "", N_("Another ultrasound")),
    "mammography": Examination("mammography", "BREAST", N_("Mammography")),
    "chest_ct": Examination("ct", "CHEST", N_("Chest CT")),
    "head_ct": Examination("ct", "HEAD", N_("Head CT")),
    "ct": Examination("ct", "", N_("Another CT")),
    "mr": Examination("mr", "", N_("MR")),
}


def kind_of(modality: str) -> str:
    """The kind of a machine of this *modality*; empty for one that no examination is made with."""
    return next((kind for kind, modalities in KINDS.items() if modality in modalities), "")


def like(kind: str, part: str) -> str:
    """The first of `EXAMINATIONS` of this kind of machine and coarse *part* (`dicom.headers.body_part`); empty for
    none."""
    fitting = (code for code, one in EXAMINATIONS.items() if one.kind == kind and examined(one.body_part) == part)
    return next(fitting, "")

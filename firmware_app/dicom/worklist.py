"""The modality worklist (PS3.4 K): its entries, and the examinations that can be asked for at registration.

An entry is one patient who is registered for one examination.  An examination has a kind of imaging device, a body part
and a name.  A worklist device says by its modality which kind it is, and is given its own modality in the answers:
consoles look for the entries of one modality, and a radiograph is CR on one device and DX on the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_app.core.language import N_, translate
from firmware_app.dicom.body_part import parse_body_part

_CHILD_YEARS: Final = 18


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """One patient and one examination; empty texts are unknown."""

    accession: str
    study_uid: str
    patient_id: str
    name: str
    person_name: str
    """PN with its groups, as ``WANG^XIAOMING=王^小明``."""
    birth_date: str
    """DA, as ``19580731``."""
    age: str
    """AS at registration, as ``067Y``."""
    sex: str
    examination: str
    scheduled: str
    """Local time, DA and TM together: ``20261124093000``."""
    procedure_id: str = ""
    """Requested Procedure ID and, below, the step's: the hospital's own; empty: as the accession number."""
    step_id: str = ""
    description: str = ""
    """What the hospital calls the examination; empty: as `examination` is called."""
    origin: str = ""
    """AE title of the worklist that it is from; empty: registered here."""

    @property
    def is_child(self) -> bool:
        return self.age[-1:] in ("D", "W", "M") or int(self.age[:3] or _CHILD_YEARS) < _CHILD_YEARS

    @property
    def spelled(self) -> str:
        """The Latin letters of the name, for people."""
        return self.person_name.partition("=")[0].replace("^", " ")


EXAMINATION_KINDS: Final = {
    "xray": ("CR", "DX", "RF", "XA"),
    "mammography": ("MG",),
    "ultrasound": ("US",),
    "ct": ("CT",),
    "mr": ("MR",),
}
"""Kinds of machine, and the modalities (PS3.3 C.7.3.1.1.1) that such a machine may call itself."""
MODALITY_NAMES: Final = tuple(modality for modalities in EXAMINATION_KINDS.values() for modality in modalities)


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


def find_kind(modality: str) -> str:
    """The kind of a machine of this *modality*; empty for one that no examination is made with."""
    return next((kind for kind, modalities in EXAMINATION_KINDS.items() if modality in modalities), "")


def find_examination(kind: str, part: str) -> str:
    """The first of `EXAMINATIONS` of this kind of machine and coarse *part* (`dicom.body_part`); empty for
    none."""
    fitting = (
        code for code, one in EXAMINATIONS.items() if one.kind == kind and parse_body_part(one.body_part) == part
    )
    return next(fitting, "")

"""Coded concepts and UIDs of the result objects.

A concept has a code of SNOMED CT, DCM or UCUM where there is one. A pack names its findings by its own codes: those in
`FINDINGS` have a standard code, and any other becomes a code of the private scheme ``99LANTERN`` with the pack's
English label as its meaning (PS3.16 8.2).

A UID is the same for the same case, version and kind, however often the object is made. UIDs are UUIDs under 2.25
(PS3.5 B.2), derived by HMAC-SHA256 under a secret of the appliance, as those of de-identified objects are. Without the
secret, a UID does not reveal its study.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from firmware_app.core.records import Finding

SCHEME: Final = "99LANTERN"
_LONGEST_MEANING: Final = 64
_LONGEST_VALUE: Final = 16

FINDINGS: Final[Mapping[str, Code]] = {
    # Of CID 6104, whose "Opacity" is also a nodule or a mass: that it is absent would deny what was not looked for.
    "lung_opacity": codes.DCM.Infiltrate,
    "pneumonia": Code("233604007", "SCT", "Pneumonia"),
    "mass": Code("4147007", "SCT", "Mass"),
    "nodule": Code("27925004", "SCT", "Nodule"),
    "abnormal": Code("263654008", "SCT", "Abnormal"),
    "tuberculosis": Code("56717001", "SCT", "Tuberculosis"),
    "lesion": Code("52988006", "SCT", "Lesion"),
}
"""The standard code of a finding by the code that packs give it, one for each: that a mass is suspicious has a private
code beside that of the mass, or "mass: absent" would stand beside "mass: present"."""

PRESENCE: Final = Code("presence", SCHEME, "Presence at the operating point")
PRESENT: Final = Code("52101004", "SCT", "Present")
ABSENT: Final = Code("2667000", "SCT", "Absent")
DOCTORS_ASSESSMENT: Final = Code("assessment", SCHEME, "Doctor's assessment of the AI result")
ASSESSMENTS: Final = {
    "agree": Code("accepted", SCHEME, "AI result accepted by the doctor"),
    "disagree": Code("rejected", SCHEME, "AI result rejected by the doctor"),
    "unsure": Code("unsure", SCHEME, "Doctor is unsure of the AI result"),
}
"""By the doctor's verdict.  IHE's profile for the assessment of AI results is in trial and has no codes of its own."""
SUCCESS: Final = codes.DCM.CADProcessingAndFindingsSummary
FOUND: Final = codes.DCM.AllAlgorithmsSucceededWithFindings
NOTHING_FOUND: Final = codes.DCM.AllAlgorithmsSucceededWithoutFindings
FAILED: Final = codes.DCM.NoAlgorithmsSucceededWithoutFindings
WHY: Final = Code("reason", SCHEME, "Why the images could not be judged")
CERTAINTY: Final = codes.DCM.CertaintyOfFinding
UNJUDGED: Final = Code("unjudged", SCHEME, "Images that could not be judged")

PROCEDURE: Final = codes.cid100.ImagingProcedure
"""The one code of PS3.16 CID 100 that holds for films and ultrasound too; the images beside it name their modality."""
_UNITS: Final = {"mm": codes.UCUM.Millimeter, "%": codes.UCUM.Percent}
MILLIMETRE: Final = codes.UCUM.Millimeter
PIXEL: Final = Code("{pixels}", "UCUM", "pixels")
PERCENT: Final = codes.UCUM.Percent
LONG_AXIS: Final = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS: Final = Code("103340004", "SCT", "Short Axis")
AREA: Final = codes.SCT.Area
SQUARE_MILLIMETRE: Final = codes.UCUM.SquareMillimeter
VOLUME: Final = codes.SCT.Volume
CUBIC_MILLIMETRE: Final = codes.UCUM.CubicMillimeter


def code_finding(one: Finding | None, code: str) -> Code:
    """The concept of a finding; *one* gives its label where the case has it."""
    if code in FINDINGS:
        return FINDINGS[code]
    return make_private_code(code or "lesion", (one.label.get("en") if one is not None else None) or code or "Lesion")


def code_unit(named: str) -> Code | None:
    """The UCUM code of a unit as packs write it; None for one that has none here."""
    return _UNITS.get(named)


def make_private_code(value: str, meaning: str) -> Code:
    """A concept of the box's own scheme; a long code is cut and made unique by a digest of the whole."""
    if len(value) > _LONGEST_VALUE:
        value = f"{value[:9]}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"
    return Code(value, SCHEME, meaning[:_LONGEST_MEANING].strip() or value)


@dataclass(frozen=True, slots=True)
class ResultUids:
    """The UIDs of one case's objects."""

    key: bytes = field(repr=False)
    case: str

    def derive(self, *parts: str | int) -> UID:
        """The UID for this name within the case."""
        name = "\0".join((self.case, *map(str, parts)))
        digest = bytearray(hmac.new(self.key, name.encode(), hashlib.sha256).digest()[:16])
        digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562: version 8, of one's own making
        digest[8] = digest[8] & 0x3F | 0x80
        return UID(f"2.25.{int.from_bytes(digest, 'big')}")

    def derive_series(self, kind: str, *more: str) -> UID:
        """The series of all objects of *kind*; later versions join it."""
        return self.derive("series", kind, *more)

    def derive_instance(self, version: int, kind: str, number: int = 1) -> UID:
        """The *number*-th object of *kind* in this version."""
        return self.derive("instance", version, kind, number)

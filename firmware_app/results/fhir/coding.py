"""Codes, identifiers and references as FHIR R4 writes them; a resource is a plain JSON object."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final

from pydicom.sr.coding import Code
from pydicom.uid import UID

from firmware_app.results.dicom_objects import concepts

Json = dict[str, Any]

URI: Final = "urn:ietf:rfc:3986"
"""The system of an identifier that is a URI (FHIR R4, 2.24.0.12.1)."""
DICOM_UID: Final = "urn:dicom:uid"
OWN: Final = "urn:uuid:0c6f5d0a-6f0e-4a0e-9a53-3f3f4a5c8f71"
"""The system of the codes that the box has given itself: the scheme 99LANTERN of the DICOM objects."""
_SYSTEMS: Final = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    concepts.SCHEME: OWN,
}
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"


def concept(code: Code, text: str = "") -> Json:
    """A CodeableConcept; *text* is what a person reads, where that is not the code's own meaning."""
    coding = {"system": _SYSTEMS[code.scheme_designator], "code": code.value, "display": code.meaning}
    return {"coding": [coding], **({"text": text} if text else {})}


def hl7_concept(system: str, code: str) -> Json:
    """A code of HL7's own terminology, such as the category of an observation."""
    return {"coding": [{"system": f"{_TERMINOLOGY}{system}", "code": code}]}


def quantity(value: float, unit: Code) -> Json:
    return {"value": value, "unit": unit.meaning, "system": _SYSTEMS["UCUM"], "code": unit.value}


def url_of(uid: UID) -> str:
    """The address in a Bundle of what has *uid*, which is a UUID under 2.25 (PS3.5 B.2)."""
    return f"urn:uuid:{uuid.UUID(int=int(str(uid).removeprefix('2.25.')))}"


def identifier(uid: UID) -> Json:
    """By which a server knows the resource again, however often it comes."""
    return {"system": URI, "value": url_of(uid)}


def day(text: str | None) -> str | None:
    """``2026-11-23`` from a DA (PS3.5 6.2), also with dots; None where it is none."""
    digits = (text or "").replace(".", "")
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat()
    except ValueError:
        return None


def without_nothing(resource: Json) -> Json:
    """*resource* without what is not known: FHIR has neither null nor empty elements (2.6.2)."""
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}

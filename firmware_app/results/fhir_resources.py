"""FHIR R4 resources of a case: Observations, and the codes, identifiers and references that all resources use.

There is one Observation for each finding and each lesion of the case, and for each reading that could not be judged.
A resource is a plain JSON object.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydicom.sr.coding import Code
from pydicom.uid import UID

from firmware_app.core.language import translate
from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Finding, PackIdentity, Reading, ReadingStatus
from firmware_app.results import case_text, terms
from firmware_app.results.case_text import format_value
from firmware_app.results.case_view import CaseView
from firmware_app.results.dicom_objects import coded_concepts
from firmware_app.results.dicom_objects.coded_concepts import ResultUids

Json = dict[str, Any]

URI: Final = "urn:ietf:rfc:3986"
"""The system of an identifier that is a URI (FHIR R4, 2.24.0.12.1)."""
DICOM_UID: Final = "urn:dicom:uid"
OWN_SYSTEM: Final = "urn:uuid:0c6f5d0a-6f0e-4a0e-9a53-3f3f4a5c8f71"
"""The system of the codes that the box has given itself: the scheme 99LANTERN of the DICOM objects."""
_SYSTEMS: Final = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    coded_concepts.SCHEME: OWN_SYSTEM,
}
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"


def make_concept(code: Code, text: str = "") -> Json:
    """A CodeableConcept; *text* is what a person reads, where that is not the code's own meaning."""
    coding = {"system": _SYSTEMS[code.scheme_designator], "code": code.value, "display": code.meaning}
    return {"coding": [coding], **({"text": text} if text else {})}


def make_hl7_concept(system: str, code: str) -> Json:
    """A code of HL7's own terminology, such as the category of an observation."""
    return {"coding": [{"system": f"{_TERMINOLOGY}{system}", "code": code}]}


def make_quantity(value: float, unit: Code) -> Json:
    return {"value": value, "unit": unit.meaning, "system": _SYSTEMS["UCUM"], "code": unit.value}


def make_url(uid: UID) -> str:
    """The address in a Bundle of what has *uid*, which is a UUID under 2.25 (PS3.5 B.2)."""
    return f"urn:uuid:{uuid.UUID(int=int(str(uid).removeprefix('2.25.')))}"


def make_identifier(uid: UID) -> Json:
    """By which a server knows the resource again, however often it comes."""
    return {"system": URI, "value": make_url(uid)}


def format_day(text: str | None) -> str | None:
    """``2026-11-23`` from a DA (PS3.5 6.2), also with dots; None where it is none."""
    digits = (text or "").replace(".", "")
    try:
        return datetime.strptime(digits, "%Y%m%d").date().isoformat()
    except ValueError:
        return None


def drop_unknown(resource: Json) -> Json:
    """*resource* without what is not known: FHIR has neither null nor empty elements (2.6.2)."""
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}


_THRESHOLD: Final = coded_concepts.make_private_code("threshold", "Threshold of the operating point")
_SCORE: Final = coded_concepts.make_private_code("score", "Score of the model")
_WITHDRAWN: Final = coded_concepts.make_private_code("withdrawn", "Withdrawn: a later version does not say it")
_NOT_PERFORMED: Final = "not-performed"
_UNCONFIRMED: Final = {"status": "preliminary"}
"""Of what a doctor has rejected: it stays what a model said, and never becomes final."""


@dataclass(frozen=True, slots=True)
class ObservationContext:
    """What all observations of a case share: whose they are, of which study, by which device for each reading."""

    view: CaseView
    uids: ResultUids
    common: Json
    devices: Mapping[str, str]

    @property
    def language(self) -> str:
        return self.view.language


def make_observations(told: ObservationContext) -> Iterator[tuple[UID, Json]]:
    """Each with the UID that later versions keep."""
    case = told.view.case
    for finding in case.findings:
        strongest = told.view.find_reading(finding)
        pack = strongest.pack if strongest is not None else None
        yield _make_observation(told, pack, ("finding", finding.code), _describe_finding(told, finding))
    for reading in case.readings:
        if reading.status is ReadingStatus.CANNOT_JUDGE:
            name = ("unjudged", reading.pack.name if reading.pack is not None else "", *reading.instances)
            yield _make_observation(told, reading.pack, name, _describe_unjudged(told, reading))
    for number, lesion in enumerate(case.lesions, 1):
        by = (one.pack for one in case.readings if one.lesions and lesion.instance in one.instances)
        yield _make_observation(told, next(by, None), ("lesion", str(number)), _describe_lesion(told, lesion, number))


def withdraw_observation(url: str, subject: Json) -> Json:
    """The Observation known by *url*, of which the case says nothing any more."""
    return {
        "resourceType": "Observation",
        "identifier": [{"system": URI, "value": url}],
        "status": "entered-in-error",
        "category": [make_hl7_concept("observation-category", "imaging")],
        "code": make_concept(_WITHDRAWN),
        "subject": subject,
    }


def _make_observation(
    told: ObservationContext, pack: PackIdentity | None, name: tuple[str, ...], own: Json
) -> tuple[UID, Json]:
    uid = told.uids.derive("fhir", *name)
    device = told.devices.get(str(pack))
    made = {
        "resourceType": "Observation",
        "identifier": [make_identifier(uid)],
        **told.common,
        "category": [make_hl7_concept("observation-category", "imaging")],
        "device": {"reference": device} if device is not None else None,
        **own,
    }
    return uid, drop_unknown(made)


def _describe_finding(told: ObservationContext, one: Finding) -> Json:
    value, language = format_value(one, told.language), told.language
    opinions = [said for said in told.view.opinions if said.finding == one.code]
    return {
        **_describe_verdict(told, one.code),
        "code": make_concept(
            coded_concepts.code_finding(one, one.code), case_text.name_finding([one], one.code, language)
        ),
        "valueCodeableConcept": make_concept(coded_concepts.PRESENT if one.positive else coded_concepts.ABSENT),
        "component": [
            _make_component(coded_concepts.CERTAINTY, one.probability * 100.0, coded_concepts.PERCENT),
            _make_component(_THRESHOLD, one.threshold * 100.0, coded_concepts.PERCENT),
            *(
                [
                    {
                        "code": make_concept(coded_concepts.make_private_code("value", "Measured value")),
                        "valueString": value,
                    }
                ]
                if value
                else []
            ),
            *(
                {
                    "code": make_concept(coded_concepts.DOCTORS_ASSESSMENT),
                    "valueCodeableConcept": make_concept(coded_concepts.ASSESSMENTS[said.verdict]),
                }
                for said in opinions
            ),
        ],
        "note": [{"text": f"{said.actor}: {translate(terms.SAID[said.verdict], language)}"} for said in opinions],
    }


def _describe_verdict(told: ObservationContext, finding: str) -> Json:
    return _UNCONFIRMED if told.view.is_rejected(finding) else {}


def _describe_lesion(told: ObservationContext, one: Lesion, number: int) -> Json:
    case = told.view.case
    findings = {finding.code: finding for finding in case.findings}
    sizes = (
        (coded_concepts.LONG_AXIS, one.long_axis_mm, coded_concepts.MILLIMETRE),
        (coded_concepts.SHORT_AXIS, one.short_axis_mm, coded_concepts.MILLIMETRE),
        (coded_concepts.AREA, one.area_mm2, coded_concepts.SQUARE_MILLIMETRE),
        (coded_concepts.VOLUME, one.volume_mm3, coded_concepts.CUBIC_MILLIMETRE),
    )
    return {
        **_describe_verdict(told, one.finding),
        "code": make_concept(coded_concepts.code_finding(findings.get(one.finding), one.finding)),
        "valueString": case_text.describe_lesion(one, number, case.findings, told.language),
        "component": [
            _make_component(_SCORE, one.score * 100.0, coded_concepts.PERCENT),
            *(_make_component(code, value, unit) for code, value, unit in sizes if value is not None),
        ],
    }


def _describe_unjudged(told: ObservationContext, reading: Reading) -> Json:
    return {
        "code": make_concept(coded_concepts.UNJUDGED),
        "dataAbsentReason": make_hl7_concept("data-absent-reason", _NOT_PERFORMED),
        "note": [{"text": reading.reason.text(told.language)}] if reading.reason is not None else [],
    }


def _make_component(code: Code, value: float, unit: Code) -> Json:
    return {"code": make_concept(code), "valueQuantity": make_quantity(float(f"{value:.4g}"), unit)}

"""Observations: one for each finding, each lesion, and each reading that could not be judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.sr.coding import Code
from pydicom.uid import UID

from firmware_app.core.language import translate
from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Finding, PackIdentity, Reading, ReadingStatus
from firmware_app.results import terms, wording
from firmware_app.results.case_text import value_text
from firmware_app.results.dicom_objects import concepts
from firmware_app.results.dicom_objects.uids import Uids
from firmware_app.results.fhir.coding import URI, Json, concept, hl7_concept, identifier, quantity, without_nothing
from firmware_app.results.result import Result

_THRESHOLD: Final = concepts.private("threshold", "Threshold of the operating point")
_SCORE: Final = concepts.private("score", "Score of the model")
_WITHDRAWN: Final = concepts.private("withdrawn", "Withdrawn: a later version does not say it")
_UNJUDGED: Final = "not-performed"
_UNCONFIRMED: Final = {"status": "preliminary"}
"""Of what a doctor has rejected: it stays what a model said, and never becomes final."""


@dataclass(frozen=True, slots=True)
class Told:
    """What all observations of a case share: whose they are, of which study, by which device for each reading."""

    result: Result
    uids: Uids
    common: Json
    devices: Mapping[str, str]

    @property
    def language(self) -> str:
        return self.result.language


def observations(told: Told) -> Iterator[tuple[UID, Json]]:
    """Each with the UID that later versions keep."""
    case = told.result.case
    for reading in case.readings:
        pack = reading.pack.name if reading.pack is not None else ""
        if reading.status is ReadingStatus.CANNOT_JUDGE:
            yield _made(told, reading.pack, ("unjudged", pack, *reading.instances), _unjudged(told, reading))
            continue
        for one in reading.findings:
            yield _made(told, reading.pack, ("finding", one.code, pack, *reading.instances), _finding(told, one))
    for number, lesion in enumerate(case.lesions, 1):
        by = (one.pack for one in case.readings if one.lesions and lesion.instance in one.instances)
        yield _made(told, next(by, None), ("lesion", str(number)), _lesion(told, lesion, number))


def withdrawn(url: str, subject: Json) -> Json:
    """The Observation known by *url*, of which the case says nothing any more."""
    return {
        "resourceType": "Observation",
        "identifier": [{"system": URI, "value": url}],
        "status": "entered-in-error",
        "category": [hl7_concept("observation-category", "imaging")],
        "code": concept(_WITHDRAWN),
        "subject": subject,
    }


def _made(told: Told, pack: PackIdentity | None, name: tuple[str, ...], own: Json) -> tuple[UID, Json]:
    uid = told.uids.of("fhir", *name)
    device = told.devices.get(str(pack))
    made = {
        "resourceType": "Observation",
        "identifier": [identifier(uid)],
        **told.common,
        "category": [hl7_concept("observation-category", "imaging")],
        "device": {"reference": device} if device is not None else None,
        **own,
    }
    return uid, without_nothing(made)


def _finding(told: Told, one: Finding) -> Json:
    value, language = value_text(one, told.language), told.language
    opinions = [said for said in told.result.opinions if said.finding == one.code]
    return {
        **_standing(told, one.code),
        "code": concept(concepts.finding(one, one.code), wording.named([one], one.code, language)),
        "valueCodeableConcept": concept(concepts.PRESENT if one.positive else concepts.ABSENT),
        "component": [
            _component(concepts.CERTAINTY, one.probability * 100.0, concepts.PERCENT),
            _component(_THRESHOLD, one.threshold * 100.0, concepts.PERCENT),
            *([{"code": concept(concepts.private("value", "Measured value")), "valueString": value}] if value else []),
            *(
                {
                    "code": concept(concepts.DOCTORS_ASSESSMENT),
                    "valueCodeableConcept": concept(concepts.ASSESSMENTS[said.verdict]),
                }
                for said in opinions
            ),
        ],
        "note": [{"text": f"{said.actor}: {translate(terms.SAID[said.verdict], language)}"} for said in opinions],
    }


def _standing(told: Told, finding: str) -> Json:
    return _UNCONFIRMED if told.result.is_rejected(finding) else {}


def _lesion(told: Told, one: Lesion, number: int) -> Json:
    case = told.result.case
    findings = {finding.code: finding for finding in case.findings}
    sizes = (
        (concepts.LONG_AXIS, one.long_axis_mm, concepts.MILLIMETRE),
        (concepts.SHORT_AXIS, one.short_axis_mm, concepts.MILLIMETRE),
        (concepts.AREA, one.area_mm2, concepts.SQUARE_MILLIMETRE),
        (concepts.VOLUME, one.volume_mm3, concepts.CUBIC_MILLIMETRE),
    )
    return {
        **_standing(told, one.finding),
        "code": concept(concepts.finding(findings.get(one.finding), one.finding)),
        "valueString": wording.lesion(one, number, case.findings, told.language),
        "component": [
            _component(_SCORE, one.score * 100.0, concepts.PERCENT),
            *(_component(code, value, unit) for code, value, unit in sizes if value is not None),
        ],
    }


def _unjudged(told: Told, reading: Reading) -> Json:
    return {
        "code": concept(concepts.UNJUDGED),
        "dataAbsentReason": hl7_concept("data-absent-reason", _UNJUDGED),
        "note": [{"text": reading.reason.text(told.language)}] if reading.reason is not None else [],
    }


def _component(code: Code, value: float, unit: Code) -> Json:
    return {"code": concept(code), "valueQuantity": quantity(float(f"{value:.4g}"), unit)}

"""Observations: one for each finding, each lesion, and each reading that could not be judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.sr.coding import Code
from pydicom.uid import UID

from firmware_app.exporting.dicom import concepts
from firmware_app.exporting.dicom.uids import Uids
from firmware_app.exporting.fhir.coding import Json, concept, hl7_concept, identifier, quantity, without_nothing
from firmware_app.language import translate
from firmware_app.lesion import Lesion
from firmware_app.records import Finding, Reading, ReadingStatus
from firmware_app.reports import terms, wording
from firmware_app.reports.case_text import value_text
from firmware_app.reports.result import Result

_THRESHOLD: Final = concepts.private("threshold", "Threshold of the operating point")
_SCORE: Final = concepts.private("score", "Score of the model")
_UNJUDGED: Final = "not-performed"


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
    for reading in told.result.case.readings:
        if reading.status is ReadingStatus.CANNOT_JUDGE:
            yield _made(told, reading, ("unjudged",), _unjudged(told, reading))
            continue
        for one in reading.findings:
            yield _made(told, reading, ("finding", one.code), _finding(told, one))
        for number, lesion in enumerate(reading.lesions, 1):
            yield _made(told, reading, ("lesion", str(number)), _lesion(told, reading, lesion, number))


def _made(told: Told, reading: Reading, name: tuple[str, ...], own: Json) -> tuple[UID, Json]:
    pack = reading.pack.name if reading.pack is not None else ""
    uid = told.uids.of("fhir", *name, pack, *reading.instances)
    device = told.devices.get(str(reading.pack))
    made = {
        "resourceType": "Observation", "identifier": [identifier(uid)], **told.common,
        "category": [hl7_concept("observation-category", "imaging")],
        "device": {"reference": device} if device is not None else None, **own,
    }  # fmt: skip
    return uid, without_nothing(made)


def _finding(told: Told, one: Finding) -> Json:
    value, language = value_text(one, told.language), told.language
    notes = [
        {"text": f"{said.actor}: {translate(terms.SAID[said.verdict], language)}"}
        for said in told.result.opinions if said.finding == one.code
    ]  # fmt: skip
    return {
        "code": concept(concepts.finding(one, one.code), wording.named([one], one.code, language)),
        "valueCodeableConcept": concept(concepts.PRESENT if one.positive else concepts.ABSENT),
        "component": [
            _component(concepts.CERTAINTY, one.probability * 100.0, concepts.PERCENT),
            _component(_THRESHOLD, one.threshold * 100.0, concepts.PERCENT),
            *([{"code": concept(concepts.private("value", "Measured value")), "valueString": value}] if value else []),
        ],
        "note": notes,
    }


def _lesion(told: Told, reading: Reading, one: Lesion, number: int) -> Json:
    findings = {finding.code: finding for finding in reading.findings}
    sizes = (
        (concepts.LONG_AXIS, one.long_axis_mm, concepts.MILLIMETRE),
        (concepts.SHORT_AXIS, one.short_axis_mm, concepts.MILLIMETRE),
        (concepts.AREA, one.area_mm2, concepts.SQUARE_MILLIMETRE),
        (concepts.VOLUME, one.volume_mm3, concepts.CUBIC_MILLIMETRE),
    )
    return {
        "code": concept(concepts.finding(findings.get(one.finding), one.finding)),
        "valueString": wording.lesion(one, number, reading.findings, told.language),
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

"""A case as one HL7 v2.5.1 message ORU^R01, for hospital information systems that take nothing newer.

One OBX for each doctor's verdict and each finding (present or absent, then probability and threshold), each lesion and
each reading that could not be judged, one for each sentence, and one for the printed report (chapter 7.4 of the
standard).  OBX-11 and OBR-25 are P, and F once a doctor has finished the case; of a finding that a doctor has rejected,
what the model said stays P.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import hl7
from pydicom.sr.coding import Code

from firmware_app.cases.patient import clean
from firmware_app.cases.registration import names
from firmware_app.core.records import Header, ReadingStatus
from firmware_app.dicom.headers import identity
from firmware_app.results import wording
from firmware_app.results.dicom_objects import concepts
from firmware_app.results.dicom_objects.making import uids_of
from firmware_app.results.dicom_objects.source import patient_name
from firmware_app.results.fhir.bundle import TITLE, accession, sentences
from firmware_app.results.hl7v2_types import escaped, lines, number, time, xpn
from firmware_app.results.result import Result

VERSION: Final = "2.5.1"
SUFFIX: Final = ".hl7"
_MESSAGE_TYPE: Final = ("ORU", "R01", "ORU_R01")
_CHARACTERS: Final = "UNICODE UTF-8"
_CONTROL_ID: Final = 20
"""Characters of MSH-10."""
_APPLICATION: Final = 20
"""Characters of a name in MSH-3 and MSH-4 (HD.1)."""
_PROBABILITY: Final = concepts.private("probability", "Probability")
_THRESHOLD: Final = concepts.private("threshold", "Threshold of the operating point")

Components = str | tuple[str, ...]
"""A text, or its components."""
Field = Components | list[str] | list[tuple[str, ...]]
"""One field; a list of its repetitions where it may have several."""


@dataclass(frozen=True, slots=True)
class _Observed:
    """One OBX: its type, code, sub-id and value; `unit` of a number.  `rejected`: a doctor disagrees with it."""

    kind: str
    code: Code
    sub_id: int
    value: Field
    unit: Code | None = None
    rejected: bool = False


def message_of(result: Result, pdf: bytes | None = None) -> str:
    """The message, its segments ended by carriage returns; the same result gives the same text."""
    message = hl7.parse("MSH|^~\\&|\r")
    message[0] = _head(message, result)
    for segment in (_patient(result), _order(result), *_observations(result, pdf)):
        message.append(_segment(message, segment))
    return f"{message}".rstrip("\r") + "\r"


def _head(message: Any, result: Result) -> Any:
    uid = uids_of(result).of("hl7", result.version)
    control_id = hashlib.sha256(uid.encode()).hexdigest()[:_CONTROL_ID]
    fields: list[Field] = [
        "LANTERN",
        result.box[:_APPLICATION],
        "",
        "",
        _time(result.made_at),
        "",
        _MESSAGE_TYPE,
        control_id,
        "P",
        VERSION,
        "",
        "",
        "",
        "",
        "",
        _CHARACTERS,
    ]
    return message.create_segment([*message[0][:3], *(_field(message, one) for one in fields)])


def _patient(result: Result) -> dict[int, Field]:
    patient = result.patient
    return {0: "PID", 1: "1", 3: patient.patient_id, 5: xpn(_person_name(result)), 8: patient.sex or "U"}


def _person_name(result: Result) -> str:
    """The patient's name with its components: as registered, as an image has it, or as a person wrote it."""
    shown = result.patient.name
    if result.person_name:
        return result.person_name
    for image in result.images:
        told = patient_name(image)
        if told and clean(identity.spoken(told)) == shown:
            return told
    is_divided = any(delimiter in shown for delimiter in "^=")
    return shown if is_divided or not names.is_chinese(shown) else "^".join(names.parts(shown)).rstrip("^")


def _order(result: Result) -> dict[int, Field]:
    signature = result.signature
    times = (time(one.study_date, one.study_time) for one in _headers(result))
    return {
        0: "OBR",
        1: "1",
        2: accession(result),
        3: result.case.reference or "",
        4: _coded(TITLE),
        7: next(filter(None, times), ""),
        22: _time(result.made_at),
        25: "F" if signature is not None else "P",
        32: signature.actor if signature is not None else "",
    }


def _observations(result: Result, pdf: bytes | None) -> Iterator[dict[int, Field]]:
    status = "F" if result.signature is not None else "P"
    for count, one in enumerate(_observed(result, pdf), 1):
        yield {
            0: "OBX",
            1: str(count),
            2: one.kind,
            3: _coded(one.code),
            4: str(one.sub_id),
            5: one.value,
            6: _coded(one.unit) if one.unit is not None else "",
            11: "P" if one.rejected else status,
        }


def _observed(result: Result, pdf: bytes | None) -> Iterator[_Observed]:
    language, group = result.language, 0
    for reading in result.case.readings:
        if reading.status is ReadingStatus.CANNOT_JUDGE and reading.reason is not None:
            group += 1
            yield _Observed("TX", concepts.UNJUDGED, group, lines(reading.reason.text(language)))
        for one in reading.findings:
            group += 1
            presence, rejected = concepts.PRESENT if one.positive else concepts.ABSENT, result.is_rejected(one.code)
            for said in result.opinions:
                if said.finding == one.code:
                    verdict = _coded(concepts.ASSESSMENTS[said.verdict])
                    yield _Observed("CWE", concepts.DOCTORS_ASSESSMENT, group, verdict)
            yield _Observed("CWE", concepts.finding(one, one.code), group, _coded(presence), rejected=rejected)
            for code, share in ((_PROBABILITY, one.probability), (_THRESHOLD, one.threshold)):
                yield _Observed("NM", code, group, number(100 * share), concepts.PERCENT, rejected)
    findings = result.case.findings
    for count, lesion in enumerate(result.case.lesions, 1):
        group += 1
        found = next((one for one in findings if one.code == lesion.finding), None)
        text, rejected = wording.lesion(lesion, count, findings, language), result.is_rejected(lesion.finding)
        yield _Observed("TX", concepts.finding(found, lesion.finding), group, lines(text), rejected=rejected)
    for sentence in sentences(result):
        group += 1
        yield _Observed("TX", TITLE, group, lines(sentence))
    if pdf is not None:
        yield _Observed("ED", TITLE, group + 1, ("", "application", "pdf", "Base64", base64.b64encode(pdf).decode()))


def _headers(result: Result) -> Iterator[Header]:
    return (one.header for one in result.images if one.header is not None)


def _coded(code: Code) -> tuple[str, str, str]:
    return code.value, code.meaning, code.scheme_designator


def _segment(message: Any, fields: dict[int, Field]) -> Any:
    return message.create_segment([_field(message, fields.get(number, "")) for number in range(max(fields) + 1)])


def _field(message: Any, value: Field) -> Any:
    repetitions = value if isinstance(value, list) else [value]
    return message.create_field([message.create_repetition(_components(message, one)) for one in repetitions])


def _components(message: Any, value: Components) -> list[Any]:
    parts = [value] if isinstance(value, str) else value
    return [message.create_component([escaped(part)]) for part in parts]


def _time(text: str) -> str:
    """A TS (2.A.79) from ISO 8601."""
    at = datetime.fromisoformat(text)
    return f"{at:%Y%m%d%H%M%S%z}"

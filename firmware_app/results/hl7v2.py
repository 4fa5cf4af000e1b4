"""A case as one HL7 v2.5.1 message ORU^R01, for hospital information systems that take nothing newer.

The message has one OBX for each doctor's verdict, for each finding of the case (present or absent, then probability and
threshold), for each lesion, for each reading that could not be judged, for each sentence, and for the printed report
(chapter 7.4 of the standard). OBX-11 and OBR-25 are P, and F once a doctor has finished the case. Where a doctor has
rejected a finding, the model's own statement stays P.

The data types follow chapter 2.A: names, times, numbers, and text with its escape sequences, converted from DICOM's.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import hl7
from pydicom.sr.coding import Code

from firmware_app.cases import person_names
from firmware_app.cases.patients import clean_text
from firmware_app.core.records import Header, ReadingStatus
from firmware_app.dicom import patient_data
from firmware_app.results import case_text
from firmware_app.results.case_view import CaseView
from firmware_app.results.dicom_objects import coded_concepts
from firmware_app.results.dicom_objects.result_context import derive_uids
from firmware_app.results.dicom_objects.source_headers import read_patient_name
from firmware_app.results.fhir_bundle import TITLE, find_accession, list_sentences

_ESCAPES: Final = {"|": "F", "^": "S", "&": "T", "~": "R", "\\": "E"}
_DATE: Final = re.compile(r"\d{4}(?:\d\d(?:\d\d)?)?", re.ASCII)
_TIME: Final = re.compile(r"(\d\d(?:\d\d(?:\d\d)?)?)(?:\.\d*)?", re.ASCII)
_TIME_FORMS: Final = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_DAY: Final = 8
_REPRESENTATIONS: Final = ("A", "I", "P")
"""Table 0465, in the order of the groups of a PN (PS3.5 6.2.1)."""
_LEGAL: Final = "L"
"""Table 0200."""


def escape_text(text: str) -> str:
    """*text* with its delimiters and control characters escaped (2.7)."""
    return "".join(_escape_letter(letter) for letter in text)


def _escape_letter(letter: str) -> str:
    if letter in _ESCAPES:
        return f"\\{_ESCAPES[letter]}\\"
    return f"\\X{letter.encode().hex().upper()}\\" if unicodedata.category(letter) == "Cc" else letter


def split_lines(text: str) -> list[str]:
    """A TX: the lines of *text*, each a repetition of the field."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def format_nm(value: float) -> str:
    """An NM of four digits; it has no exponent."""
    return f"{Decimal(f'{value:.4g}'):f}"


def format_xpn(person_name: str) -> list[tuple[str, ...]]:
    """The repetitions of an XPN for a PN (PS3.5 6.2.1): each group one, with its representation.

    DICOM has prefix and suffix in this order, HL7 in the other.  A name in Latin letters alone needs no representation.
    """
    groups = [[part.strip() for part in group.split("^")] for group in person_name.split("=")]
    made: list[tuple[str, ...]] = []
    for group, place in zip(groups, _REPRESENTATIONS, strict=False):
        if any(group):
            family, given, middle, prefix, *suffixes = (*group, "", "", "", "")
            suffix = " ".join(filter(None, suffixes))
            written = "I" if place == "A" and person_names.is_chinese("".join(group)) else place
            made.append((family, given, middle, suffix, prefix, "", _LEGAL, written))
    if [one[-1] for one in made] != ["A"]:
        return made
    told = max(number for number, part in enumerate(made[0][:5], 1) if part)
    return [made[0][:told]]


def format_ts(date: str | None, time: str | None = None) -> str:
    """The TS of a DA and a TM, each also in the form of ACR-NEMA; as much of it as is valid, perhaps nothing.

    A TM may end after its hours or minutes, and so may a TS; after a year or a month no hour may come.
    """
    day = (date or "").strip().replace(".", "")
    if _DATE.fullmatch(day) is None or not _is_valid(day):
        return ""
    found = _TIME.fullmatch((time or "").strip().replace(":", ""))
    if found is None or len(day) < _DAY or not _is_valid(day + found[1]):
        return day
    return day + found[1]


def _is_valid(text: str) -> bool:
    try:
        datetime.strptime(text, _TIME_FORMS[len(text)])
    except ValueError:
        return False
    return True


VERSION: Final = "2.5.1"
SUFFIX: Final = ".hl7"
_MESSAGE_TYPE: Final = ("ORU", "R01", "ORU_R01")
_CHARACTERS: Final = "UNICODE UTF-8"
_CONTROL_ID: Final = 20
"""Characters of MSH-10."""
_APPLICATION: Final = 20
"""Characters of a name in MSH-3 and MSH-4 (HD.1)."""
_PROBABILITY: Final = coded_concepts.make_private_code("probability", "Probability")
_THRESHOLD: Final = coded_concepts.make_private_code("threshold", "Threshold of the operating point")

Components = str | tuple[str, ...]
"""A text, or its components."""
Field = Components | list[str] | list[tuple[str, ...]]
"""One field; a list of its repetitions where it may have several."""


@dataclass(frozen=True, slots=True)
class _Observation:
    """One OBX: its type, code, sub-id and value; `unit` of a number.  `rejected`: a doctor disagrees with it."""

    kind: str
    code: Code
    sub_id: int
    value: Field
    unit: Code | None = None
    rejected: bool = False


def build_message(view: CaseView, pdf: bytes | None = None) -> str:
    """The message, its segments ended by carriage returns; the same result gives the same text."""
    message = hl7.parse("MSH|^~\\&|\r")
    message[0] = _add_head(message, view)
    for segment in (_build_patient(view), _build_order(view), *_build_observations(view, pdf)):
        message.append(_build_segment(message, segment))
    return f"{message}".rstrip("\r") + "\r"


def _add_head(message: Any, view: CaseView) -> Any:
    uid = derive_uids(view).derive("hl7", view.version)
    control_id = hashlib.sha256(uid.encode()).hexdigest()[:_CONTROL_ID]
    fields: list[Field] = [
        "LANTERN",
        view.box[:_APPLICATION],
        "",
        "",
        _format_iso_time(view.made_at),
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
    return message.create_segment([*message[0][:3], *(_build_field(message, field) for field in fields)])


def _build_patient(view: CaseView) -> dict[int, Field]:
    patient = view.patient
    return {0: "PID", 1: "1", 3: patient.patient_id, 5: format_xpn(_choose_person_name(view)), 8: patient.sex or "U"}


def _choose_person_name(view: CaseView) -> str:
    """The patient's name with its components: as registered, as an image has it, or as a person wrote it."""
    shown = view.patient.name
    if view.person_name:
        return view.person_name
    for image in view.images:
        told = read_patient_name(image)
        if told and clean_text(patient_data.readable_name(told)) == shown:
            return told
    is_divided = any(delimiter in shown for delimiter in "^=")
    return (
        shown
        if is_divided or not person_names.is_chinese(shown)
        else "^".join(person_names.split_name(shown)).rstrip("^")
    )


def _build_order(view: CaseView) -> dict[int, Field]:
    signature = view.done
    times = (format_ts(header.study_date, header.study_time) for header in _list_headers(view))
    return {
        0: "OBR",
        1: "1",
        2: find_accession(view),
        3: view.case.reference or "",
        4: _format_code(TITLE),
        7: next(filter(None, times), ""),
        22: _format_iso_time(view.made_at),
        25: "F" if signature is not None else "P",
        32: signature.actor if signature is not None else "",
    }


def _build_observations(view: CaseView, pdf: bytes | None) -> Iterator[dict[int, Field]]:
    status = "F" if view.done is not None else "P"
    for count, one in enumerate(_list_observations(view, pdf), 1):
        yield {
            0: "OBX",
            1: str(count),
            2: one.kind,
            3: _format_code(one.code),
            4: str(one.sub_id),
            5: one.value,
            6: _format_code(one.unit) if one.unit is not None else "",
            11: "P" if one.rejected else status,
        }


def _list_observations(view: CaseView, pdf: bytes | None) -> Iterator[_Observation]:
    language, group = view.language, 0
    findings = view.case.findings
    for finding in findings:
        group += 1
        presence, rejected = (
            coded_concepts.PRESENT if finding.positive else coded_concepts.ABSENT,
            view.is_rejected(finding.code),
        )
        for said in view.opinions:
            if said.finding == finding.code:
                verdict = _format_code(coded_concepts.ASSESSMENTS[said.verdict])
                yield _Observation("CWE", coded_concepts.DOCTORS_ASSESSMENT, group, verdict)
        yield _Observation(
            "CWE", coded_concepts.code_finding(finding, finding.code), group, _format_code(presence), rejected=rejected
        )
        for code, share in ((_PROBABILITY, finding.probability), (_THRESHOLD, finding.threshold)):
            yield _Observation("NM", code, group, format_nm(100 * share), coded_concepts.PERCENT, rejected=rejected)
    for reading in view.case.readings:
        if reading.status is ReadingStatus.CANNOT_JUDGE and reading.reason is not None:
            group += 1
            yield _Observation("TX", coded_concepts.UNJUDGED, group, split_lines(reading.reason.text(language)))
    for count, lesion in enumerate(view.case.lesions, 1):
        group += 1
        found = next((finding for finding in findings if finding.code == lesion.finding), None)
        text, rejected = (
            case_text.describe_lesion(lesion, count, findings, language),
            view.is_rejected(lesion.finding),
        )
        yield _Observation(
            "TX", coded_concepts.code_finding(found, lesion.finding), group, split_lines(text), rejected=rejected
        )
    for sentence in list_sentences(view):
        group += 1
        yield _Observation("TX", TITLE, group, split_lines(sentence))
    if pdf is not None:
        yield _Observation("ED", TITLE, group + 1, ("", "application", "pdf", "Base64", base64.b64encode(pdf).decode()))


def _list_headers(view: CaseView) -> Iterator[Header]:
    return (image.header for image in view.images if image.header is not None)


def _format_code(code: Code) -> tuple[str, str, str]:
    return code.value, code.meaning, code.scheme_designator


def _build_segment(message: Any, fields: dict[int, Field]) -> Any:
    return message.create_segment([_build_field(message, fields.get(number, "")) for number in range(max(fields) + 1)])


def _build_field(message: Any, value: Field) -> Any:
    repetitions = value if isinstance(value, list) else [value]
    return message.create_field(
        [message.create_repetition(_split_components(message, repetition)) for repetition in repetitions]
    )


def _split_components(message: Any, value: Components) -> list[Any]:
    parts = [value] if isinstance(value, str) else value
    return [message.create_component([escape_text(part)]) for part in parts]


def _format_iso_time(text: str) -> str:
    """A TS (2.A.79) from ISO 8601."""
    at = datetime.fromisoformat(text)
    return f"{at:%Y%m%d%H%M%S%z}"

"""A case for an information system: FHIR R4 as fhir.resources has it, HL7 v2 as hl7apy has it, and nothing twice."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from fhir.resources.R4B.bundle import Bundle
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from firmware_app.exporting import hl7v2
from firmware_app.exporting.fhir import bundle
from firmware_app.exporting.fhir.coding import Json
from firmware_app.headers import identity
from firmware_app.reports.result import Result
from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.clinical.exports import Exports
from firmware_app.store.clinical.patient import Patient
from tests import films
from tests.results import PDF, result_of


@pytest.fixture
def result(tmp_path: Path) -> Result:
    film = films.save(tmp_path, "film.dcm", films.film(StudyDate="20261123", StudyTime="113000"))
    return result_of(film, tmp_path / "display")


def resources(made: Json, kind: str) -> list[Json]:
    return [one["resource"] for one in made["entry"] if one["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_a_bundle_is_valid_and_final_once_signed(tmp_path: Path, header: bool, signed: bool) -> None:
    """R4B differs from R4 in none of these resources (its appendix of changes)."""
    film = films.save(tmp_path, "film.dcm", films.film())
    made = bundle.bundle_of(result_of(film, tmp_path / "display", header=header, signed=signed), PDF)
    Bundle.model_validate(json.loads(bundle.text_of(made)))
    (report,) = resources(made, "DiagnosticReport")
    assert report["status"] == ("final" if signed else "preliminary")
    observed = resources(made, "Observation")
    assert {one["status"] for one in observed} == ({"final", "preliminary"} if signed else {"preliminary"})
    denied = {one["status"] for one in observed if one["code"]["coding"][0]["display"] == "Pneumonia"}
    assert denied == {"preliminary"}, "what the doctor denies is final in no resource"
    assert report.get("resultsInterpreter") == ([{"display": "李医生"}] if signed else None)


def test_a_bundle_says_what_the_report_says(result: Result) -> None:
    made = bundle.bundle_of(result, PDF)
    (report,), (study,) = resources(made, "DiagnosticReport"), resources(made, "ImagingStudy")
    assert report["subject"] == {"type": "Patient", "identifier": {"use": "usual", "value": "P-1"}, "display": "王小明"}
    assert "未经医生判断，不得用于诊断" in report["conclusion"]
    assert base64.b64decode(report["presentedForm"][0]["data"]) == PDF
    assert study["started"] == report["effectiveDateTime"] == "2026-11-23"
    pneumonia = next(one for one in resources(made, "Observation") if one["code"].get("text") == "肺炎征象")
    assert pneumonia["valueCodeableConcept"]["coding"][0]["display"] == "Present"
    *figures, verdict = pneumonia["component"]
    assert [one["valueQuantity"]["value"] for one in figures] == [93.0, 41.0]
    assert verdict["valueCodeableConcept"]["coding"][0]["code"] == "rejected"
    assert report["conclusion"].splitlines()[1] == "肺炎征象：不同意（李医生）"
    assert pneumonia["note"] == [{"text": "李医生: 不同意"}]
    lesion = next(one for one in resources(made, "Observation") if "12.3 mm" in one.get("valueString", ""))
    assert [one["valueQuantity"]["code"] for one in lesion["component"]] == ["%", "mm", "mm", "mm2"]
    assert any("dataAbsentReason" in one for one in resources(made, "Observation"))


def test_a_later_version_changes_the_same_resources_and_makes_none_anew(result: Result) -> None:
    first, later = (bundle.bundle_of(replace(result, version=number)) for number in (1, 2))
    asked = [[unquote(one["request"]["url"]) for one in made["entry"]] for made in (first, later)]
    assert asked[0] == asked[1]
    assert len(set(asked[0])) == len(asked[0])
    for one in first["entry"]:
        known = {f"{name['system']}|{name['value']}" for name in one["resource"]["identifier"] if "system" in name}
        assert unquote(one["request"]["url"]).split("identifier=")[1] in known
        assert one["request"]["method"] == "PUT"


def test_the_marks_of_a_clips_frames_are_one_lesion_and_one_that_has_gone_is_taken_back(
    result: Result, clinical: Clinical
) -> None:
    """Each reading has two marks; the case has one lesion, and later none."""
    exports = Exports(clinical.database)
    told = []
    for lesions in (result.case.lesions[:1], ()):
        case = replace(result.case, lesions=lesions)
        made = bundle.bundle_of(replace(result, case=case), None, exports.told_observations("c-1"))
        Bundle.model_validate(json.loads(bundle.text_of(made)))
        exports.note_observations("c-1", bundle.observations_in(made))
        told.append({one["fullUrl"]: one["resource"] for one in made["entry"]})
        assert sum("valueString" in one for one in resources(made, "Observation")) == len(lesions)
        message = hl7v2.message_of(replace(result, case=case))
        assert message.count("|TX|233604007^Pneumonia^SCT|") == len(lesions)
    first, later = told
    assert first.keys() == later.keys()
    gone = [url for url, one in later.items() if one.get("status") == "entered-in-error"]
    assert [first[url]["valueString"][:4] for url in gone] == ["病灶 1"]
    assert {one["status"] for one in first.values() if one["resourceType"] == "Observation"} == {"preliminary"}


@pytest.mark.parametrize("signed", [True, False])
def test_a_message_is_valid_by_the_standards_tables_and_final_once_signed(tmp_path: Path, signed: bool) -> None:
    film = films.save(tmp_path, "film.dcm", films.film())
    made = hl7v2.message_of(result_of(film, tmp_path / "display", signed=signed), PDF)
    message = parse_message(made, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    assert message.validate()
    assert message.msh.msh_9.value == "ORU^R01^ORU_R01"
    order = message.oru_r01_patient_result.oru_r01_order_observation
    status = "F" if signed else "P"
    assert order.obr.obr_25.value == status
    observed = [one.obx for one in order.oru_r01_observation]
    assert {one.obx_11.value for one in observed} == {status, "P"}
    denied = [one for one in observed if "Pneumonia" in one.obx_3.value]
    assert denied
    assert {one.obx_11.value for one in denied} == {"P"}, "what the doctor denies is final in no segment"
    (verdict,) = [one for one in observed if one.obx_3.value.startswith("assessment^")]
    assert (verdict.obx_5.value.split("^")[0], verdict.obx_11.value) == ("rejected", status)


def test_a_message_keeps_names_and_delimiters_whole(result: Result) -> None:
    identity.write({"accession": "A-77"}, Path(result.images[0].display))
    odd = replace(result, patient=Patient("𠮷^小|明&~\\", "P|1", "045Y", "M"))
    made = hl7v2.message_of(odd, PDF)
    segments = dict.fromkeys(line.split("|", 1)[0] for line in made.split("\r") if line)
    assert list(segments) == ["MSH", "PID", "OBR", "OBX"]
    message = parse_message(made, find_groups=False)
    assert made.split("\r")[1] == "PID|1||P\\F\\1||𠮷\\S\\小\\F\\明\\T\\\\R\\\\E\\|||M"
    assert message.obr.obr_2.value == "A-77"
    assert "|CWE|233604007^Pneumonia^SCT|1|52101004^Present^SCT|" in made
    assert f"^application^pdf^Base64^{base64.b64encode(PDF).decode()}|" in made
    assert made == hl7v2.message_of(odd, PDF)

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

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.exports import Exports
from firmware_app.cases.patients import DisplayedPatient, Patient
from firmware_app.dicom import patient_data
from firmware_app.results import fhir_bundle, hl7v2
from firmware_app.results.case_view import CaseView
from firmware_app.results.fhir_resources import Json
from tests import films
from tests.results import PDF, make_case_view


@pytest.fixture
def result(tmp_path: Path) -> CaseView:
    film = films.save(tmp_path, "film.dcm", films.film(StudyDate="20261123", StudyTime="113000"))
    return make_case_view(film, tmp_path / "display")


def resources(made: Json, kind: str) -> list[Json]:
    return [one["resource"] for one in made["entry"] if one["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_a_bundle_is_valid_and_final_once_signed(tmp_path: Path, header: bool, signed: bool) -> None:
    """R4B differs from R4 in none of these resources (its appendix of changes)."""
    film = films.save(tmp_path, "film.dcm", films.film())
    made = fhir_bundle.build_bundle(make_case_view(film, tmp_path / "display", header=header, signed=signed), PDF)
    Bundle.model_validate(json.loads(fhir_bundle.format_bundle(made)))
    (report,) = resources(made, "DiagnosticReport")
    assert report["status"] == ("final" if signed else "preliminary")
    observed = resources(made, "Observation")
    assert {one["status"] for one in observed} == ({"final", "preliminary"} if signed else {"preliminary"})
    denied = {one["status"] for one in observed if one["code"]["coding"][0]["display"] == "Pneumonia"}
    assert denied == {"preliminary"}, "what the doctor denies is final in no resource"
    assert report.get("resultsInterpreter") == ([{"display": "李医生"}] if signed else None)


def test_a_bundle_says_what_the_report_says(result: CaseView) -> None:
    made = fhir_bundle.build_bundle(result, PDF)
    (report,), (study,) = resources(made, "DiagnosticReport"), resources(made, "ImagingStudy")
    assert report["subject"] == {"type": "Patient", "identifier": {"use": "usual", "value": "P-1"}, "display": "王小明"}
    assert "未经医生判断，不得用于诊断" in report["conclusion"]
    assert base64.b64decode(report["presentedForm"][0]["data"]) == PDF
    assert study["started"] == report["effectiveDateTime"] == "2026-11-23"
    pneumonia = next(
        resource for resource in resources(made, "Observation") if resource["code"].get("text") == "肺炎征象"
    )
    assert pneumonia["valueCodeableConcept"]["coding"][0]["display"] == "Present"
    *figures, verdict = pneumonia["component"]
    assert [figure["valueQuantity"]["value"] for figure in figures] == [93.0, 41.0]
    assert verdict["valueCodeableConcept"]["coding"][0]["code"] == "rejected"
    assert report["conclusion"].splitlines()[1] == "肺炎征象：不同意（李医生）"
    assert pneumonia["note"] == [{"text": "李医生: 不同意"}]
    lesion = next(
        resource for resource in resources(made, "Observation") if "12.3 mm" in resource.get("valueString", "")
    )
    assert [one["valueQuantity"]["code"] for one in lesion["component"]] == ["%", "mm", "mm", "mm2"]
    assert any("dataAbsentReason" in resource for resource in resources(made, "Observation"))


def test_a_later_version_changes_the_same_resources_and_makes_none_anew(result: CaseView) -> None:
    first, later = (fhir_bundle.build_bundle(replace(result, version=number)) for number in (1, 2))
    asked = [[unquote(one["request"]["url"]) for one in made["entry"]] for made in (first, later)]
    assert asked[0] == asked[1]
    assert len(set(asked[0])) == len(asked[0])
    for one in first["entry"]:
        known = {f"{name['system']}|{name['value']}" for name in one["resource"]["identifier"] if "system" in name}
        assert unquote(one["request"]["url"]).split("identifier=")[1] in known
        assert one["request"]["method"] == "PUT"


def test_the_marks_of_a_clips_frames_are_one_lesion_and_one_that_has_gone_is_taken_back(
    result: CaseView, clinical: ClinicalDatabase
) -> None:
    """Each reading has two marks; the case has one lesion, and later none."""
    with clinical.database.transaction() as connection:
        connection.execute("INSERT INTO cases (reference, opened_at, touched) VALUES ('c-1', '', 0)")
    exports = Exports(clinical.database)
    told = []
    for lesions in (result.case.lesions[:1], ()):
        case = replace(result.case, lesions=lesions)
        made = fhir_bundle.build_bundle(replace(result, case=case), None, exports.list_sent_observations("c-1"))
        Bundle.model_validate(json.loads(fhir_bundle.format_bundle(made)))
        exports.note_observations("c-1", fhir_bundle.list_observations(made))
        told.append({one["fullUrl"]: one["resource"] for one in made["entry"]})
        assert sum("valueString" in resource for resource in resources(made, "Observation")) == len(lesions)
        message = hl7v2.build_message(replace(result, case=case))
        assert message.count("|TX|233604007^Pneumonia^SCT|") == len(lesions)
    first, later = told
    assert first.keys() == later.keys()
    gone = [url for url, one in later.items() if one.get("status") == "entered-in-error"]
    assert [first[url]["valueString"][:4] for url in gone] == ["病灶 1"]
    assert {one["status"] for one in first.values() if one["resourceType"] == "Observation"} == {"preliminary"}


@pytest.mark.parametrize("signed", [True, False])
def test_a_message_is_valid_by_the_standards_tables_and_final_once_signed(tmp_path: Path, signed: bool) -> None:
    film = films.save(tmp_path, "film.dcm", films.film())
    made = hl7v2.build_message(make_case_view(film, tmp_path / "display", signed=signed), PDF)
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


def test_a_message_keeps_names_and_delimiters_whole(result: CaseView) -> None:
    patient_data.write_identity({"accession": "A-77"}, Path(result.images[0].display))
    odd = replace(result, known=DisplayedPatient(Patient("𠮷^小|明&~\\", "P|^1", "045Y", "M")))
    made = hl7v2.build_message(odd, PDF)
    segments = dict.fromkeys(line.split("|", 1)[0] for line in made.split("\r") if line)
    assert list(segments) == ["MSH", "PID", "OBR", "OBX"]
    message = parse_message(made, find_groups=False)
    assert made.split("\r")[1] == "PID|1||P\\F\\\\S\\1||𠮷^小\\F\\明\\T\\\\R\\\\E\\^^^^^L^I|||M"
    assert message.obr.obr_2.value == "A-77"
    assert "|CWE|233604007^Pneumonia^SCT|1|52101004^Present^SCT|" in made
    assert f"^application^pdf^Base64^{base64.b64encode(PDF).decode()}|" in made
    assert made == hl7v2.build_message(odd, PDF)


def patient_segment(result: CaseView) -> list[str]:
    made = hl7v2.build_message(result, PDF)
    message = parse_message(made, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    assert message.validate()
    return made.split("\r")[1].split("|")


@pytest.mark.parametrize(
    ("person_name", "field"),
    [
        ("DOE^JANE^M", "DOE^JANE^M"),
        ("DOE", "DOE"),
        ("DOE^JANE", "DOE^JANE"),
        # PS3.5 6.2.1.1, example 1: prefix before suffix; XPN has them the other way round.
        ("Adams^John Robert Quincy^^Rev.^B.A. M.Div.", "Adams^John Robert Quincy^^B.A. M.Div.^Rev."),
        ("DOE^JANE^^Dr", "DOE^JANE^^^Dr"),
        ("O'NEIL & SON^A|B~C", "O'NEIL \\T\\ SON^A\\F\\B\\R\\C"),
        # PS3.5 H.3.1, and HL7 table 0465 (A, I, P) with 0200 (L).
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P"),
        ("WANG^XIAOMING=王^小明", "WANG^XIAOMING^^^^^L^A~王^小明^^^^^L^I"),
        ("=王^小明", "王^小明^^^^^L^I"),
        ("王^小明", "王^小明^^^^^L^I"),
        ("WANG==ワン", "WANG^^^^^^L^A~ワン^^^^^^L^P"),
    ],
)
def test_a_name_keeps_its_components_and_groups(tmp_path: Path, person_name: str, field: str) -> None:
    film = films.save(tmp_path, "film.dcm", films.film(PatientName=person_name, SpecificCharacterSet="ISO_IR 192"))
    shown = Patient(patient_data.readable_name(person_name), "P-1", "", "F")
    made = patient_segment(make_case_view(film, tmp_path / "display", known=DisplayedPatient(shown)))
    assert made[5] == field


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("欧阳锋", "欧阳^锋^^^^^L^I"),
        ("DOE JANE", "DOE JANE"),
        ("DOE^JANE^M", "DOE^JANE^M"),
        ("买买提·吐尔逊", "买买提·吐尔逊^^^^^^L^I"),
    ],
)
def test_a_name_that_a_person_wrote_replaces_that_of_the_image(result: CaseView, name: str, field: str) -> None:
    assert patient_segment(replace(result, known=DisplayedPatient(Patient(name, "P-1"))))[5] == field


def test_a_registered_name_has_its_groups(result: CaseView) -> None:
    tied = replace(result, known=DisplayedPatient(Patient("欧阳锋", "P-1")), person_name="OUYANG^FENG=欧阳^锋")
    assert patient_segment(tied)[5] == "OUYANG^FENG^^^^^L^A~欧阳^锋^^^^^L^I"
    assert tied.state == replace(tied, person_name="").state  # what was signed before stays as it is


@pytest.mark.parametrize(
    ("date", "time", "stamp"),
    [
        ("20261123", "10", "2026112310"),
        ("20261123", "1030", "202611231030"),
        ("20261123", "103000", "20261123103000"),
        ("20261123", "103000.123", "20261123103000"),
        ("2026.11.23", "10:30:00", "20261123103000"),
        ("20261123", "", "20261123"),
        ("20261123", None, "20261123"),
        ("20261123", "103", "20261123"),
        ("20261123", "2500", "20261123"),
        ("20261123", "1061", "20261123"),
        ("20261123", "10 30", "20261123"),
        ("2026", "10", "2026"),
        ("202611", "103000", "202611"),
        ("20261345", "10", ""),
        ("20260230", "", ""),
        ("0", "", ""),
        ("00000000", "000000", ""),
        ("20261123-20261124", "10", ""),
        ("２０２６１１２３", "10", ""),
    ],
)
def test_half_a_time_is_a_valid_time_stamp_or_none(result: CaseView, date: str, time: str | None, stamp: str) -> None:
    """TS is YYYY[MM[DD[HH[MM[SS]]]]] (HL7 2.5.1, chapter 2.A): nothing may be missing in between."""
    (image,) = result.images
    assert image.header is not None
    changed = replace(image, header=replace(image.header, study_date=date, study_time=time))
    made = hl7v2.build_message(replace(result, images=(changed,)))
    message = parse_message(made, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    assert message.validate()
    assert made.split("\rOBR|")[1].split("|")[6] == stamp


@pytest.mark.parametrize(
    ("letter", "sequence"),
    [
        ("\x01", "\\X01\\"),
        ("\r", "\\X0D\\"),
        ("\t", "\\X09\\"),
        ("\x1b", "\\X1B\\"),
        ("\x7f", "\\X7F\\"),
        ("\x85", "\\XC285\\"),
    ],
)
def test_a_control_character_is_escaped_as_its_bytes(result: CaseView, letter: str, sequence: str) -> None:
    """HL7 2.5.1, 2.7: hexadecimal data; of MSH-18, UNICODE UTF-8, the bytes."""
    assert patient_segment(replace(result, known=DisplayedPatient(Patient("X", f"P{letter}1"))))[3] == f"P{sequence}1"


def test_the_lines_of_a_text_are_repetitions_and_a_small_number_has_no_exponent(result: CaseView) -> None:
    """HL7 2.5.1, chapter 2.A: TX and NM."""
    (finding, *_), (reading, *others) = result.case.findings, result.case.readings
    tiny = replace(finding, probability=0.00000012, label={"en": "one\r\ntwo"})
    case = replace(result.case, readings=(replace(reading, findings=(tiny,)), *others), findings=(tiny,))
    made = hl7v2.build_message(replace(result, case=case, language="en", verdicts=()))
    assert "|0.000012|" in made
    assert "\n" not in made
    assert any("ne~two" in line and line.split("|")[2] == "TX" for line in made.split("\r") if line)

"""Images of one case contradict each other, and every form of the case names the same answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundImageStorage

from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock
from firmware_app.core.records import (
    Finding,
    Lesion,
    PackIdentity,
    Priority,
    Reading,
    ReadingStatus,
    Reason,
    Scope,
    Timing,
)
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.results import case_json, case_text, fhir_bundle, hl7v2, overview
from firmware_app.results.case_view import CaseView, gather_numbered_view
from firmware_app.results.dicom_objects import structured_report
from firmware_app.results.dicom_objects.result_context import load_context
from firmware_app.results.pdf import contents
from firmware_app.uplink import outbox
from tests import films
from tests.viewer import HTML, PASSWORD, Silent, post
from web.app import create_app

PACK = PackIdentity("liver-ultrasound", "1.0.0", "onnxruntime", "int8")
SUSPICIOUS, MASS = {"en": "Suspicious mass", "zh_CN": "可疑占位"}, {"en": "Mass", "zh_CN": "占位"}
THRESHOLD = 0.5
PICTURES = ((0.30, 0.80, 0.9), (0.62, 0.35, 0.8), (0.10, None, 0.2))
"""Of each image: how suspicious the picture is, how suspicious its lesion (None: no lesion), and the mass's score.

The first lesion alone is above the threshold where its picture is below it; in the second it is the other way round.
"""
ANSWER = {"malignant": (True, 0.62), "mass": (True, 0.9)}


@dataclass
class Desk:
    config: Config
    clinical: ClinicalDatabase
    case: str
    view: CaseView
    pages: dict[str, str]


def add_readings(clinical: ClinicalDatabase, case: str) -> None:
    """Give each image of *case* its reading; the last one could not be judged."""
    *judged, last = clinical.list_images(case)
    for number, (one, (picture, lesion, mass)) in enumerate(zip(judged, PICTURES, strict=True)):
        findings = (Finding("malignant", SUSPICIOUS, picture, THRESHOLD), Finding("mass", MASS, mass, THRESHOLD))
        box = (10.0 + 30 * number, 10.0, 40.0 + 30 * number, 40.0)
        tags = {"finding": "mass"}
        marks = (
            () if lesion is None else (Lesion(one.reference, 0, box, mass, tags=tags, chances={"malignant": lesion}),)
        )
        reading = Reading(
            Scope.INSTANCE,
            (one.reference,),
            ReadingStatus.READ,
            reason=None,
            pack=PACK,
            timing=Timing(1, 1, 2),
            findings=findings,
            lesions=tuple(marks),
        )
        clinical.finish(one, reading, Priority.SOON)
    unread = Reading(
        Scope.INSTANCE,
        (last.reference,),
        ReadingStatus.CANNOT_JUDGE,
        Reason("routing.no_pack"),
        pack=None,
        timing=Timing(1, 1, 2),
    )
    clinical.finish(last, unread, Priority.CANNOT_JUDGE)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("box")
    config = Config.model_validate({"state": {"dir": folder / "state"}, "box": {"language": "en"}})
    state = StateDir(config.state.dir)
    state.prepare()
    clinical, accounts = ClinicalDatabase(state.clinical_db), Accounts(state.accounts_db)
    clinical.create()
    accounts.create()
    door = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=64)
    case = ""
    for number in range(len(PICTURES) + 1):
        image = films.film(
            films.shapes(number),
            SOPClassUID=UltrasoundImageStorage,
            Modality="US",
            StudyInstanceUID="1.2.3",
            ViewPosition=None,
            PatientName="Li^Wei",
        )
        case = door.accept_file(films.save(folder, f"{number}.dcm", image)).case
    add_readings(clinical, case)
    clinical.close_revisions(0)
    doctor = create_app(config, state, clinical, accounts, Silent(None)).test_client()
    post(doctor, "/claim", code=accounts.add("li", Role.DOCTOR), password=PASSWORD, again=PASSWORD)
    pages = {path: doctor.get(path, headers=HTML).text for path in ("/", f"/case/{case}", f"/case/{case}/report")}
    yield Desk(config, clinical, case, gather_numbered_view(config, clinical, case), pages)
    clinical.database.close()
    accounts.database.close()


def strip_tags(page: str) -> str:
    """A page's text without its tags, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_the_view_decides_by_the_image_in_which_a_finding_is_strongest(desk: Desk) -> None:
    assert {finding.code: (finding.positive, finding.probability) for finding in desk.view.findings} == ANSWER
    assert [finding.code for finding in desk.view.findings] == ["mass", "malignant"]
    assert desk.view.reasons == (Reason("routing.no_pack"),)


def test_no_lesion_is_more_suspicious_than_its_case_and_one_is_as_suspicious(desk: Desk) -> None:
    chances = [lesion.chances["malignant"] for lesion in desk.view.case.lesions]
    assert max(chances) == pytest.approx(0.62)
    assert min(chances) == pytest.approx(0.62 * 0.35 / 0.80)
    assert [lesion.lesion for lesion in desk.view.marked_lesions] == list(desk.view.case.lesions)


def test_list_page_and_report_name_the_answer(desk: Desk) -> None:
    listed, page, report = (strip_tags(one) for one in desk.pages.values())
    assert "Mass 90% Suspicious mass 62%" in listed
    assert "Found Mass" in page
    assert "Found Suspicious mass" in page
    assert "Not found" not in page.replace("Not found does not mean", "")
    assert "Suspicious mass found 62%" in report
    for text in (page, report):
        assert "Suspicious mass: 0.62" in text


def test_text_and_tables_name_the_answer(desk: Desk) -> None:
    case = desk.clinical.load_case(desk.case)
    told = "Suspicious mass: found, 0.62 (threshold 0.50)"
    assert told in case_text.describe_case(case, "en")
    assert told in case_text.format_row(case, "en")
    assert told in overview.render_overview([case], lambda _: None, "en")
    table = [
        line for line in overview.format_csv([case], "en").splitlines() if ",malignant," in line and ",finding," in line
    ]
    assert [line.split(",malignant,")[1].split(",")[:2] for line in table] == [["found", "0.62"]]


def test_the_pdfs_source_names_the_answer(desk: Desk) -> None:
    told = contents.build_contents(desk.view, [], "en")
    assert told["findings"]["rows"] == [["Mass", "found", "90%", "50%"], ["Suspicious mass", "found", "62%", "50%"]]
    assert desk.view.reasons[0].text("en") in told["notes"]["lines"]


def test_json_names_the_answer_and_its_scores_agree(desk: Desk) -> None:
    said = json.loads(json.dumps(case_json.case_to_json(desk.clinical.load_case(desk.case), "en")))
    assert {one["code"]: (one["positive"], one["probability"]) for one in said["findings"]} == ANSWER
    assert said["scores"] == {code: probability for code, (_, probability) in ANSWER.items()}


def groups(report: Dataset) -> list[dict[str, Any]]:
    """The measurement groups of a structured report: name of each item -> its value."""
    (measurements,) = [one for one in report.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == "126010"]
    found = []
    for group in measurements.ContentSequence:
        items: dict[str, Any] = {}
        for one in group.ContentSequence:
            name = one.ConceptNameCodeSequence[0].CodeMeaning
            if one.ValueType == "CODE":
                items.setdefault(name, one.ConceptCodeSequence[0].CodeMeaning)
            elif one.ValueType == "NUM":
                items.setdefault(name, float(one.MeasuredValueSequence[0].NumericValue))
            elif one.ValueType == "TEXT":
                items.setdefault(name, one.TextValue)
        found.append(items)
    return found


def test_the_structured_report_names_the_answer_before_its_images(desk: Desk) -> None:
    made = groups(structured_report.make_report(load_context(desk.view)))
    whole = [one for one in made if one["Tracking Identifier"].startswith("case ")]
    assert made[: len(whole)] == whole
    said = {one["Finding"]: (one["Presence at the operating point"], one["Certainty of Finding"]) for one in whole}
    assert said == {"Suspicious mass": ("Present", 62.0), "Mass": ("Present", 90.0)}


def test_messages_name_the_answer_once(desk: Desk) -> None:
    bundle = fhir_bundle.build_bundle(desk.view)
    told = [one["resource"] for one in bundle["entry"] if "valueCodeableConcept" in one["resource"]]
    said = {one["code"]["text"]: one["valueCodeableConcept"]["coding"][0]["display"] for one in told}
    assert said == {"Suspicious mass": "Present", "Mass": "Present"}
    assert len(told) == 2
    lines = [line.split("|") for line in hl7v2.build_message(desk.view).split("\r") if line.startswith("OBX|")]
    found = [(line[3].split("^")[1], line[5].split("^")[1]) for line in lines if line[2] == "CWE"]
    assert sorted(found) == [("Mass", "Present"), ("Suspicious mass", "Present")]
    brief = outbox.make_brief(desk.clinical.load_case(desk.case), clock.stamp())
    assert [(finding.code, finding.hundredths) for finding in brief.findings] == [("mass", 90), ("malignant", 62)]

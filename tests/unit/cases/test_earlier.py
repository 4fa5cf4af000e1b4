"""Earlier studies: whose they are taken for, and what page and command show and let a person say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from firmware_app.appliance.checks import archives
from firmware_app.cases import registration_entry
from firmware_app.cases.accounts import Accounts, Role
from firmware_app.cases.earlier_studies import (
    EarlierStudies,
    FetchState,
    IdentityDoubt,
    PatientKey,
    StudyDescription,
    find_doubts,
)
from firmware_app.cases.registration_entry import OmissionReason
from firmware_app.cases.registrations import LEFT_OUT, Registrations
from firmware_app.cli import command_line
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.dicom.worklist import WorklistEntry
from tests.finished import admit_image, days_ago, film, open_state, read_all
from tests.viewer import HTML, PASSWORD, Silent, post
from web.app import create_app

OURS = PatientKey("QINGHE", "QH-7", "19580731", "M")
SAID = StudyDescription("1.2.9", "20250101", "CR", "Chest", 2, "王小明", "QH-7", "", "19580731", "M", ("issuer",))


@pytest.mark.parametrize(
    ("ours", "theirs", "doubtful"),
    [
        (OURS, OURS, ()),
        (OURS, replace(OURS, sex=""), ()),
        (OURS, replace(OURS, sex="F"), (IdentityDoubt.SEX,)),
        (replace(OURS, issuer=""), replace(OURS, issuer=""), (IdentityDoubt.ISSUER,)),
        (OURS, replace(OURS, number="QH-70"), (IdentityDoubt.NUMBER,)),
        (replace(OURS, birth_date=""), replace(OURS, birth_date=""), (IdentityDoubt.BIRTH_DATE,)),
    ],
)
def test_only_a_known_and_equal_issuer_number_and_birth_date_are_the_same_patients(
    ours: PatientKey, theirs: PatientKey, doubtful: tuple[IdentityDoubt, ...]
) -> None:
    assert find_doubts(ours, theirs) == doubtful


def test_an_equal_placeholder_is_no_equal_birth_date() -> None:
    unknown = replace(OURS, birth_date="19000101")
    assert find_doubts(unknown, unknown) == (IdentityDoubt.BIRTH_DATE,)


def test_the_clinics_issuer_stands_in_where_an_image_names_none() -> None:
    assert find_doubts(replace(OURS, issuer="").with_issuer("QINGHE"), OURS) == ()
    assert find_doubts(OURS, replace(OURS, issuer="COUNTY").with_issuer("QINGHE")) == (IdentityDoubt.ISSUER,)


def test_page_and_command_show_what_is_doubtful_and_a_person_says_that_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, clinical, door = open_state(tmp_path / "state")
    case = admit_image(door, film(tmp_path / "films", 1), days_ago(0))
    read_all(state, clinical)
    for name, value in (
        ("STATE__DIR", str(state.root)),
        ("BOX__LANGUAGE", "en"),
        ("PACS__HOST", "10.0.0.5"),
        ("PACS__AE_TITLE", "ARCHIVE"),
        ("PACS__QUERY", "true"),
    ):
        monkeypatch.setenv(f"LANTERN_{name}", value)
    pacs = {"host": "10.0.0.5", "ae_title": "ARCHIVE", "query": True}
    config = Config.model_validate({"state": {"dir": state.root}, "box": {"language": "en"}, "pacs": pacs})
    accounts = Accounts(state.accounts_db)
    accounts.create()
    doctor = create_app(config, state, clinical, accounts, Silent(None)).test_client()
    assert post(doctor, "/claim", code=accounts.add("li", Role.DOCTOR), password=PASSWORD, again=PASSWORD)
    assert "has not been searched" in doctor.get(f"/case/{case}", headers=HTML).text

    known = EarlierStudies(clinical.database)
    assert post(doctor, f"/case/{case}/earlier").status_code == 302
    assert known.list_requested() == [case]
    known.record_found(case, "pacs", [SAID, replace(SAID, study_uid="1.2.10", doubts=())])
    known.record_search(case, None)
    assert command_line.main(["case", "earlier", case, "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["state"], one["doubts"], one["name"]) for one in told] == [
        ("found", ["issuer"], "王小明"),
        ("wanted", [], "王小明"),
    ]
    page = doctor.get(f"/case/{case}", headers=HTML).text
    assert "perhaps another patient: not the same or not known is the issuer of the patient number." in page
    assert "2025-01-01" in page
    number = told[0]["number"]
    assert post(doctor, f"/case/{case}/earlier/{number}").status_code == 302
    assert {one.state for one in known.list_for_case(case)} == {FetchState.WANTED}
    assert post(doctor, f"/case/{case}/earlier/99").status_code == 404
    accounts.database.close()
    clinical.database.close()


def test_an_entry_of_the_hospital_without_a_number_a_name_or_a_known_machine_is_none() -> None:
    said = {
        registration_entry.ACCESSION: "A-1",
        registration_entry.NAME: "LI^NA=李^娜",
        registration_entry.PATIENT_ID: "H-1",
        registration_entry.BIRTH_DATE: "19800102",
        registration_entry.SEX: "F",
        registration_entry.STUDY: "1.2.3",
        registration_entry.PROCEDURE_ID: "R-1",
    }
    step = {
        registration_entry.MODALITY: "DX",
        registration_entry.START_DATE: "20261124",
        registration_entry.START_TIME: "0930",
        registration_entry.STEP: "胸部",
    }
    today = date(2026, 11, 24)
    one = registration_entry.parse_worklist_entry(said, step, "RIS", today)
    assert isinstance(one, WorklistEntry)
    assert (one.accession, one.name, one.age, one.scheduled, one.examination) == (
        "A-1",
        "李娜",
        "046Y",
        "20261124093000",
        "xray",
    )
    without = registration_entry.parse_worklist_entry(
        {**said, registration_entry.ACCESSION: "", registration_entry.BIRTH_DATE: "31.7.1958"}, step, "RIS", today
    )
    assert isinstance(without, WorklistEntry)
    assert (without.accession, without.birth_date, without.age) == ("R-1", "", "")
    placeholder = registration_entry.parse_worklist_entry(
        {**said, registration_entry.BIRTH_DATE: "19000101", registration_entry.AGE: "126Y"}, step, "RIS", today
    )
    assert isinstance(placeholder, WorklistEntry)
    assert (placeholder.birth_date, placeholder.age) == ("", "")
    for tag, value, reason in (
        (registration_entry.PATIENT_ID, "", OmissionReason.PATIENT),
        (registration_entry.PATIENT_ID, "H" * 65, OmissionReason.PATIENT),
        (registration_entry.NAME, "", OmissionReason.NAME),
        (registration_entry.STUDY, "no UID", OmissionReason.STUDY),
        (registration_entry.ACCESSION, "x" * 17, OmissionReason.ACCESSION),  # SH has 16 characters (PS3.5 6.2)
        (registration_entry.ACCESSION, "检查1", OmissionReason.ACCESSION),
    ):
        assert registration_entry.parse_worklist_entry({**said, tag: value}, step, "RIS", today) is reason
    for tag, value, reason in (
        (registration_entry.MODALITY, "ECG", OmissionReason.MODALITY),
        (registration_entry.START_DATE, "", OmissionReason.DATE),
    ):
        assert registration_entry.parse_worklist_entry(said, {**step, tag: value}, "RIS", today) is reason


def test_entries_that_are_left_out_are_said_by_their_reason(tmp_path: Path) -> None:
    state, clinical, _ = open_state(tmp_path / "state")
    config = Config.model_validate({"worklist": {"hospital": {"host": "127.0.0.1", "ae_title": "RIS"}}})
    known = Registrations(clinical.database)
    known.record_query("RIS", 3, Reason(LEFT_OUT, {OmissionReason.ACCESSION: 2, OmissionReason.MODALITY: 1}))
    checks = list(archives.examine(config, state))
    assert [(check.result, check.reason.code, check.reason.details) for check in checks] == [
        ("ok", "worklist.tells", {"worklist": "RIS", "patients": 3}),
        ("warn", "worklist.left_out", {"worklist": "RIS", "count": 2, "cause": "accession"}),
        ("ok", "worklist.left_out", {"worklist": "RIS", "count": 1, "cause": "modality"}),
    ]
    assert "longer than 16 characters" in checks[1].reason.text("en")
    known.record_query("RIS", 5, None)  # they were corrected
    assert [check.reason.code for check in archives.examine(config, state)] == ["worklist.tells"]
    clinical.database.close()

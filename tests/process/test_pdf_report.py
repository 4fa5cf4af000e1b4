"""A report as a person gets it: from the page, from the console, and the same file for as long as it is signed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.cases import result_versions
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.patients import Patients
from firmware_app.cli.command_line import main
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir
from firmware_app.ingest.intake import ImageIntake
from firmware_app.results import rendering
from firmware_app.results.case_view import gather_numbered_view
from tests import exporting_rig, films, printed, viewer
from tests.exporting_rig import Box
from tests.results import add_reading

box, desk = exporting_rig.box, viewer.desk


@pytest.fixture(scope="module", autouse=True)
def _font() -> None:
    printed.need_font()


@pytest.fixture
def signed(tmp_path: Path, state: StateDir, clinical: ClinicalDatabase) -> tuple[Config, str]:
    """A box with one case that a doctor has finished."""
    config = Config.model_validate({"state": {"dir": state.root}, "box": {"name": "Clinic"}})
    door = ImageIntake(state, clinical, high_water_free_mb=16, max_object_mb=64)
    case = door.accept_file(films.save(tmp_path, "one.dcm", films.film())).case
    add_reading(clinical, case)
    clinical.database.connection.execute("UPDATE instances SET state = 'done'")
    CaseLists(clinical).finish(case, "li")
    return config, case


def test_what_a_doctor_has_signed_is_the_same_file_after_an_upgrade_and_under_a_new_name(
    signed: tuple[Config, str], clinical: ClinicalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, case = signed
    before = rendering.render_pdf(config, gather_numbered_view(config, clinical, case), "en")
    assert "Signedattheboxbyli" in printed.extract_text(before)
    monkeypatch.setattr("firmware_app.results.case_view.version", lambda: "9.9")
    renamed = config.model_copy(update={"box": config.box.model_copy(update={"name": "Another"})})
    after = gather_numbered_view(renamed, clinical, case)
    assert (after.version, after.box) == (1, "Clinic")
    monkeypatch.setattr("firmware_app.results.rendering._render_report", lambda *_: pytest.fail("it was made again"))
    assert rendering.render_pdf(renamed, after, "en") == before


def test_a_change_after_the_signature_is_a_new_version_and_the_earlier_one_stays(
    signed: tuple[Config, str], state: StateDir, clinical: ClinicalDatabase
) -> None:
    config, case = signed
    before = rendering.render_pdf(config, gather_numbered_view(config, clinical, case), "en")
    patients = Patients(clinical, state)
    patients.correct(case, replace(patients.load_displayed(case).patient, name="Li Wei"), "li")
    after = printed.extract_text(rendering.render_pdf(config, gather_numbered_view(config, clinical, case), "en"))
    assert "Version2of" in after
    assert "itreplacestheearlierones" in after
    first, second = sorted((state.root / result_versions.REPORTS_FOLDER / case).iterdir())
    assert (first.name[:4], second.name[:4]) == ("0001", "0002")
    assert first.read_bytes() == before


def test_a_report_leaves_the_console_by_a_named_person_and_is_not_written_over(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    add_reading(box.clinical, box.case)
    out = box.stick / "report.pdf"
    command = ["case", "report", box.case, "--pdf", str(out)]
    assert main(command) == 1
    assert "report.person" in capsys.readouterr().err
    assert main([*command, "--person", "li"]) == 0
    assert "ZhangSan" in printed.extract_text(out.read_bytes())
    assert [(one.action, one.details["account"], one.details["report"]) for one in box.read_export_audit()] == [
        ("export.begun", "li", 1),
        ("export.done", "li", 1),
    ]
    assert main([*command, "--person", "li"]) == 1
    assert "export.there" in capsys.readouterr().err
    assert [path.name for path in box.stick.iterdir()] == ["report.pdf"]

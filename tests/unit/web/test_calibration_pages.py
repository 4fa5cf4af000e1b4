"""The pages of local calibration: what they show, who may decide, and a table of outcomes."""

from __future__ import annotations

import html
import io
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from firmware_app.cases.accounts import Role
from firmware_app.cases.audit import Audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmations, Source, Truth
from firmware_app.core.records import LocalState
from tests import toy_pack
from tests.local_films import FINDING, MACHINE, PLACE, binormal, read_image
from tests.unit.monitoring.test_drift import watch
from tests.viewer import HTML, Desk, post, token

NAMED = {"pack": PLACE.pack, "version": PLACE.version, "machine": PLACE.machine, "finding": FINDING}


@pytest.fixture
def clinic(desk: Desk, tmp_path: Path) -> Desk:
    """A desk with the pack that has read the films."""
    packs = tmp_path / "packs"
    toy_pack.write(packs, "toy-child", "children", 1, 5)
    named = desk.config.packs.model_copy(update={"dir": packs})
    desk.config = desk.config.model_copy(update={"packs": named})
    desk.app = desk.restarted()
    return desk


def confirm(clinical: ClinicalDatabase, auc: float, films: int) -> None:
    says = Confirmations(clinical.database)
    for number, (score, truth) in enumerate(binormal(films, auc)):
        case = read_image(clinical, number, score)
        if says.find_requests(case):
            says.confirm(case, FINDING, Truth.POSITIVE if truth else Truth.NEGATIVE, Source.LABORATORY, "li")


def figures(client: FlaskClient, **stated: str) -> str:
    return client.get("/calibration/figures", query_string=NAMED | stated, headers=HTML).text


def field(page: str, name: str) -> str:
    """The value of the field *name* of the suggestion, or of the proposal."""
    return page.split(f'name="{name}" value="')[1].split('"')[0]


def test_a_provisional_model_says_what_is_not_known_and_how_many_films_are_missing(clinic: Desk) -> None:
    read_image(clinic.clinical, 1, 0.9)
    technician = clinic.person("wu", Role.TECHNICIAN)
    assert MACHINE.name in technician.get("/calibration", headers=HTML).text
    page = " ".join(figures(technician).split())
    needed = "± 12 points: 26 more films with the finding."
    for words in ("provisional", "not known yet", needed, "They are drawn when"):
        assert words in page, words
    assert technician.get("/calibration/figures", query_string=NAMED | {"machine": "m-none"}).status_code == 404


def test_a_doctor_and_a_technician_calibrate_a_model_and_one_click_goes_back(clinic: Desk) -> None:
    confirm(clinic.clinical, 0.9, 150)
    technician, doctor = clinic.person("wu", Role.TECHNICIAN), clinic.person("li")
    page = figures(technician, miss_costs="10", prevalence="20")
    assert page.count("<polyline points=") == 2
    stated = {name: field(page.split('id="suggestion"')[1], name) for name in ("threshold", "miss_costs", "prevalence")}
    assert post(technician, "/calibration/propose", **NAMED, **stated).status_code == 302
    content = field(figures(doctor), "content")
    assert post(technician, "/calibration/agree", **NAMED, content=content).status_code == 409
    assert post(doctor, "/calibration/agree", **NAMED, content=content).status_code == 302
    assert "In force since" in figures(doctor)
    assert post(doctor, "/calibration/undo", **NAMED).status_code == 302
    assert "It works with its own threshold" in figures(doctor)
    assert post(doctor, "/calibration/undo", **NAMED).status_code == 409


def test_a_threshold_set_without_confirmed_results_says_so_and_one_click_goes_back(clinic: Desk) -> None:
    assert clinic.config.packs.dir is not None
    toy_pack.set_usual_scores(clinic.config.packs.dir / "toy-child")
    for number in range(50):
        read_image(clinic.clinical, number, (0.5, 0.8)[number % 2], following=True)
    technician = clinic.person("wu", Role.TECHNICIAN)
    said = "Threshold set from 50 films of this machine, without confirmed results"
    assert said in technician.get("/calibration", headers=HTML).text
    page = html.unescape(" ".join(figures(technician).split()))
    for words in (said, "In force: 66.7%; the model's own: 50.0%.", f'id="standing">{LocalState.PROVISIONAL}'):
        assert words in page, words
    assert post(technician, "/calibration/undo", **NAMED).status_code == 302
    entry = Audit(clinic.clinical.database).latest(1)[0]
    assert (entry.action, entry.actor, entry.details["machine"]) == ("calibration.undone", "wu", PLACE.machine)
    assert "It works with its own threshold, 50.0%" in figures(technician)
    assert said not in technician.get("/calibration", headers=HTML).text
    assert post(technician, "/calibration/undo", **NAMED).status_code == 409


def test_a_suggestion_needs_films_of_both_kinds_and_a_sound_cost(clinic: Desk) -> None:
    read_image(clinic.clinical, 1, 0.9)
    doctor = clinic.person("li")
    assert "Too few films are confirmed" in figures(doctor, miss_costs="10")
    for wrong in ({"miss_costs": "0"}, {"miss_costs": "nan"}, {"miss_costs": "ten"}, {"prevalence": "100"}):
        assert doctor.get("/calibration/figures", query_string=NAMED | wrong).status_code == 400, wrong


def post_table(client: FlaskClient, table: bytes) -> TestResponse:
    data = {"csrf_token": token(client, "/claim"), "table": (io.BytesIO(table), "register.csv")}
    return client.post("/calibration/outcomes", data=data, headers=HTML)


def test_a_table_is_taken_whole_or_each_bad_line_is_named(clinic: Desk) -> None:
    first, second = read_image(clinic.clinical, 1, 0.9), read_image(clinic.clinical, 2, 0.9)
    doctor, says = clinic.person("li"), Confirmations(clinic.clinical.database)
    bad = post_table(doctor, f"病例,结果\n{first},阳性\n{second},perhaps\n".encode("gb18030"))
    assert bad.status_code == 422
    assert "Line 3: Its outcome is none of" in bad.text
    assert says.list_for_case(first) == ()
    rows = f"case,outcome,source\n{first},positive,lab\n{second},0,referral\n" + "," * 70_000
    taken = post_table(doctor, rows.encode())
    assert "Outcomes added: 2" in taken.text
    assert [one.source for one in says.list_for_case(second)] == [Source.REFERRAL]
    assert post_table(doctor, b"what,ever\n").status_code == 422
    assert post_table(doctor, b"case,outcome\n" + b"," * 300_000).status_code == 413


def test_only_doctors_see_whose_films_are_asked_for(clinic: Desk) -> None:
    case = read_image(clinic.clinical, 1, 0.9)
    assert f"/case/{case}" in clinic.person("li").get("/calibration", headers=HTML).text
    told = clinic.person("wu", Role.TECHNICIAN).get("/calibration", headers=HTML).text
    assert "1 case waits for a doctor" in told
    assert case not in told
    for path in ("/calibration", "/calibration/outcomes"):
        assert clinic.person(f"an{len(path)}", Role.AUDITOR).get(path, headers=HTML).status_code == 403


def test_the_box_page_names_the_machine_whose_films_have_changed(clinic: Desk) -> None:
    watch(clinic.clinical, 300, 0.2, 0.0, 1.0, seed=1)
    technician = clinic.person("wu", Role.TECHNICIAN)
    assert "300 of 400 images" in technician.get("/box", headers=HTML).text
    watch(clinic.clinical, 250, 0.2, 0.5, 1.0, seed=2)
    page = technician.get("/box", headers=HTML).text
    watched = page.split('id="watched"')[1]
    assert MACHINE.name in watched
    assert "without a number: at first" in watched

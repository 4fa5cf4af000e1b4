"""The first page of a new box: who may open it, what it asks, and when it is gone."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from firmware_app.appliance import (
    first_code_screen,
    preparation,
    provisioning_file,
    provisioning_request,
    provisioning_service,
)
from firmware_app.appliance.first_start import IdentityPaths
from firmware_app.cases.accounts import Accounts
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.uplink.messages.credentials import load_bundle
from firmware_app.uplink.messages.enrolment import EnrolCall
from hospital import new_boxes
from hospital.hospital_site import HospitalSite
from tests.shelf import Box
from tests.viewer import Silent
from web.app import create_app

HTML = {"Accept": "text/html"}
ANSWERS = {
    "language": "en",
    "clinic": "Clear River",
    "box": "clinic-7",
    "zone": "Asia/Shanghai",
    "ae_title": "LANTERN",
    "calling": "",
}


class New(Box):
    """It is installed and started."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, '[box]\nlanguage = "en"\n')
        self.state.provision.mkdir()
        self.clinical, self.accounts = ClinicalDatabase(self.state.clinical_db), Accounts(self.state.accounts_db)
        self.clinical.create()
        self.accounts.create()

    def app(self) -> Flask:
        """The viewer as it is after a start."""
        return create_app(self.config, self.state, self.clinical, self.accounts, Silent(None))


@pytest.fixture
def new(tmp_path: Path) -> Iterator[New]:
    made = New(tmp_path)
    yield made
    made.clinical.database.close()
    made.accounts.database.close()


def post(client: FlaskClient, page: str, source: str = "/setup", **form: object) -> TestResponse:
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(source, headers=HTML).text)
    assert token
    return client.post(page, data={"csrf_token": token[1], **form}, headers=HTML, content_type="multipart/form-data")


def open_questions(new: New) -> FlaskClient:
    client = new.app().test_client()
    code = first_code_screen.make_screen_text(new.config).split()[-1]
    assert post(client, "/setup", code=code).location == "/setup/questions"
    return client


def test_whoever_opens_a_new_box_comes_to_its_first_page(new: New) -> None:
    client = new.app().test_client()
    for page in ("/", "/login", "/claim"):
        answer = client.get(page, headers=HTML)
        assert (answer.status_code, answer.location) == (302, "/setup")
    assert "clinic" not in client.get("/setup", headers=HTML).text.lower().partition("<main")[2]
    assert client.get("/setup/questions", headers=HTML).location == "/setup"


def test_nobody_passes_without_the_code_and_nobody_guesses_for_long(new: New) -> None:
    client = new.app().test_client()
    code = first_code_screen.make_screen_text(new.config).split()[-1]
    for _ in range(5):
        assert post(client, "/setup", code="2222-2222-2222").status_code == 400
    assert post(client, "/setup", code=code).status_code == 429
    assert client.get("/setup/questions", headers=HTML).location == "/setup"
    assert not provisioning_request.is_waiting(new.state)


def test_wrong_answers_are_told_beside_their_questions_and_nothing_is_asked_of_root(new: New) -> None:
    client = open_questions(new)
    wrong = {**ANSWERS, "box": "Clinic 7", "zone": "Asia/Nowhere", "hospital": "{}"}
    answer = post(client, "/setup/questions", "/setup/questions", **wrong)
    assert answer.status_code == 400
    assert "“Clinic 7” cannot be" in answer.text
    assert "is not a time zone" in answer.text
    assert "hospital" in answer.text
    assert 'value="Clear River"' in answer.text
    assert not provisioning_request.is_waiting(new.state)


def test_a_hospital_counts_only_after_its_fingerprint_was_compared(new: New, house: HospitalSite) -> None:
    client = open_questions(new)
    file = house.bundle_file.read_bytes()
    asked = post(
        client, "/setup/questions", "/setup/questions", **ANSWERS, hospital_file=(io.BytesIO(file), "hospital.json")
    )
    assert house.load_bundle().fingerprint in asked.text
    assert not provisioning_request.is_waiting(new.state)
    text = file.decode()
    for same in ("", "0000 0000 0000 0000"):
        post(client, "/setup/questions", "/setup/questions", **ANSWERS, hospital=text, same=same)
        assert not provisioning_request.is_waiting(new.state)
    lines = "\r\n".join(text[at : at + 64] for at in range(0, len(text), 64))  # as a chat sent it
    answer = post(
        client, "/setup/questions", "/setup/questions", **ANSWERS, hospital=lines, same=house.load_bundle().fingerprint
    )
    assert answer.location == "/setup/outcome"
    assert "Refresh" in client.get("/setup/outcome", headers=HTML).headers
    result = new.process_request()
    assert result.reason.code == provisioning_service.DONE
    done = new.app().test_client()  # the viewer was started again; the browser has kept its cookie
    for cookie in (client._cookies or {}).values():
        done.set_cookie(cookie.key, cookie.value, domain="localhost", path="/")
    page = done.get("/setup/outcome", headers=HTML).text
    assert result.fingerprint in page
    assert "<svg" in page
    saved = done.get("/setup/box.json")
    assert house.enrol(_write_file(new, saved.data))[0].box == "clinic-7"
    assert new.app().test_client().get("/setup/outcome", headers=HTML).status_code == 404  # nobody else sees it
    assert new.app().test_client().get("/setup/box.json").status_code == 404


def _write_file(new: New, data: bytes) -> Path:
    path = new.file.parent / "saved.json"
    path.write_bytes(data)
    return path


def test_the_label_of_a_file_from_a_stick_is_enough(new: New, house: HospitalSite, tmp_path: Path) -> None:
    (made,) = new_boxes.write_provisioning_files(
        house, "l", [(2, {"box": "clinic-9", "clinic": "西河卫生院"})], tmp_path / "o", 30
    )
    assert list(provisioning_file.offer_from_stick(made.file.parent, new.config, new.places))
    client = new.app().test_client()
    assert post(client, "/setup", code="2222-2222-2222").status_code == 400
    assert post(client, "/setup", code=made.code).location == "/setup/outcome"
    result = new.process_request()
    assert result.box == "clinic-9"
    assert new.config.box.name == "西河卫生院"
    claim = new.accounts.find_claim(made.code)
    assert claim is not None
    assert claim.user is None


def test_the_page_is_gone_for_good(new: New) -> None:
    """With an identity, with the first account, and wherever the software was only started, not installed."""
    password = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA"
    code = first_code_screen.make_screen_text(new.config).split()[-1]
    before = new.app()
    new.accounts.redeem(code, "chen", password)
    for app in (before, new.app()):
        assert app.test_client().get("/setup", headers=HTML).status_code == 404
    assert first_code_screen.make_screen_text(new.config) == ""


def test_with_the_brokers_address_and_the_labels_code_the_box_asks_to_be_enrolled(new: New) -> None:
    client = open_questions(new)
    asked = {**ANSWERS, "line": "mqtt.hospital.example", "label": "2345-6789-ABCD"}
    for wrong in ({"label": "2345"}, {"label": ""}, {"line": "two words"}):
        assert post(client, "/setup/questions", "/setup/questions", **{**asked, **wrong}).status_code == 400
    assert post(client, "/setup/questions", "/setup/questions", **asked).location == "/setup/outcome"
    places = IdentityPaths.from_config(new.config, new.state.root / "lantern.toml")
    result = provisioning_service.answer_request(new.config, places)
    assert result is not None
    assert result.asks
    call = load_bundle(new.state.enrol_call, EnrolCall)
    assert (call.host, call.port, call.request.box.box) == ("mqtt.hospital.example", 8883, "clinic-7")
    call.request.check_proof("2345 6789 abcd")
    assert "its label is typed" in client.get("/setup/outcome", headers=HTML).text
    preparation.migrate_databases(new.state)
    preparation.migrate_databases(new.state)  # at each start, and yet told once
    entries = new.clinical.database.connection.execute("SELECT action FROM audit WHERE action LIKE 'enrolment.%'")
    assert [row["action"] for row in entries] == ["enrolment.asked"]

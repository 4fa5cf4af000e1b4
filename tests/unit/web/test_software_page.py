"""The page of the box's software: what it shows to whom, and a file that comes piece by piece and is handed to root."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from firmware_app.appliance import software_record, software_requests
from firmware_app.appliance.errors import SOFTWARE_LEFT, SOFTWARE_NOT_SIGNED
from firmware_app.appliance.software_bundle import InstalledSystem
from firmware_app.appliance.software_requests import PIECE_BYTES, SoftwareRequest
from firmware_app.cases.accounts import Role
from firmware_app.cases.audit import Audit
from firmware_app.core import run_status
from firmware_app.core.settings import Config
from tests.viewer import HTML, Desk, post, token

BOX = InstalledSystem("lantern-x86_64", "0.3.0", "A")
NAME = "lantern-0.4.0.raucb"


@pytest.fixture
def flashed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("firmware_app.appliance.software_bundle.read_installed_system", lambda: BOX)
    desk.state.software.mkdir()
    return desk


def post_piece(client: FlaskClient, path: str, data: bytes) -> TestResponse:
    headers = {"X-CSRFToken": token(client, "/claim"), "Accept": "application/json"}
    return client.post(path, data=data, content_type="application/octet-stream", headers=headers)


def upload(client: FlaskClient, data: bytes, size: int = PIECE_BYTES) -> str:
    """As the page's script does; returns the token."""
    answer = post(client, "/software/upload", name=NAME, size=str(len(data)))
    assert answer.status_code == 200, answer.text
    made, at = answer.json["token"], 0  # type: ignore[index]
    while at < len(data):
        at = post_piece(client, f"/software/upload/{made}/{at}", data[at : at + size]).json["at"]  # type: ignore[index]
    return str(made)


def test_a_file_that_came_in_pieces_is_handed_to_root_and_audited_under_the_person(flashed: Desk) -> None:
    technician, data = flashed.person("zhou", Role.TECHNICIAN), os.urandom(3 * PIECE_BYTES + 5)
    made = upload(technician, data)
    done = post(technician, f"/software/upload/{made}/done", size=str(len(data)), again="yes")
    assert done.json == {"page": "/software"}
    assert (flashed.state.software / "upload.raucb").read_bytes() == data
    assert "asked; this takes a few seconds" in technician.get("/software", headers=HTML).text
    assert software_requests.take_request(flashed.state) == SoftwareRequest("upload", again=True)
    assert ("zhou", "software.asked") in [(one.actor, one.action) for one in Audit(flashed.clinical.database).latest(9)]


def test_a_piece_larger_than_agreed_is_refused_and_a_lost_one_may_come_again(flashed: Desk) -> None:
    technician = flashed.person("zhou", Role.TECHNICIAN)
    made = post(technician, "/software/upload", name=NAME, size="1000000").json["token"]  # type: ignore[index]
    assert post_piece(technician, f"/software/upload/{made}/0", b"x" * (PIECE_BYTES + 1)).status_code == 413
    assert post_piece(technician, f"/software/upload/{made}/0", b"x" * 100).json == {"at": 100}
    assert post_piece(technician, f"/software/upload/{made}/0", b"x" * 100).json == {"at": 100}
    short = post(technician, f"/software/upload/{made}/done", size="1000000")
    assert (short.status_code, short.json["code"]) == (409, "software.upload_broken")  # type: ignore[index]
    assert not software_requests.is_request_waiting(flashed.state)


@pytest.mark.parametrize(("name", "size"), [("film.dcm", "9000"), (NAME, "-1"), (NAME, "9" * 11), (NAME, "")])
def test_what_is_no_such_file_is_refused_with_a_sentence(flashed: Desk, name: str, size: str) -> None:
    technician = flashed.person("zhou", Role.TECHNICIAN)
    answer = post(technician, "/software/upload", name=name, size=size)
    assert (answer.status_code, answer.json["code"]) == (409, "software.upload_form")  # type: ignore[index]


def test_only_a_technician_renews_the_box_and_no_other_sites_page(flashed: Desk) -> None:
    doctor, auditor = flashed.person("li"), flashed.person("wang", Role.AUDITOR)
    assert "A technician installs it" in doctor.get("/software", headers=HTML).text
    assert post(doctor, "/software/upload", name=NAME, size="9000").status_code == 403
    assert post(doctor, "/software/channel").status_code == 403
    assert auditor.get("/software", headers=HTML).status_code == 403
    technician = flashed.person("zhou", Role.TECHNICIAN)
    assert technician.post("/software/upload", data={"name": NAME, "size": "9000"}).status_code == 400  # no token
    assert sorted(path.name for path in flashed.state.software.iterdir()) == []


def test_the_page_shows_what_runs_why_a_slot_was_left_and_how_the_last_try_ended(flashed: Desk) -> None:
    left = {"slot": "B", "version": "0.4.0", "code": software_record.UNFIT, "parts": "gateway"}
    run_status.write_check_result(flashed.state, "slot", {"at": "2026-11-25T03:00:00Z", "good": {}, "left": left})
    software_record.note_outcome(flashed.state, "stick", NAME, SOFTWARE_NOT_SIGNED(file=NAME))
    page = flashed.person("zhou", Role.TECHNICIAN).get("/software", headers=HTML).text
    for text in (
        "Version 0.3.0.",
        "Slot A of the disk",
        "these parts failed: gateway",
        "from the stick",
        "is not signed by whom this box trusts",
        "No channel is set up",
    ):
        assert text in page, text
    software_record.note_progress(flashed.state, "installing", "0.5.0", 40)
    assert "Version 0.5.0 is being installed, 40 per cent" in flashed.person("li").get("/software", headers=HTML).text


def test_what_the_channel_offers_is_installed_at_a_tap_and_what_was_left_only_as_such(flashed: Desk) -> None:
    values = {**flashed.config.model_dump(), "software": {"repository": "https://updates.example/lantern"}}
    flashed.config = Config.model_validate(values)
    flashed.app = flashed.restarted()
    technician = flashed.person("zhou", Role.TECHNICIAN)
    software_record.note_offered(flashed.state, "0.4.0", 400_000_000, None)
    page = technician.get("/software", headers=HTML).text
    assert "Version 0.4.0 is for this box (400 MB)." in page
    assert "Install now" in page
    assert post(technician, "/software/channel").status_code == 303
    assert software_requests.take_request(flashed.state) == SoftwareRequest("channel")
    assert post(technician, "/software/channel", look="yes").status_code == 303
    assert software_requests.take_request(flashed.state) == SoftwareRequest("look")
    software_record.note_offered(flashed.state, "0.4.0", 400_000_000, SOFTWARE_LEFT(version="0.4.0"))
    page = technician.get("/software", headers=HTML).text
    assert "Install now" not in page
    assert "Install again" in page
    assert post(technician, "/software/channel", again="yes").status_code == 303
    assert software_requests.take_request(flashed.state) == SoftwareRequest("channel", again=True)


def test_a_technician_sets_the_channel_where_the_configuration_names_none(flashed: Desk) -> None:
    technician = flashed.person("zhou", Role.TECHNICIAN)
    form = {
        "csrf_token": token(technician, "/claim"),
        "repository": " https://updates.example/lantern ",
        "automatic": "yes",
        "root": (io.BytesIO(b"{}"), "root.json"),
    }
    assert technician.post("/software/repository", data=form, headers=HTML).status_code == 303
    asked = SoftwareRequest("choose", repository="https://updates.example/lantern", automatic=True, root="{}")
    assert software_requests.take_request(flashed.state) == asked
    assert ("zhou", "software.channel") in [
        (one.actor, one.action) for one in Audit(flashed.clinical.database).latest(9)
    ]
    assert post(flashed.person("li"), "/software/repository", repository="").status_code == 403


def test_a_box_of_a_debian_package_says_how_it_is_renewed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    debian = replace(BOX, kind="debian-amd64", slot=None)
    monkeypatch.setattr("firmware_app.appliance.software_bundle.read_installed_system", lambda: debian)
    technician = desk.person("zhou", Role.TECHNICIAN)
    page = technician.get("/software", headers=HTML).text
    assert "apt install ./FILE.deb" in page
    assert "Send and install" not in page
    assert post(technician, "/software/upload", name=NAME, size="9000").status_code == 404


def test_a_file_for_which_the_disk_has_no_room_is_refused(flashed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software_requests, "free_bytes", lambda _folder: 1000)
    answer = post(flashed.person("zhou", Role.TECHNICIAN), "/software/upload", name=NAME, size="900000")
    assert (answer.status_code, answer.json["code"]) == (409, "software.disk_full")  # type: ignore[index]
    assert not any(flashed.state.software.iterdir())

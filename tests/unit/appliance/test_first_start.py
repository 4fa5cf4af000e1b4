"""A box gets its identity once and keeps it, and its hospital; root's side of the first page."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import (
    box_identity,
    first_code_screen,
    first_start,
    provisioning_request,
    provisioning_service,
)
from firmware_app.appliance.checks.hospital_uplink import examine
from firmware_app.appliance.errors import PROVISIONED_ALREADY
from firmware_app.appliance.provisioning_answers import QUESTIONS, Answers
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.appliance.provisioning_service import DONE
from firmware_app.core.errors import LanternError, SealingFailed
from firmware_app.core.key_files import KeyFiles, Tpm
from firmware_app.uplink.messages.envelope import HospitalBundle
from hospital.hospital_site import HospitalSite
from tests.refusals import raises_refusal
from tests.shelf import Box
from tests.unit.appliance.test_provisioning_file import kept

ANSWERS = Answers("clinic-7", "清河卫生院", "zh_CN", "Asia/Shanghai", "LANTERN")


@pytest.fixture
def other(tmp_path: Path) -> HospitalSite:
    made = HospitalSite(tmp_path / "other")
    made.set_up("other.example", 8883)
    return made


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path / "box")
    made.state.provision.mkdir()
    return made


def give(box: Box, hospital: HospitalBundle | None, *, another: bool = False) -> None:
    first_start.apply_answers(ANSWERS, hospital, box.config, box.places, another=another)


def enrol(box: Box, house: HospitalSite) -> None:
    _, answer = house.enrol(box.places.keys / "box.json", replace=True)
    box_identity.complete_identity(box.places.keys, answer)
    give(box, None)
    assert box.config.uplink.enabled


def test_the_first_page_gives_neither_another_hospital_nor_another_answer(
    house: HospitalSite, other: HospitalSite, box: Box
) -> None:
    """Not even with the box's own id, as a viewer that was taken over would ask."""
    give(box, house.load_bundle())
    before = kept(box)
    moved = replace(house.load_bundle(), host="evil.example")  # a bundle is not signed
    for request in (
        FirstRequest(answers=ANSWERS.as_text(), hospital=other.bundle_file.read_text()),
        FirstRequest(answers=ANSWERS.as_text(), hospital=moved.encode().decode()),
        FirstRequest(answers=replace(ANSWERS, calling=("EVIL",)).as_text()),
        FirstRequest(answers=replace(ANSWERS, box="clinic-8").as_text()),
    ):
        assert box.ask(request).reason.code == PROVISIONED_ALREADY.code
        assert kept(box) == before


def test_a_request_that_a_power_cut_left_unanswered_is_answered(house: HospitalSite, box: Box) -> None:
    """The configuration was written, its answer was not: asked again the same comes out."""
    request = FirstRequest(answers=ANSWERS.as_text(), hospital=house.bundle_file.read_text())
    first = box.ask(request)
    assert first.reason.code == DONE
    before = kept(box)
    assert box.ask(request) == first
    assert kept(box) == before


def test_only_a_person_at_the_console_gives_another_hospital(
    house: HospitalSite, other: HospitalSite, box: Box
) -> None:
    """With the certificate of the one before, its line would be refused for ever."""
    give(box, house.load_bundle())
    enrol(box, house)
    before = kept(box)
    with raises_refusal(PROVISIONED_ALREADY):
        give(box, other.load_bundle())
    assert kept(box) == before
    give(box, other.load_bundle(), another=True)
    uplink = box.config.uplink
    assert (uplink.host, uplink.enabled, uplink.tls_cert) == ("other.example", False, None)
    assert [check.reason.code for check in examine(box.config, box.state)] == ["line.awaited"]
    enrol(box, other)
    assert box_identity.read_hospital(KeyFiles(box.places.keys).hospital) == other.load_bundle()


def test_a_box_keeps_its_id(box: Box) -> None:
    give(box, None)
    with raises_refusal(PROVISIONED_ALREADY):
        first_start.apply_answers(replace(ANSWERS, box="clinic-8"), None, box.config, box.places)
    assert box.config.box.id == "clinic-7"


def a_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "something").write_text("of somebody")


def a_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def a_giant(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)


def another_form(path: Path) -> None:
    path.write_text('{"answers": {"box": 1}}')


@pytest.mark.parametrize("kind", [a_full_folder, os.mkfifo, a_link, a_giant, another_form])
def test_what_is_no_request_is_put_out_of_the_way(box: Box, kind: Callable[[Path], None]) -> None:
    """Else systemd would start root's side again and again."""
    kind(box.state.provision / "request.json")
    assert provisioning_service.answer_request(box.config, box.places) is None
    assert not provisioning_request.is_waiting(box.state)
    assert box.ask(FirstRequest(answers=ANSWERS.as_text())).reason.code == DONE


def test_a_second_click_is_answered_too(box: Box) -> None:
    """It comes while root is at work on the first; the page waits for the answer to the second."""
    first, second = (FirstRequest(answers=ANSWERS.as_text()) for _ in range(2))

    def chip() -> Tpm | None:
        provisioning_request.submit_request(box.state, second)
        return None

    provisioning_request.submit_request(box.state, first)
    answered = [provisioning_service.answer_request(box.config, box.places, chip) for _ in range(2)]
    assert [(result.request, result.reason.code) for result in answered if result] == [
        (first.request, DONE),
        (second.request, DONE),
    ]
    assert not provisioning_request.is_waiting(box.state)


def test_where_the_chip_does_not_answer_no_key_is_made(box: Box) -> None:
    """Keys that were once written openly stay so."""

    def silent() -> Tpm | None:
        raise SealingFailed(detail="no answer in 20 s")

    provisioning_request.submit_request(box.state, FirstRequest(answers=ANSWERS.as_text()))
    refused = provisioning_service.answer_request(box.config, box.places, silent)
    assert refused is not None
    assert refused.reason.code == SealingFailed.code
    assert box.config.box.id == "unprovisioned"
    assert not (box.state.line_keys / "identity.pem").exists()


def test_a_request_may_be_read_by_root_and_written_by_nobody_else(box: Box) -> None:
    provisioning_request.submit_request(box.state, FirstRequest(answers=ANSWERS.as_text()))
    assert stat.S_IMODE((box.state.provision / "request.json").stat().st_mode) == 0o640


def test_accounts_that_cannot_be_opened_are_a_sentence_on_the_console(
    box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box.state.accounts_db.write_bytes(b"no database" * 1000)
    assert first_code_screen.main(["--config", str(box.file), "--out", str(tmp_path / "code.issue")]) == 1
    assert capsys.readouterr().err.startswith("store.")


@pytest.mark.parametrize("answers", [ANSWERS, Answers("a", "x" * 60, "en", "Europe/Berlin", "BOX 1", ("DX1", "US 1"))])
def test_answers_survive_being_typed_again(answers: Answers) -> None:
    assert Answers.from_text(answers.as_text()) == answers


@pytest.mark.parametrize(
    ("key", "text", "code"),
    [
        ("clinic", "", "provision.name"),
        ("clinic", "a\u202eb", "provision.name"),
        ("box", "unprovisioned", "provision.box_id"),
        ("language", "fr", "provision.language"),
        ("zone", "../../etc/passwd", "provision.zone"),
        ("ae_title", "A" * 17, "provision.ae_title"),
        ("calling", "DX1,B\\C", "provision.ae_title"),
    ],
)
def test_a_wrong_answer_is_refused_with_its_code(key: str, text: str, code: str) -> None:
    question = next(question for question in QUESTIONS if question.key == key)
    with pytest.raises(LanternError) as caught:
        question.check(text)
    assert caught.value.code == code


def test_a_chinese_keyboards_commas_separate_too() -> None:
    question = next(question for question in QUESTIONS if question.key == "calling")
    assert question.check("DX1，US1、 CT1;DX1") == ("DX1", "US1", "CT1")

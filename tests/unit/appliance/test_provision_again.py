"""A box that has an identity keeps it, and its hospital: only a person at its own console gives it another hospital."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import box_identity, first_start, provisioning_request
from firmware_app.appliance.checks.hospital_uplink import examine
from firmware_app.appliance.errors import PROVISIONED_ALREADY
from firmware_app.appliance.provisioning_answers import Answers
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.appliance.provisioning_service import DONE
from firmware_app.core.key_files import KeyFiles
from firmware_app.uplink.messages.envelope import HospitalBundle
from hospital.hospital_site import HospitalSite
from tests.refusals import raises_refusal
from tests.shelf import Box, prepared

ANSWERS = Answers("clinic-7", "清河卫生院", "zh_CN", "Asia/Shanghai", "LANTERN")


@pytest.fixture
def other(tmp_path: Path) -> HospitalSite:
    made = HospitalSite(tmp_path / "other")
    made.establish("other.example", 8883)
    return made


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path / "box")
    made.state.provision.mkdir()
    return made


def given(box: Box, hospital: HospitalBundle | None, *, another: bool = False) -> None:
    first_start.apply_answers(ANSWERS, hospital, box.config, box.places, another=another)


def enrolled(box: Box, house: HospitalSite) -> None:
    """As `lantern provision --enrolment` leaves it."""
    _, answer = house.enrol(box.places.keys / "box.json", replace=True)
    box_identity.complete_identity(box.places.keys, answer)
    given(box, None)
    assert box.config.uplink.enabled


def kept(box: Box) -> dict[str, bytes]:
    """Everything on the box but what the first page asked and was told."""
    return {path: data for path, data in box.everything().items() if "/provision/" not in path}


def answered(box: Box, request: FirstRequest) -> str:
    provisioning_request.ask(box.state, request)
    return box.answered().reason.code


def test_the_first_page_cannot_give_another_hospital(house: HospitalSite, other: HospitalSite, box: Box) -> None:
    """Not even with the box's own id and its own answers, as a viewer that was taken over would ask."""
    given(box, house.bundle())
    before = kept(box)
    for hospital in (other.bundle(), replace(house.bundle(), host="evil.example")):  # a bundle is not signed
        request = FirstRequest(answers=ANSWERS.as_text(), hospital=hospital.encode().decode())
        assert answered(box, request) == PROVISIONED_ALREADY.code
        assert kept(box) == before


def test_the_first_page_cannot_give_a_hospital_to_a_box_that_has_an_identity_without_one(
    other: HospitalSite, box: Box
) -> None:
    given(box, None)
    before = kept(box)
    made = prepared(other, box.state.provision / "offered")
    assert answered(box, FirstRequest(file="clinic-7", code=made.code)) == PROVISIONED_ALREADY.code
    request = FirstRequest(answers=ANSWERS.as_text(), hospital=other.bundle_file.read_text())
    assert answered(box, request) == PROVISIONED_ALREADY.code
    assert kept(box) == before


def test_the_first_page_cannot_change_an_answer_that_the_box_has(box: Box) -> None:
    given(box, None)
    before = kept(box)
    changed = replace(ANSWERS, calling=("EVIL",))
    assert answered(box, FirstRequest(answers=changed.as_text())) == PROVISIONED_ALREADY.code
    assert kept(box) == before


def test_a_request_that_a_power_cut_left_unanswered_is_answered(house: HospitalSite, box: Box) -> None:
    """The configuration was written, its answer was not: asked again the same comes out."""
    request = FirstRequest(answers=ANSWERS.as_text(), hospital=house.bundle_file.read_text())
    assert answered(box, request) == DONE
    before = kept(box)
    assert answered(box, request) == DONE
    assert kept(box) == before


def test_a_file_that_a_power_cut_left_unanswered_is_answered(house: HospitalSite, box: Box) -> None:
    made = prepared(house, box.state.provision / "offered")
    request = FirstRequest(file="clinic-7", code=made.code)
    assert answered(box, request) == DONE
    before = kept(box)
    assert answered(box, request) == DONE
    assert kept(box) == before


def test_nothing_gives_another_hospital_unless_a_person_said_so(
    house: HospitalSite, other: HospitalSite, box: Box
) -> None:
    given(box, house.bundle())
    enrolled(box, house)
    before = kept(box)
    with raises_refusal(PROVISIONED_ALREADY):
        given(box, other.bundle())
    assert kept(box) == before


def test_a_box_of_another_hospital_waits_for_that_ones_certificate(
    house: HospitalSite, other: HospitalSite, box: Box
) -> None:
    """With the certificate of the hospital before, its line would be refused for ever."""
    given(box, house.bundle())
    enrolled(box, house)
    given(box, other.bundle(), another=True)
    uplink = box.config.uplink
    assert (uplink.host, uplink.enabled, uplink.tls_cert) == ("other.example", False, None)
    assert [check.reason.code for check in examine(box.config, box.state)] == ["line.awaited"]
    enrolled(box, other)
    assert box_identity.read_hospital(KeyFiles(box.places.keys).hospital) == other.bundle()

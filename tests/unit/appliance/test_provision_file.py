"""A provisioning file is taken by the box it was made for, from the hospital it trusts, once and in time."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_app.appliance import (
    box_identity,
    network_name,
    provisioning_files,
    provisioning_request,
    provisioning_service,
)
from firmware_app.appliance import signed_provisioning as provisioning_file
from firmware_app.appliance.errors import (
    BOX_ID_INVALID,
    FINGERPRINT_DIFFERS,
    PROVISIONING_ELSEWHERE,
    PROVISIONING_EXPIRED,
    PROVISIONING_REPLAYED,
    PROVISIONING_STRANGER,
    ZONE_UNKNOWN,
    CodeWrong,
    ProvisioningForged,
    ProvisioningUnreadable,
    TrustNeeded,
)
from firmware_app.appliance.provisioning_files import OFFERED
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.appliance.provisioning_service import DONE
from firmware_app.appliance.signed_provisioning import HospitalProof
from firmware_app.core.errors import LanternError
from firmware_app.core.key_files import KeyFiles
from firmware_app.core.records import Reason
from firmware_app.uplink.messages.envelope import SignedProvisioning
from hospital import keyring, new_boxes
from hospital.errors import ROW_UNUSABLE
from hospital.hospital_site import HospitalSite
from tests.peers import missing
from tests.refusals import raises_refusal
from tests.shelf import Box, prepared


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


def test_a_file_and_the_code_of_its_label_make_a_box(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepared(house, tmp_path / "out")
    box.take(made.file, HospitalProof(code=made.code.lower().replace("-", " ")))
    config = box.config
    assert (config.box.id, config.box.name, config.box.language) == ("clinic-7", "清河卫生院", "zh_CN")
    assert config.dicom.allowed_calling == ("DX1", "US1")
    assert config.dicom.port == 0  # what it was told before stays
    assert not config.pacs.send, "the file of a hospital that names a PACS is taken, but nothing is sent there"
    assert (config.uplink.host, config.uplink.enabled) == ("mqtt.hospital.example", False)
    _, enrolment = house.enrol(box.places.keys / "box.json", replace=True)
    assert box_identity.complete_identity(box.places.keys, enrolment) == "clinic-7"


def test_asked_again_a_box_answers_the_same_and_changes_nothing(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepared(house, tmp_path / "out")
    first = box.take(made.file, HospitalProof(code=made.code))
    before = box.everything()
    assert box.take(made.file) == first  # it knows its hospital by now
    assert box.everything() == before


def test_a_changed_file_is_refused_wherever_it_was_changed(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepared(house, tmp_path / "out")
    whole = made.file.read_bytes()
    forged = tmp_path / "forged.lantern.json"
    forged.write_bytes(whole.replace(b"DX1", b"DX2"))
    with pytest.raises(ProvisioningForged):
        box.take(forged, HospitalProof(code=made.code))
    refused = {"provision.file", "provision.signature"}
    before = box.everything()
    for at in range(0, len(whole), 37):
        forged.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(LanternError) as caught:
            box.take(forged, HospitalProof(code=made.code))
        assert caught.value.code in refused
    forged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProvisioningUnreadable):
        box.take(forged)
    assert box.everything() == before


def test_a_stranger_who_signs_well_is_not_trusted(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    other = HospitalSite(tmp_path / "other")
    other.establish("evil.example", 8883)
    ours, theirs = prepared(house, tmp_path / "ours"), prepared(other, tmp_path / "theirs")
    before = box.everything()
    with pytest.raises(TrustNeeded, match=other.bundle().fingerprint):
        box.take(theirs.file)
    with pytest.raises(CodeWrong):  # the code of the genuine label beside a file that was exchanged
        box.take(theirs.file, HospitalProof(code=ours.code))
    with raises_refusal(FINGERPRINT_DIFFERS):
        box.take(theirs.file, HospitalProof(fingerprint=house.bundle().fingerprint))
    assert box.everything() == before
    box.take(ours.file, HospitalProof(fingerprint=house.bundle().fingerprint.replace(" ", "").upper()))
    with raises_refusal(PROVISIONING_STRANGER):  # from now on no code and no fingerprint makes another hospital ours
        box.take(theirs.file, HospitalProof(code=theirs.code))


def test_a_file_is_for_one_box(house: HospitalSite, tmp_path: Path) -> None:
    seven, eight = prepared(house, tmp_path / "out"), prepared(house, tmp_path / "out", box="clinic-8")
    box = Box(tmp_path / "box")
    box.take(seven.file, HospitalProof(code=seven.code))
    with raises_refusal(PROVISIONING_ELSEWHERE, match=r"clinic-8.*clinic-7"):
        box.take(eight.file, HospitalProof(code=eight.code))
    fresh = Box(tmp_path / "fresh")
    bound = prepared(house, tmp_path / "bound", device="000000")
    with raises_refusal(PROVISIONING_ELSEWHERE, match=f"000000.*{network_name.hardware_name()}"):
        fresh.take(bound.file, HospitalProof(code=bound.code))
    fits = prepared(house, tmp_path / "bound", device=network_name.hardware_name())
    fresh.take(fits.file, HospitalProof(code=fits.code))


def test_an_expired_file_is_refused_and_a_clock_that_is_behind_refuses_none(
    house: HospitalSite, box: Box, tmp_path: Path
) -> None:
    content = provisioning_file.read_file(prepared(house, tmp_path / "out").file).content
    signer, now = keyring.load_keys(house.keys).signer, int(time.time())
    late = tmp_path / "late.lantern.json"
    late.write_bytes(SignedProvisioning.made(replace(content, made=now - 99, expires=now - 9), signer).encode())
    with raises_refusal(PROVISIONING_EXPIRED, match=time.strftime("%Y-%m-%d", time.gmtime(now - 9))):
        box.take(late, HospitalProof(code="x"))
    late.write_bytes(SignedProvisioning.made(replace(content, made=now + 9999, expires=now + 99999), signer).encode())
    box.take(late, HospitalProof(fingerprint=house.bundle().fingerprint))


def test_an_old_file_does_not_bring_back_what_a_later_one_replaced(
    house: HospitalSite, box: Box, tmp_path: Path
) -> None:
    first = prepared(house, tmp_path / "first")
    content = provisioning_file.read_file(first.file).content
    later = replace(content, clinic="东山卫生院", nonce="1" * 32, made=content.made + 5)
    file = tmp_path / "later.lantern.json"
    file.write_bytes(SignedProvisioning.made(later, keyring.load_keys(house.keys).signer).encode())
    box.take(first.file, HospitalProof(code=first.code))
    box.take(file)
    with raises_refusal(PROVISIONING_REPLAYED):
        box.take(first.file, HospitalProof(code=first.code))
    assert box.config.box.name == "东山卫生院"
    box.take(file)


def test_a_retired_sealing_key_does_not_come_back_with_an_old_file(tmp_path: Path) -> None:
    house, box = HospitalSite(tmp_path / "hospital"), Box(tmp_path / "box")
    house.establish("mqtt.hospital.example", 8883)
    made = prepared(house, tmp_path / "out")
    (box.file.parent / "hospital.json").write_bytes(house.rotate().encode())  # came with the software
    box.take(made.file)
    assert box_identity.read_hospital(KeyFiles(box.places.keys).hospital).serial == 2


def test_what_no_box_would_take_is_refused_at_the_hospital_with_its_line(house: HospitalSite, tmp_path: Path) -> None:
    listed = tmp_path / "boxes.csv"
    for text, line, reason in (
        ("box,clinic\nclinic-1,一\n\nClinic 2,二\n", 4, "box"),
        ("box,clinic,ae_title\nclinic-1,一,A\\B\n", 2, "ae_title"),
        ("box,clinic,pacs_port\nclinic-1,一,many\n", 2, "pacs_port"),
        ("box,clinic\nclinic-1,一\nclinic-1,二\n", 3, "clinic-1"),
        ("box,clinic,colour\nclinic-1,一,red\n", 1, "colour"),
        ("box\nclinic-1\n", 1, "clinic"),
        ("box,clinic\nclinic-1,一,more\n", 2, "fields"),
    ):
        listed.write_text(text, "utf-8")
        with raises_refusal(ROW_UNUSABLE, match=reason) as caught:
            new_boxes.write_provisioning_files(
                house, listed.name, new_boxes.read_box_list(listed), tmp_path / "none", 30
            )
        assert caught.value.line == line
    assert not (tmp_path / "none").exists()


def test_what_a_file_says_is_checked_as_what_a_person_types(
    house: HospitalSite, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time zone that the hospital could not check, the box does."""
    monkeypatch.setattr(new_boxes, "_zones", frozenset)  # a hospital that has no list of zones
    made = prepared(house, tmp_path / "out", zone="Mars/Olympus")
    with raises_refusal(ZONE_UNKNOWN):
        box.take(made.file, HospitalProof(code=made.code))
    assert not box.places.keys.exists()
    with raises_refusal(BOX_ID_INVALID):
        box_identity.begin_identity(box.places.keys, "../x", house.bundle_file)


# --- from a stick -----------------------------------------------------------------------------------------------------


def from_stick(box: Box, root: Path) -> list[Reason]:
    return list(provisioning_files.offer_from_stick(root, box.config, box.places, whole=True))


def test_a_stick_offers_and_the_label_decides(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepared(house, tmp_path / "out")
    box.state.provision.mkdir()
    (reason,) = from_stick(box, made.file.parent)
    assert (reason.code, provisioning_files.list_offers(box.state)) == (OFFERED, ["clinic-7"])
    assert not provisioning_request.is_waiting(box.state)
    for code, expected in (("2222-2222-2222", CodeWrong.code), (made.code, DONE)):
        provisioning_request.ask(box.state, FirstRequest(file="clinic-7", code=code))
        result = box.answered()
        assert result.reason.code == expected
        assert not provisioning_request.is_waiting(box.state)
    assert box.config.box.id == "clinic-7"


def test_a_stick_for_many_boxes_is_looked_through_once(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    prepared(house, stick)
    prepared(house, stick, box="clinic-8")
    (stick / "cut.lantern.json").write_bytes(b"{")
    (stick / "link.lantern.json").symlink_to("/etc/passwd")
    (stick / "film.dcm").write_bytes(b"x")
    assert from_stick(box, stick) == []  # a laptop has no first page
    box.state.provision.mkdir()
    codes = [reason.code for reason in from_stick(box, stick)]
    assert codes == [OFFERED, OFFERED, "provision.file"]
    assert provisioning_files.list_offers(box.state) == ["clinic-7", "clinic-8"]


def test_a_stick_changes_nothing_on_a_box_that_has_an_identity(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepared(house, tmp_path / "out")
    box.state.provision.mkdir()
    box.take(made.file, HospitalProof(code=made.code))
    before = box.everything()
    for number in (7, 8):
        other = prepared(house, tmp_path / f"other-{number}", box=f"clinic-{number}")
        assert from_stick(box, other.file.parent) == []
    assert box.everything() == before
    provisioning_request.ask(box.state, FirstRequest(answers={"box": "clinic-8"}))
    refused = box.answered()
    assert refused.reason.code != DONE
    assert box.config.box.id == "clinic-7"


def test_root_follows_no_link_and_believes_no_form(box: Box, tmp_path: Path) -> None:
    box.state.provision.mkdir()
    request = box.state.provision / "request.json"
    secret = tmp_path / "secret"
    secret.write_text("{}")
    request.symlink_to(secret)
    assert box.answered().reason.code == "provision.request"
    os.mkfifo(request)
    assert box.answered().reason.code == "provision.request"
    for text in ("", "[]", '{"answers": 3}', '{"answers": {"box": 1}}', '{"code": 7}', "[" * 99_999, "x" * 99_999):
        request.write_text(text)
        assert box.answered().reason.code == "provision.request", text[:20]
        assert not request.exists()
    assert provisioning_service.answer_request(box.config, box.places) is None
    assert secret.read_text() == "{}"


def test_what_another_user_wrote_is_no_request(box: Box) -> None:
    if os.geteuid() != 0:
        missing("needs root, to write as another user")
    box.state.provision.mkdir()
    provisioning_request.ask(box.state, FirstRequest(answers={"box": "clinic-7"}))
    os.chown(box.state.provision / "request.json", 65534, 65534)
    answer = box.answered()
    assert answer.reason.details == {"detail": "it was written by another user"}
    assert json.loads((box.state.provision / "result.json").read_text())["box"] == ""


def test_an_offered_name_leads_nowhere_else(box: Box) -> None:
    box.state.provision.mkdir()
    provisioning_request.ask(box.state, FirstRequest(file="../../etc/passwd", code="x"))
    assert box.answered().reason.code == ProvisioningUnreadable.code


def test_offers_of_a_stick_are_looked_at_before_they_are_kept(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepared(house, tmp_path / "out")
    box.state.provision.mkdir()
    bad = tmp_path / "bad.lantern.json"
    bad.write_bytes(made.file.read_bytes().replace(b"DX1", b"DX2"))
    made.file.unlink()
    assert [reason.code for reason in from_stick(box, tmp_path)] == [ProvisioningForged.code]
    assert provisioning_files.list_offers(box.state) == []

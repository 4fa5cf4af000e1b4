"""A provisioning file is taken by the box it was made for, from the hospital it trusts, once and in time."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import box_identity, network_name, provisioning_file
from firmware_app.appliance.errors import (
    FINGERPRINT_DIFFERS,
    PROVISIONED_ALREADY,
    PROVISIONING_ELSEWHERE,
    PROVISIONING_EXPIRED,
    PROVISIONING_NONE,
    PROVISIONING_REPLAYED,
    PROVISIONING_STRANGER,
    ZONE_UNKNOWN,
    CodeWrong,
    ProvisioningForged,
    ProvisioningUndecided,
    ProvisioningUnreadable,
    TrustNeeded,
)
from firmware_app.appliance.provisioning_file import OFFERED, HospitalProof, find_file
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.appliance.provisioning_service import DONE
from firmware_app.core.key_files import KeyFiles
from firmware_app.uplink.messages.envelope import SignedProvisioning
from hospital import keyring, new_boxes
from hospital.errors import ROW_UNUSABLE
from hospital.hospital_site import HospitalSite
from hospital.new_boxes import PreparedBox
from tests.refusals import raises_refusal
from tests.shelf import Box, prepare_box


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


@pytest.fixture
def stranger(tmp_path: Path) -> HospitalSite:
    made = HospitalSite(tmp_path / "stranger")
    made.set_up("evil.example", 8883)
    return made


@pytest.fixture
def stick(house: HospitalSite, tmp_path: Path) -> list[PreparedBox]:
    """Of three boxes, in the order of their names."""
    return [prepare_box(house, tmp_path / "stick", box=f"clinic-{number}") for number in (7, 8, 9)]


def test_a_file_and_the_code_of_its_label_make_a_box(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepare_box(house, tmp_path / "out")
    first = box.accept_file(made.file, HospitalProof(code=made.code.lower().replace("-", " ")))
    config = box.config
    assert (config.box.id, config.box.name, config.box.language) == ("clinic-7", "清河卫生院", "zh_CN")
    assert config.dicom.allowed_calling == ("DX1", "US1")
    assert config.dicom.port == 0, "an earlier setting stays"
    assert not config.pacs.send
    assert (config.uplink.host, config.uplink.enabled) == ("mqtt.hospital.example", False)
    before = box.read_files()
    assert box.accept_file(made.file) == first, "it knows its hospital by now"
    assert box.read_files() == before


def test_a_changed_file_is_refused_wherever_it_was_changed(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    made = prepare_box(house, tmp_path / "out")
    whole, before, forged = made.file.read_bytes(), box.read_files(), tmp_path / "forged.lantern.json"
    forged.write_bytes(whole.replace(b"DX1", b"DX2"))
    with pytest.raises(ProvisioningForged):
        box.accept_file(forged, HospitalProof(code=made.code))
    for at in range(0, len(whole), 97):
        forged.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises((ProvisioningForged, ProvisioningUnreadable)):
            box.accept_file(forged, HospitalProof(code=made.code))
    forged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProvisioningUnreadable):
        box.accept_file(forged)
    assert box.read_files() == before


def test_a_stranger_who_signs_well_is_not_trusted(
    house: HospitalSite, stranger: HospitalSite, box: Box, tmp_path: Path
) -> None:
    ours, theirs = prepare_box(house, tmp_path / "ours"), prepare_box(stranger, tmp_path / "theirs")
    before = box.read_files()
    with pytest.raises(TrustNeeded, match=stranger.load_bundle().fingerprint):
        box.accept_file(theirs.file)
    with pytest.raises(CodeWrong):  # the code of the genuine label beside a file that was exchanged
        box.accept_file(theirs.file, HospitalProof(code=ours.code))
    with raises_refusal(FINGERPRINT_DIFFERS):
        box.accept_file(theirs.file, HospitalProof(fingerprint=house.load_bundle().fingerprint))
    assert box.read_files() == before
    box.accept_file(ours.file, HospitalProof(fingerprint=house.load_bundle().fingerprint.replace(" ", "").upper()))
    with raises_refusal(PROVISIONING_STRANGER):  # from now on no code makes another hospital ours
        box.accept_file(theirs.file, HospitalProof(code=theirs.code))


def test_a_file_is_for_one_box(house: HospitalSite, tmp_path: Path) -> None:
    seven, eight = prepare_box(house, tmp_path / "out"), prepare_box(house, tmp_path / "out", box="clinic-8")
    box = Box(tmp_path / "box")
    box.accept_file(seven.file, HospitalProof(code=seven.code))
    with raises_refusal(PROVISIONING_ELSEWHERE, match=r"clinic-8.*clinic-7"):
        box.accept_file(eight.file, HospitalProof(code=eight.code))
    fresh = Box(tmp_path / "fresh")
    bound = prepare_box(house, tmp_path / "bound", device="000000")
    with raises_refusal(PROVISIONING_ELSEWHERE, match=f"000000.*{network_name.read_hardware_name()}"):
        fresh.accept_file(bound.file, HospitalProof(code=bound.code))


def test_an_expired_file_is_refused_and_a_clock_that_is_behind_refuses_none(
    house: HospitalSite, box: Box, tmp_path: Path
) -> None:
    content = provisioning_file.read_file(prepare_box(house, tmp_path / "out").file).content
    signer, now = keyring.load_keys(house.keys).signer, int(time.time())
    late = tmp_path / "late.lantern.json"
    late.write_bytes(SignedProvisioning.create(replace(content, made=now - 99, expires=now - 9), signer).encode())
    with raises_refusal(PROVISIONING_EXPIRED, match=time.strftime("%Y-%m-%d", time.gmtime(now - 9))):
        box.accept_file(late, HospitalProof(code="x"))
    late.write_bytes(SignedProvisioning.create(replace(content, made=now + 9999, expires=now + 99999), signer).encode())
    box.accept_file(late, HospitalProof(fingerprint=house.load_bundle().fingerprint))


def test_an_old_file_does_not_bring_back_what_a_later_one_replaced(
    house: HospitalSite, box: Box, tmp_path: Path
) -> None:
    first = prepare_box(house, tmp_path / "first")
    content = provisioning_file.read_file(first.file).content
    later = replace(content, clinic="东山卫生院", nonce="1" * 32, made=content.made + 5)
    file = tmp_path / "later.lantern.json"
    file.write_bytes(SignedProvisioning.create(later, keyring.load_keys(house.keys).signer).encode())
    box.accept_file(first.file, HospitalProof(code=first.code))
    box.accept_file(file)
    with raises_refusal(PROVISIONING_REPLAYED):
        box.accept_file(first.file, HospitalProof(code=first.code))
    assert box.config.box.name == "东山卫生院"


def test_a_retired_sealing_key_does_not_come_back_with_an_old_file(tmp_path: Path) -> None:
    house, box = HospitalSite(tmp_path / "hospital"), Box(tmp_path / "box")
    house.set_up("mqtt.hospital.example", 8883)
    made = prepare_box(house, tmp_path / "out")
    (box.file.parent / "hospital.json").write_bytes(house.rotate().encode())  # came with the software
    box.accept_file(made.file)
    assert box_identity.read_hospital(KeyFiles(box.places.keys).hospital).serial == 2


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("box,clinic\nclinic-1,一\n\nClinic 2,二\n", 4, "box"),
        ("box,clinic,ae_title\nclinic-1,一,A\\B\n", 2, "ae_title"),
        ("box,clinic\nclinic-1,一\nclinic-1,二\n", 3, "clinic-1"),
        ("box,clinic,colour\nclinic-1,一,red\n", 1, "colour"),
        ("box\nclinic-1\n", 1, "clinic"),
        ("box,clinic\nclinic-1,一,more\n", 2, "fields"),
    ],
)
def test_what_no_box_would_take_is_refused_at_the_hospital_with_its_line(
    house: HospitalSite, tmp_path: Path, text: str, line: int, reason: str
) -> None:
    listed = tmp_path / "boxes.csv"
    listed.write_text(text, "utf-8")
    with raises_refusal(ROW_UNUSABLE, match=reason) as caught:
        new_boxes.write_provisioning_files(house, listed.name, new_boxes.read_box_list(listed), tmp_path / "none", 30)
    assert caught.value.line == line
    assert not (tmp_path / "none").exists()


def test_the_answers_of_a_file_are_checked_as_if_typed(
    house: HospitalSite, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_boxes, "_zones", frozenset)  # a hospital without a list of time zones
    made = prepare_box(house, tmp_path / "out", zone="Mars/Olympus")
    with raises_refusal(ZONE_UNKNOWN):
        box.accept_file(made.file, HospitalProof(code=made.code))
    assert not box.places.keys.exists()


# --- one file among many ----------------------------------------------------------------------------------------------


def test_of_many_files_the_label_or_the_id_decides(stick: list[PreparedBox]) -> None:
    folder = stick[0].file.parent
    with pytest.raises(ProvisioningUndecided, match="3 boxes"):
        find_file(folder)
    for one in stick:
        assert find_file(folder, proof=HospitalProof(code=one.code)).content.box == one.box
        assert find_file(folder, one.box).content.box == one.box
    with pytest.raises(CodeWrong):
        find_file(folder, proof=HospitalProof(code="2222-2222-2222"))
    with raises_refusal(PROVISIONING_NONE, match=r"clinic-1\.lantern\.json"):
        find_file(folder, "clinic-1")


def test_the_only_file_is_taken_unless_another_one_is_spoilt(stick: list[PreparedBox], tmp_path: Path) -> None:
    """Also in the folder that was copied whole; hidden files and links are passed over."""
    folder = tmp_path / "copied"
    stick[0].file.parent.rename(folder)
    (folder / "._clinic-7.lantern.json").write_bytes(b"left by another system")
    (folder / "clinic-8.lantern.json").unlink()
    (folder / "clinic-9.lantern.json").unlink()
    assert find_file(tmp_path).content.box == "clinic-7"
    (folder / "link.lantern.json").symlink_to("/etc/passwd")
    with pytest.raises(ProvisioningUndecided, match="2 boxes"):
        find_file(tmp_path)
    (folder / "clinic-7.lantern.json").write_bytes(b"{")
    with pytest.raises(ProvisioningUnreadable, match="clinic-7"):
        find_file(tmp_path, "clinic-7")


def test_of_two_files_for_one_box_the_later_counts(
    house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_box(house, tmp_path / "out").file.rename(tmp_path / "out/z-before.lantern.json")
    monkeypatch.setattr("time.time", lambda: 4e9)
    prepare_box(house, tmp_path / "out", clinic="东山卫生院")
    assert find_file(tmp_path / "out").content.clinic == "东山卫生院"


def test_a_code_costs_one_scrypt_for_all_files_of_a_hospital(
    stick: list[PreparedBox], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    scrypt = hashlib.scrypt

    def count(*given: Any, **named: Any) -> bytes:
        tried.append(1)
        return scrypt(*given, **named)

    monkeypatch.setattr(hashlib, "scrypt", count)
    assert find_file(stick[0].file.parent, proof=HospitalProof(code=stick[2].code)).content.box == "clinic-9"
    assert len(tried) == 2
    with pytest.raises(CodeWrong):
        find_file(stick[0].file.parent, proof=HospitalProof(code="2222-2222-2222"))
    assert len(tried) == 3


def test_a_stranger_s_later_file_does_not_hide_the_one_that_the_label_opens(
    house: HospitalSite, stranger: HospitalSite, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare_box(house, tmp_path / "stick")
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: 4e9)
        prepare_box(stranger, tmp_path / "stick/other")
    folder, code = made.file.parent, HospitalProof(code=made.code)
    for known in (None, "clinic-7"):
        with pytest.raises(ProvisioningUndecided):
            find_file(folder, known)
        assert find_file(folder, known, code).content.hospital == house.load_bundle()
        for hospital in (house.load_bundle(), stranger.load_bundle()):
            proof = HospitalProof(fingerprint=hospital.fingerprint.upper())
            assert find_file(folder, known, proof).content.hospital == hospital
            assert find_file(folder, known, known=hospital).content.hospital == hospital
    assert from_stick(box, folder) == [OFFERED, OFFERED]
    done = box.ask(FirstRequest(code=made.code))
    assert (done.reason.code, done.hospital) == (DONE, house.load_bundle().fingerprint)


# --- from a stick -----------------------------------------------------------------------------------------------------


def from_stick(box: Box, root: Path) -> list[str]:
    box.state.provision.mkdir(exist_ok=True)
    return [reason.code for reason in provisioning_file.offer_from_stick(root, box.config, box.places)]


def test_a_stick_for_many_boxes_changes_nothing_until_a_label_decides(stick: list[PreparedBox], box: Box) -> None:
    folder = stick[0].file.parent
    (folder / "cut.lantern.json").write_bytes(b"{")
    (folder / "bad.lantern.json").write_bytes(stick[0].file.read_bytes().replace(b"DX1", b"DX2"))
    (folder / "clinic-1.lantern.json").mkdir()
    assert list(provisioning_file.offer_from_stick(folder, box.config, box.places)) == [], "a laptop has no first page"
    codes = from_stick(box, folder)
    assert sorted(codes) == ["provision.file", "provision.file", *[OFFERED] * 3, "provision.signature"]
    assert provisioning_file.has_offers(box.state)
    assert box.config.box.id == "unprovisioned"
    assert box.ask(FirstRequest(code="2222-2222-2222")).reason.code == CodeWrong.code
    request = FirstRequest(code=stick[2].code)
    assert (box.ask(request).reason.code, box.config.box.id) == (DONE, "clinic-9")
    before = kept(box)
    assert box.ask(request).reason.code == DONE, "as after a power cut"
    assert box.ask(FirstRequest(code=stick[0].code)).reason.code == PROVISIONED_ALREADY.code
    assert from_stick(box, folder) == []
    assert kept(box) == before


def kept(box: Box) -> dict[str, bytes]:
    """Everything on the box but what the first page asked and was answered."""
    return {path: data for path, data in box.read_files().items() if "/provision/" not in path}


def test_a_stick_keeps_no_more_files_than_are_looked_at(
    stick: list[PreparedBox], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning_file, "MOST_OFFERS", 2)
    assert from_stick(box, stick[0].file.parent) == [OFFERED, OFFERED]
    from_stick(box, stick[0].file.parent)
    assert len(os.listdir(box.state.usb / "offered")) == 2


def test_a_full_disk_does_not_end_the_import_of_a_stick(
    stick: list[PreparedBox], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(provisioning_file, "write_atomically", full)
    assert from_stick(box, stick[0].file.parent) == [ProvisioningUnreadable.code]

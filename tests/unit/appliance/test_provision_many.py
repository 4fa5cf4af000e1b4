"""Files for many boxes in one place: each box takes its own, and none takes the first that lies there."""

from __future__ import annotations

import hashlib
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from firmware_app.appliance import (
    network_name,
    provisioning_files,
    provisioning_request,
    provisioning_service,
    signed_provisioning,
)
from firmware_app.appliance.errors import (
    PROVISIONING_MANY,
    PROVISIONING_NONE,
    CodeWrong,
    ProvisioningUndecided,
    ProvisioningUnreadable,
)
from firmware_app.appliance.provisioning_files import ASKED, OFFERED
from firmware_app.appliance.provisioning_request import FirstRequest
from firmware_app.appliance.provisioning_service import DONE
from firmware_app.core.key_files import Tpm
from firmware_app.uplink.messages.envelope import ProvisioningFinder
from hospital import new_boxes
from hospital.hospital_site import HospitalSite
from hospital.new_boxes import PreparedBox
from tests.refusals import raises_refusal
from tests.shelf import Box, prepared


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path / "box")
    made.state.provision.mkdir()
    return made


@pytest.fixture
def stick(house: HospitalSite, tmp_path: Path) -> list[PreparedBox]:
    """Of three boxes, in the order of their names."""
    return [prepared(house, tmp_path / "stick", box=f"clinic-{number}") for number in (7, 8, 9)]


def trusting(box: Box, house: HospitalSite) -> None:
    """The hospital's bundle came with the software."""
    (box.file.parent / "hospital.json").write_bytes(house.bundle_file.read_bytes())


def from_stick(box: Box, root: Path, *, whole: bool = True) -> list[str]:
    return [reason.code for reason in provisioning_files.offer_from_stick(root, box.config, box.places, whole=whole)]


def test_a_stick_for_many_boxes_makes_no_box_the_first_of_the_list(
    house: HospitalSite, box: Box, stick: list[PreparedBox]
) -> None:
    """Also where the hospital is known already: that says who wrote the files, not which one is this box's."""
    trusting(box, house)
    assert from_stick(box, stick[0].file.parent) == [OFFERED] * 3
    assert not provisioning_request.is_waiting(box.state)
    assert provisioning_service.answer_request(box.config, box.places) is None
    assert box.config.box.id == "unprovisioned"
    provisioning_request.ask(
        box.state, FirstRequest(file="clinic-9", code=stick[2].code)
    )  # as the page does with the label's code
    result = box.answered()
    assert (result.reason.code, box.config.box.id) == (DONE, "clinic-9")


def test_on_a_stick_for_many_boxes_the_file_that_names_this_machine_is_taken(
    house: HospitalSite, box: Box, stick: list[PreparedBox]
) -> None:
    trusting(box, house)
    folder = stick[0].file.parent
    prepared(house, folder, box="clinic-8", device=network_name.hardware_name())
    prepared(house, folder, box="clinic-9", device="0" * 6)
    assert from_stick(box, folder) == [OFFERED, ASKED, "provision.wrong_box"]
    box.answered()
    assert box.config.box.id == "clinic-8"


def test_what_is_left_beside_a_file_that_cannot_be_used_is_not_taken_for_this_box_s(
    house: HospitalSite, box: Box, stick: list[PreparedBox]
) -> None:
    """Of two boxes' files the stick has spoilt one, and it is not known whose."""
    trusting(box, house)
    stick[0].file.write_bytes(stick[0].file.read_bytes()[:-9])
    stick[1].file.unlink()
    assert from_stick(box, stick[0].file.parent) == ["provision.file", OFFERED]
    assert not provisioning_request.is_waiting(box.state)
    prepared(
        house, stick[0].file.parent, box="clinic-9", device=network_name.hardware_name()
    )  # unless it says so itself
    assert from_stick(box, stick[0].file.parent) == ["provision.file", ASKED]


def test_a_file_that_is_followed_by_nothing_for_megabytes_is_not_read_whole(
    house: HospitalSite, box: Box, tmp_path: Path
) -> None:
    made = prepared(house, tmp_path / "stick")
    with made.file.open("ab") as handle:
        handle.write(b"\n" * (24 << 20))
    tracemalloc.start()
    try:
        assert from_stick(box, tmp_path / "stick") == [OFFERED]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_who_clicks_twice_is_answered_twice(house: HospitalSite, box: Box, stick: list[PreparedBox]) -> None:
    """The second request comes while root is at work on the first; the page waits for the answer to the second."""
    first, second = (FirstRequest(file="clinic-8", code=stick[1].code) for _ in range(2))

    class Clicked(Tpm):
        def seal(self, name: str, secret: bytes) -> bytes:
            provisioning_request.ask(box.state, second)
            return secret

    assert from_stick(box, stick[0].file.parent) == [OFFERED] * 3
    provisioning_request.ask(box.state, first)
    answered = [provisioning_service.answer_request(box.config, box.places, Clicked) for _ in range(2)]
    assert [(one.request, one.reason.code) for one in answered if one] == [
        (first.request, DONE),
        (second.request, DONE),
    ]
    assert not provisioning_request.is_waiting(box.state)


def test_files_in_the_folder_that_was_copied_whole_are_found(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    prepared(house, tmp_path / "stick/boxes-to-be")
    (tmp_path / "stick/boxes-to-be/._clinic-7.lantern.json").write_bytes(b"left by another system")
    assert from_stick(box, tmp_path / "stick") == [OFFERED]
    assert provisioning_files.find_file(tmp_path / "stick").content.box == "clinic-7"


def test_of_a_folder_the_only_file_is_taken(house: HospitalSite, tmp_path: Path) -> None:
    made = prepared(house, tmp_path / "out")
    assert provisioning_files.find_file(tmp_path / "out").content.box == "clinic-7"
    (tmp_path / "out/cut.lantern.json").write_bytes(b"{")
    with pytest.raises(ProvisioningUndecided, match="2 boxes"):  # the other one may have been this box's
        provisioning_files.find_file(tmp_path / "out")
    either: list[dict[str, Any]] = [{"box": "clinic-7"}, {"code": made.code}]
    for chosen in either:
        assert provisioning_files.find_file(tmp_path / "out", **chosen).content.box == "clinic-7"
    made.file.unlink()
    with pytest.raises(ProvisioningUnreadable, match="cut"):
        provisioning_files.find_file(tmp_path / "out")
    (tmp_path / "out/cut.lantern.json").unlink()
    with raises_refusal(PROVISIONING_NONE, match="out"):
        provisioning_files.find_file(tmp_path / "out")


def test_of_many_files_the_label_or_the_id_decides(stick: list[PreparedBox]) -> None:
    folder = stick[0].file.parent
    with pytest.raises(ProvisioningUndecided, match="3 boxes"):
        provisioning_files.find_file(folder)
    for one in stick:
        assert provisioning_files.find_file(folder, code=one.code).content.box == one.box
        assert provisioning_files.find_file(folder, one.box).content.box == one.box
    with pytest.raises(CodeWrong):
        provisioning_files.find_file(folder, code="2222-2222-2222")
    with raises_refusal(PROVISIONING_NONE, match=r"clinic-1\.lantern\.json"):
        provisioning_files.find_file(folder, "clinic-1")


def test_of_two_files_for_one_box_the_later_counts(
    house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(house, tmp_path / "out")
    first.file.rename(tmp_path / "out/z-before.lantern.json")
    monkeypatch.setattr("time.time", lambda: 4e9)
    prepared(house, tmp_path / "out", clinic="东山卫生院")
    assert provisioning_files.find_file(tmp_path / "out").content.clinic == "东山卫生院"


def test_the_file_of_a_code_is_found_among_many_without_trying_each(
    house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try costs an scrypt of 16 MiB: of 300 files that was half a minute."""
    rows = [(number, {"box": f"clinic-{number:02}", "clinic": "清河卫生院"}) for number in range(12)]
    made = new_boxes.write_provisioning_files(house, "l", rows, tmp_path / "out", 30)
    tried: list[int] = []
    scrypt = hashlib.scrypt

    def counted(*given: Any, **named: Any) -> bytes:
        tried.append(1)
        return scrypt(*given, **named)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert provisioning_files.find_file(tmp_path / "out", code=made[-1].code).content.box == "clinic-11"
    assert len(tried) == 2
    with pytest.raises(CodeWrong):
        provisioning_files.find_file(tmp_path / "out", code="2222-2222-2222")
    assert len(tried) == 3


def test_the_files_that_an_earlier_version_made_are_found_by_trying_and_made_anew_by_the_next_list(
    house: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(number, {"box": f"clinic-{number}", "clinic": "清河卫生院"}) for number in range(3)]
    with monkeypatch.context() as before:
        before.setattr(ProvisioningFinder, "nonce", lambda _self, _box: "0123456789abcdef" * 2)
        made = new_boxes.write_provisioning_files(house, "l", rows, tmp_path / "out", 30)
    assert provisioning_files.find_file(tmp_path / "out", code=made[-1].code).content.box == "clinic-2"
    again = new_boxes.write_provisioning_files(house, "l", rows, tmp_path / "out", 30)
    assert [one.kept for one in again] == [False] * 3
    assert [one.code for one in again] == [one.code for one in made], "the printed sheet stays good"


@pytest.fixture
def stranger(tmp_path: Path) -> HospitalSite:
    """Anybody: `lantern-hospital found` makes one."""
    made = HospitalSite(tmp_path / "stranger")
    made.establish("evil.example", 8883)
    return made


@pytest.fixture
def hidden(house: HospitalSite, stranger: HospitalSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedBox:
    """The genuine file on a stick where a stranger's lies, for the same box and made later."""
    made = prepared(house, tmp_path / "stick")
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: 4e9)
        prepared(stranger, tmp_path / "stick/other")
    return made


def test_a_stranger_s_later_file_does_not_hide_that_of_the_hospital_which_the_box_knows(
    house: HospitalSite, hidden: PreparedBox, box: Box
) -> None:
    trusting(box, house)
    assert from_stick(box, hidden.file.parent) == [ASKED, "provision.stranger"]
    done = box.answered()
    assert (done.reason.code, done.hospital) == (DONE, house.bundle().fingerprint)


def test_a_stranger_s_later_file_does_not_hide_the_one_that_the_label_opens(
    house: HospitalSite, stranger: HospitalSite, hidden: PreparedBox, box: Box
) -> None:
    """The box knows no hospital yet: nobody but the label says which."""
    folder = hidden.file.parent
    for known in (None, "clinic-7"):
        with pytest.raises(ProvisioningUndecided):
            provisioning_files.find_file(folder, known)
        assert provisioning_files.find_file(folder, known, hidden.code).content.hospital == house.bundle()
        with pytest.raises(CodeWrong):
            provisioning_files.find_file(folder, known, "2222-2222-2222")
        for one in (house, stranger):  # or a person says it, who has compared
            counts = signed_provisioning.make_hospital_filter(box.places, one.bundle().fingerprint.upper())
            assert provisioning_files.find_file(folder, known, counts=counts).content.hospital == one.bundle()
    assert from_stick(box, folder) == [OFFERED, OFFERED]
    assert provisioning_files.list_offers(box.state) == ["clinic-7"]
    assert not provisioning_request.is_waiting(box.state)
    provisioning_request.ask(box.state, FirstRequest(file="clinic-7", code=hidden.code))
    done = box.answered()
    assert (done.reason.code, done.hospital) == (DONE, house.bundle().fingerprint)


def test_a_stranger_s_file_that_names_this_machine_does_not_hide_the_one_that_the_label_opens(
    house: HospitalSite, stranger: HospitalSite, tmp_path: Path
) -> None:
    made = prepared(house, tmp_path / "stick")
    prepared(stranger, tmp_path / "stick", box="clinic-8", device=network_name.hardware_name())
    with pytest.raises(ProvisioningUndecided):
        provisioning_files.find_file(tmp_path / "stick")
    assert provisioning_files.find_file(tmp_path / "stick", code=made.code).content.hospital == house.bundle()


def test_strangers_cannot_make_one_code_cost_any_number_of_tries(
    house: HospitalSite, hidden: PreparedBox, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning_files, "MOST_HOSPITALS", 1)
    assert from_stick(box, hidden.file.parent) == [OFFERED, "provision.many"]
    assert from_stick(box, hidden.file.parent) == [OFFERED, "provision.many"], "what is kept is kept up to date"
    assert provisioning_files.find_offer(box.state, "clinic-7").content.hospital == house.bundle()


def test_a_file_that_a_version_before_kept_without_its_hospital_is_found(house: HospitalSite, box: Box) -> None:
    made = prepared(house, box.state.provision / "offered")
    assert provisioning_files.list_offers(box.state) == ["clinic-7"]
    assert provisioning_files.find_offer(box.state, "clinic-7", made.code).content.hospital == house.bundle()


def test_the_same_file_beside_the_folder_that_was_copied_whole_is_one_file(
    house: HospitalSite, box: Box, tmp_path: Path
) -> None:
    """At the console and from a stick: there is one rule."""
    trusting(box, house)
    made = prepared(house, tmp_path / "stick")
    (tmp_path / "stick/boxes").mkdir()
    shutil.copy(made.file, tmp_path / "stick/boxes")
    assert provisioning_files.find_file(tmp_path / "stick").content.box == "clinic-7"
    assert from_stick(box, tmp_path / "stick") == [ASKED]


def test_the_only_file_of_a_stick_that_may_have_lost_some_waits_for_its_label(
    house: HospitalSite, box: Box, tmp_path: Path
) -> None:
    trusting(box, house)
    prepared(house, tmp_path / "stick")
    assert from_stick(box, tmp_path / "stick", whole=False) == [OFFERED]
    assert not provisioning_request.is_waiting(box.state)
    prepared(house, tmp_path / "stick", device=network_name.hardware_name())  # unless it says whose it is
    assert from_stick(box, tmp_path / "stick", whole=False) == [ASKED]


def test_beyond_what_is_looked_at_a_file_is_found_by_its_name_and_else_the_limit_is_said(
    stick: list[PreparedBox], box: Box, house: HospitalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hospital's list may have 10,000 lines."""
    trusting(box, house)
    monkeypatch.setattr(provisioning_files, "MOST_FILES", 2)
    folder = stick[0].file.parent
    assert provisioning_files.find_file(folder, "clinic-9").content.box == "clinic-9"
    assert provisioning_files.find_file(folder, code=stick[1].code).content.box == "clinic-8"
    none: list[dict[str, Any]] = [{}, {"code": stick[2].code}, {"box": "clinic-1"}]
    for chosen in none:
        with raises_refusal(PROVISIONING_MANY, match=r"more than 2 .*--id"):
            provisioning_files.find_file(folder, **chosen)
    assert from_stick(box, folder) == ["provision.many", OFFERED, OFFERED]
    stick[0].file.unlink()
    assert from_stick(box, folder) == [OFFERED, "provision.many"]  # kept for the page are no more than two either
    assert not provisioning_request.is_waiting(box.state)


def test_the_limit_leaves_no_file_the_only_one(
    stick: list[PreparedBox], box: Box, house: HospitalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting(box, house)
    monkeypatch.setattr(provisioning_files, "MOST_FILES", 1)
    assert from_stick(box, stick[0].file.parent) == ["provision.many", OFFERED]
    assert not provisioning_request.is_waiting(box.state)


def test_a_box_is_told_that_its_own_file_is_spoilt_and_not_that_there_is_none(stick: list[PreparedBox]) -> None:
    stick[1].file.write_bytes(stick[1].file.read_bytes()[:-9])
    with pytest.raises(ProvisioningUnreadable, match=stick[1].file.name):
        provisioning_files.find_file(stick[1].file.parent, "clinic-8")


def test_a_link_on_a_stick_is_passed_over(house: HospitalSite, box: Box, tmp_path: Path) -> None:
    trusting(box, house)
    made = prepared(house, tmp_path / "elsewhere")
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick/clinic-7.lantern.json").symlink_to(made.file)
    (tmp_path / "stick/boxes").symlink_to(made.file.parent)
    assert from_stick(box, tmp_path / "stick") == []

"""What the viewer says of a stick, from the importer's file and lock alone."""

from __future__ import annotations

import pytest

from firmware_app.cases import usb_import
from firmware_app.cases.accounts import Role
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core import run_status
from firmware_app.core.errors.base import codes_of
from firmware_app.core.records import Reason
from firmware_app.dicom.errors import (
    IDENTITY_MISMATCH,
    PROTOCOL_BROKEN,
    DirectoryRecord,
    IntakeError,
    NotKept,
    SpaceShort,
)
from firmware_app.ingest.errors import STICK_FOREIGN, STICK_NOT_ALL, STICK_PULLED
from tests.viewer import HTML, Desk, post

AT = "2026-11-21T10:00:00+00:00"
PULLED = StickStatus(StickStage.UNFINISHED, AT, new=7, reason=Reason.from_error(STICK_PULLED()))


def test_the_worklist_follows_the_copying(desk: Desk) -> None:
    doctor = desk.person("li")
    with run_status.hold_process_lock(desk.state, usb_import.STATUS_NAME):
        for status, words in (
            (StickStatus(StickStage.SEARCHING, AT), "A stick is being looked through. Leave it in."),
            (StickStatus(StickStage.COPYING, AT, found=200, looked=50), "files: 50 of 200"),
        ):
            usb_import.write_status(desk.state, status)
            for page in ("/", "/lists"):  # the second is what the page asks for when something has changed
                assert words in doctor.get(page, headers=HTML).text
    usb_import.write_status(desk.state, StickStatus(StickStage.DONE, AT, new=3, known=2))
    shown = doctor.get("/", headers=HTML).text
    assert "All is copied from the stick. It can be taken out." in shown
    assert "New images: 3. Here already: 2." in shown


def test_a_stick_of_which_not_all_came_in_may_be_taken_out_and_every_reason_is_counted(desk: Desk) -> None:
    refused = {"intake.transfer_syntax": 33, "intake.truncated": 1000, "intake.pixel_length": 167, "intake.later": 1}
    reason = Reason.from_error(STICK_NOT_ALL(count=1201))
    usb_import.write_status(desk.state, StickStatus(StickStage.UNFINISHED, AT, new=29, refused=refused, reason=reason))
    for page in ("/", "/stick"):
        shown = desk.person(f"li{len(page)}").get(page, headers=HTML).text
        assert "All is copied" not in shown
        assert "The stick can be taken out, but not everything came in. Files damaged or refused: 1201;" in shown
        for sentence in (
            "Damaged images, which end too early: 1167.",
            "Images in a compression that the box does not take: 33.",
            "Files refused for another reason (intake.later): 1.",
        ):
            assert sentence in shown


@pytest.mark.parametrize("role", [Role.DOCTOR, Role.TECHNICIAN])
def test_why_a_stick_was_not_copied_stays_until_somebody_has_read_it(desk: Desk, role: Role) -> None:
    person = desk.person("wang", role)
    usb_import.write_status(desk.state, PULLED)
    assert STICK_PULLED().text("en") in person.get("/box", headers=HTML).text
    assert post(person, "/stick/seen").status_code == 302
    assert STICK_PULLED().text("en") not in person.get("/box", headers=HTML).text
    usb_import.write_status(
        desk.state, StickStatus(StickStage.REFUSED, AT, reason=Reason.from_error(STICK_FOREIGN(kind="ext4")))
    )
    assert "ext4" in person.get("/box", headers=HTML).text


def test_an_importer_that_died_is_not_waited_for(desk: Desk) -> None:
    usb_import.write_status(desk.state, StickStatus(StickStage.COPYING, AT, found=9))
    assert "interrupted" in desk.person("li").get("/", headers=HTML).text


def test_receipts_are_shown_newest_first_as_text(desk: Desk) -> None:
    for number in (1, 2):
        (desk.state.usb / f"{number:06d}.txt").write_text(f"receipt {number} <script>", "utf-8")
    (desk.state.usb / "marks").write_text("x", "ascii")
    shown = desk.person("li").get("/stick", headers=HTML).text
    assert shown.index("receipt 2 &lt;script&gt;") < shown.index("receipt 1 &lt;script&gt;")
    assert desk.person("a", Role.AUDITOR).get("/stick", headers=HTML).status_code == 403


def test_every_refusal_that_a_file_can_cause_has_a_sentence_of_its_own_on_the_page() -> None:
    passed_by = {DirectoryRecord.code, IDENTITY_MISMATCH.code, PROTOCOL_BROKEN.code, SpaceShort.code}  # network, disk
    codes = codes_of(IntakeError) - codes_of(NotKept) - passed_by
    assert len(codes) > 15
    sentences_of = {code: usb_import.explain_refusals({code: 1}, "en") for code in codes}
    assert [code for code, sentences in sentences_of.items() if code in sentences[0]] == []

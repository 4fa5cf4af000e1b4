"""What the box says of its software: to the doctor, on its page, and in a closed form to the hospital."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.appliance import software_record
from firmware_app.appliance.checks import installed_software
from firmware_app.appliance.software_bundle import InstalledSystem
from firmware_app.core import run_status
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.messages.box_reports import DiskSlot, LeftSlot, RunningSoftware, SlotLeftReason

BOX = InstalledSystem("lantern-x86_64", "0.3.0+g1a2b3c", "A")


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path)
    made.run.mkdir()
    return made


def leave(state: StateDir, code: str, parts: str = "", version: str = "0.4.0") -> None:
    """As care/slot.py writes it down."""
    left = {"slot": "B", "version": version, "code": code, "parts": parts} if code else None
    run_status.write_check_result(
        state, "slot", {"at": "2026-11-25T03:00:00Z", "good": {"A": BOX.version}, "left": left}
    )


def test_the_doctor_says_what_runs_in_which_slot(state: StateDir) -> None:
    (check,) = installed_software.check_software(state, BOX)
    assert (check.name, check.result) == ("software", "ok")
    assert "0.3.0+g1a2b3c" in check.reason.text("en")
    assert "slot A" in check.reason.text("en")
    (check,) = installed_software.check_software(state, InstalledSystem("debian-amd64", "0.3.0"))
    assert "slot" not in check.reason.text("en")


@pytest.mark.parametrize(
    ("code", "said"),
    [(software_record.UNFIT, "failed: gateway, packs"), (software_record.UNSTARTED, "did not start three times")],
)
def test_the_doctor_says_why_a_slot_was_left(state: StateDir, code: str, said: str) -> None:
    leave(state, code, "gateway, packs" if code == software_record.UNFIT else "")
    _, check = installed_software.check_software(state, BOX)
    assert (check.result, check.reason.code) == ("warn", code)
    assert "Version 0.4.0 in slot B" in check.reason.text("en")
    assert said in check.reason.text("en")
    assert "版本 0.4.0" in check.reason.text("zh_CN")


def test_the_hospital_is_told_slot_version_code_and_parts(state: StateDir) -> None:
    leave(state, software_record.UNFIT, "gateway, packs")
    left = LeftSlot(DiskSlot.B, "0.4.0", SlotLeftReason.UNFIT, ("gateway", "packs"))
    assert software_record.report_software(state, BOX) == RunningSoftware(
        "lantern-x86_64", BOX.version, DiskSlot.A, left
    )


def test_what_has_not_the_closed_form_stays_on_the_box(state: StateDir) -> None:
    leave(state, software_record.UNFIT, "packs, Wang Xiaoming", version="of Wang Xiaoming")
    said = software_record.report_software(state, BOX)
    assert said is not None
    assert said.left == LeftSlot(DiskSlot.B, None, SlotLeftReason.UNFIT, ("packs",))
    assert software_record.report_software(state, InstalledSystem("", "a laptop of Wang Xiaoming")) is None

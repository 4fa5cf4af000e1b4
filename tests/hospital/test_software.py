"""Which box runs which software, and which left it: what the hospital keeps and shows."""

from __future__ import annotations

from firmware_app.uplink.messages.box_reports import DiskSlot, LeftSlot, RunningSoftware, SlotLeftReason
from firmware_app.uplink.messages.summary import Origin, SoftwareState
from hospital.errors import OUTDATED
from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_db import Inbox
from tests.hospital.test_page import desk
from tests.refusals import raises_refusal


def running(
    box: str, version: str, left: LeftSlot | None = None, session: int = 1, beat: int = 0, stream: str = "5"
) -> SoftwareState:
    return SoftwareState(
        Origin(box, stream * 32, session, "b" * 16),
        beat,
        RunningSoftware("lantern-x86_64", version, DiskSlot.A, left),
        None,
    )


def test_the_page_counts_the_boxes_of_each_version_and_those_that_left_it(house: HospitalSite, inbox: Inbox) -> None:
    for number in (7, 8, 9):
        inbox.enrol(f"clinic-{number}", "0" * 64, replace=False)
    left = LeftSlot(DiskSlot.B, "0.10.0", SlotLeftReason.UNFIT, ("gateway", "packs"))
    inbox.keep_report(running("clinic-7", "0.9.0", left))
    inbox.keep_report(running("clinic-8", "0.9.0"))
    inbox.keep_report(running("clinic-9", "0.10.0"))
    counts = inbox_tables.count_versions(inbox_tables.list_latest_software(inbox.connection))
    assert [(one.version, one.runs, one.left) for one in counts] == [("0.10.0", 1, 1), ("0.9.0", 2, 0)]
    text = desk(house).text()
    assert "Software versions" in text
    assert "failed its self-test" in text
    assert "gateway, packs" in text
    inbox.revoke("clinic-7")
    assert [
        (one.version, one.runs, one.left)
        for one in inbox_tables.count_versions(inbox_tables.list_latest_software(inbox.connection))
    ] == [("0.10.0", 1, 0), ("0.9.0", 1, 0)]


def test_a_prerelease_is_before_its_release_and_a_later_commit_after_it() -> None:
    said = [{"machine": None, "version": one, "left": None} for one in ("0.4.0", "0.4.0~rc1", "0.4.0+git2", "0.10.0")]
    assert [one.version for one in inbox_tables.count_versions(said)] == ["0.10.0", "0.4.0+git2", "0.4.0", "0.4.0~rc1"]


def test_the_last_word_of_a_box_counts_and_an_older_one_is_outdated(inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    assert inbox.keep_report(running("clinic-7", "0.3.0"))
    assert not inbox.keep_report(running("clinic-7", "0.3.0")), "the same once more"
    assert inbox.keep_report(running("clinic-7", "0.4.0", beat=1))
    with raises_refusal(OUTDATED):
        inbox.keep_report(running("clinic-7", "0.3.0"))
    assert not inbox.keep_report(running("clinic-7", "0.3.0"), again=True)
    assert inbox.keep_report(running("clinic-7", "0.3.0", stream="6")), "a new stream begins anew"
    assert [one["version"] for one in inbox_tables.list_latest_software(inbox.connection)] == ["0.3.0"]

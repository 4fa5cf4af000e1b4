"""What the boxes report of packs, drift and software: the latest word of each is kept and shown."""

from __future__ import annotations

from firmware_app.core.records import LocalState
from firmware_app.uplink.messages.box_reports import (
    ClinicFigures,
    DiskSlot,
    DriftWatch,
    LeftSlot,
    MeasureDrift,
    MeasureTrend,
    RunningSoftware,
    SiteDrift,
    SiteFigures,
    SlotLeftReason,
    SoftwareState,
)
from hospital.errors import OUTDATED
from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_db import Inbox
from tests.hospital.test_page import desk
from tests.line import origin
from tests.refusals import raises_refusal


def figures(session: int, beat: int, confirmed: int, stream: str = "5") -> ClinicFigures:
    place = SiteFigures(
        "chest-xray-child",
        "1.2.0",
        "m-" + "0" * 20,
        "pneumonia",
        LocalState.SUSPENDED,
        5000,
        400,
        confirmed,
        30,
        (55, 44, 66),
        (),
        (),
    )
    return ClinicFigures(origin(session, stream), beat, (place,), None)


def test_the_latest_word_of_a_box_counts(inbox: Inbox) -> None:
    assert inbox.keep_report(figures(2, 1, 50))
    assert not inbox.keep_report(figures(2, 1, 50)), "the same once more"
    assert inbox.keep_report(figures(2, 3, 60))
    with raises_refusal(OUTDATED):
        inbox.keep_report(figures(2, 2, 55))
    assert not inbox.keep_report(figures(2, 2, 55), again=True)
    assert inbox.keep_report(figures(1, 0, 61, stream="6")), "a new stream begins anew"
    (row,) = inbox.list_figures()
    assert (row["box"], row["state"], row["auc"], row["confirmed"]) == ("clinic-7", "suspended", [55, 44, 66], 61)


def watch(beat: int, now: int, machine: str = "1") -> DriftWatch:
    state = MeasureTrend.CHANGED if now > 1000 else MeasureTrend.STEADY
    place = SiteDrift(
        "chest-xray-child", "1.2.0", "m-" + machine * 20, 700, (MeasureDrift("refused", 100, now, 31, state),)
    )
    return DriftWatch(origin(), beat, place, None)


def test_the_page_names_the_machine_whose_films_have_changed(house: HospitalSite, inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "a" * 64, replace=False)
    inbox.keep_report(watch(1, 100))
    inbox.keep_report(watch(1, 100, machine="2"))
    inbox.keep_report(watch(2, 4200, machine="2"))
    latest = [(row["machine"][2], row["changed"]) for row in inbox_tables.list_latest_drift(inbox.connection)]
    assert latest == [("2", ["refused"]), ("1", [])], "a change comes first"
    for address in ("/", "/box/clinic-7"):
        page = desk(house).text(address)
        assert all(word in page for word in ("m-22222222", "1.0% → 42.0%", "无变化")), address


def test_the_last_word_of_each_week_is_kept(inbox: Inbox) -> None:
    for day in range(1, 29):
        inbox_tables.keep_report(inbox.connection, watch(day, day), f"2026-06-{day:02d}T00:00:00+00:00")
    kept = [
        (row["week"], row["measures"][0]["now"]) for row in inbox_tables.list_drift_weeks(inbox.connection, "clinic-7")
    ]
    assert kept == [("2026-W26", 28), ("2026-W25", 21), ("2026-W24", 14), ("2026-W23", 7)]


def running(box: str, version: str, left: LeftSlot | None = None) -> SoftwareState:
    return SoftwareState(origin(box=box), 0, RunningSoftware("lantern-x86_64", version, DiskSlot.A, left), None)


def test_the_page_counts_the_boxes_of_each_version_and_those_that_left_it(house: HospitalSite, inbox: Inbox) -> None:
    for number in (7, 8, 9):
        inbox.enrol(f"clinic-{number}", "0" * 64, replace=False)
    left = LeftSlot(DiskSlot.B, "0.10.0", SlotLeftReason.UNFIT, ("gateway", "packs"))
    inbox.keep_report(running("clinic-7", "0.9.0", left))
    inbox.keep_report(running("clinic-8", "0.9.0"))
    inbox.keep_report(running("clinic-9", "0.10.0"))
    counts = inbox_tables.count_versions(inbox_tables.list_latest_software(inbox.connection))
    assert [(count.version, count.runs, count.left) for count in counts] == [("0.10.0", 1, 1), ("0.9.0", 2, 0)]
    text = desk(house).text()
    assert "Software versions" in text
    assert "failed its self-test" in text
    assert "gateway, packs" in text
    inbox.revoke("clinic-7")
    assert [
        (version.version, version.runs, version.left)
        for version in inbox_tables.count_versions(inbox_tables.list_latest_software(inbox.connection))
    ] == [("0.10.0", 1, 0), ("0.9.0", 1, 0)]

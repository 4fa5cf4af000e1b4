"""How the packs do at each clinic: the latest word of each box is kept, an older one changes nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from firmware_app.core.records import LocalState
from firmware_app.uplink.messages.box_reports import MeasureDrift, MeasureTrend, SiteDrift, SiteFigures
from firmware_app.uplink.messages.summary import ClinicFigures, DriftWatch, Origin
from hospital import message_verification
from hospital.errors import OUTDATED
from hospital.hospital_site import HospitalSite
from hospital.inbox import inbox_tables
from hospital.inbox.inbox_db import Inbox
from hospital.page.app import create_app
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
    return ClinicFigures(Origin("clinic-7", stream * 32, session, "b" * 16), beat, (place,), None)


def test_the_latest_word_of_a_box_counts(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox.db")
    inbox.create()
    assert inbox.keep_report(figures(2, 1, 50))
    assert not inbox.keep_report(figures(2, 1, 50)), "the same once more"
    assert inbox.keep_report(figures(2, 3, 60))
    with raises_refusal(OUTDATED):
        inbox.keep_report(figures(2, 2, 55))
    assert [row["confirmed"] for row in inbox.figures()] == [60]
    assert inbox.keep_report(figures(1, 0, 61, stream="6")), "a new stream begins anew"
    (row,) = inbox.figures()
    assert (row["box"], row["state"], row["auc"], row["confirmed"]) == ("clinic-7", "suspended", [55, 44, 66], 61)


def test_the_topic_is_known() -> None:
    assert message_verification.parse_topic("lantern/v1/up/clinic-7/drift")[1].value == "drift"


def watch(session: int, beat: int, now: int, machine: str = "1", stream: str = "5") -> DriftWatch:
    state = MeasureTrend.CHANGED if now > 1000 else MeasureTrend.STEADY
    place = SiteDrift(
        "chest-xray-child", "1.2.0", "m-" + machine * 20, 700, (MeasureDrift("refused", 100, now, 31, state),)
    )
    return DriftWatch(Origin("clinic-7", stream * 32, session, "b" * 16), beat, place, None)


def test_the_page_names_the_machine_whose_films_have_changed(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox.db")
    inbox.create()
    inbox.connection.execute(
        "INSERT INTO boxes (box, verify, enrolled_at) VALUES ('clinic-7', ?, '2026-01-01T00:00:00+00:00')", ("a" * 64,)
    )
    assert inbox.keep_report(watch(1, 1, 100))
    assert inbox.keep_report(watch(1, 1, 100, machine="2"))
    assert not inbox.keep_report(watch(1, 1, 100)), "the same once more"
    assert inbox.keep_report(watch(1, 2, 4200, machine="2"))
    with raises_refusal(OUTDATED):
        inbox.keep_report(watch(1, 1, 150, machine="2"))
    latest = [(row["machine"][2], row["changed"]) for row in inbox_tables.list_latest_drift(inbox.connection)]
    assert latest == [("2", ["refused"]), ("1", [])], "a change comes first"
    client = create_app(HospitalSite(tmp_path), timedelta(minutes=15)).test_client()
    for address in ("/", "/box/clinic-7"):
        page = client.get(address, base_url="http://localhost").text
        assert all(one in page for one in ("m-22222222", "1.0% → 42.0%", "无变化")), address


def test_the_last_word_of_each_week_is_kept(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox.db")
    inbox.create()
    for day in range(1, 29):
        inbox_tables.keep_report(inbox.connection, watch(1, day, day), f"2026-06-{day:02d}T00:00:00+00:00")
    kept = [
        (row["week"], row["measures"][0]["now"]) for row in inbox_tables.list_drift_weeks(inbox.connection, "clinic-7")
    ]
    assert kept == [("2026-W26", 28), ("2026-W25", 21), ("2026-W24", 14), ("2026-W23", 7)]

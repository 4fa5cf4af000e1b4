"""The page of the one who is on duty: what it must never leave out, and what it must never ask too dearly."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from firmware_app.core.records import Priority
from firmware_app.uplink.messages.summary import PackBrief, PresenceKind
from hospital.hospital_site import HospitalSite
from hospital.inbox import receiver_status
from hospital.inbox.inbox_db import Inbox
from hospital.inbox.inbox_tables import BoxRow
from hospital.inbox.receiver_status import ReceiverStatus
from hospital.page import app as page
from hospital.page import urgent_cases
from hospital.page.app import create_app, find_silent_boxes
from tests.hospital.test_receiving import count
from tests.line import presence, summary

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Desk:
    """The page as the one on duty asks it."""

    client: FlaskClient

    def text(self, address: str = "/") -> str:
        page = self.client.get(address, base_url="http://localhost")
        assert page.status_code == 200, address
        return page.text


def desk(house: HospitalSite) -> Desk:
    """A fresh page, which has answered nothing yet."""
    return Desk(create_app(house, timedelta(minutes=15)).test_client())


def hear_the_broker(inbox: Inbox) -> None:
    receiver_status.ReceiverStatusRecorder(inbox).record_connected()


def add_cases(inbox: Inbox, box: str, number: int, priority: str = "urgent") -> None:
    """Case revisions of *box*, one a millisecond, the last one now."""
    now = datetime.now(UTC)
    moments = [(now - timedelta(milliseconds=number - at)).isoformat(timespec="milliseconds") for at in range(number)]
    with inbox.transaction() as connection:
        connection.executemany(
            "INSERT INTO cases VALUES (?, ?, 1, ?, NULL, NULL, ?)",
            [(box, f"c-{box}-{at}-", priority, moment) for at, moment in enumerate(moments)],
        )


# --- the broker -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "since", "heard", "codes"),
    [
        (2, 600, 2, []),
        (2, 600, 14, []),  # nothing but keep-alives
        (2, None, 2, ["hospital.broker_silent"]),
        (2, 600, 60, ["hospital.broker_silent"]),  # it is there and says nothing
        (120, 600, 120, ["hospital.receiver_silent"]),
        (-3600, 600, -3600, ["hospital.receiver_silent"]),  # the clock was set back since
        (None, None, None, ["hospital.receiver_silent"]),
    ],
)
def test_a_broker_that_is_not_heard_has_a_code(
    written: int | None, since: int | None, heard: int | None, codes: list[str]
) -> None:
    def ago(seconds: int | None) -> datetime | None:
        return NOW - timedelta(seconds=seconds) if seconds is not None else None

    assert ReceiverStatus(ago(written), ago(since), ago(heard)).list_codes(NOW) == codes


def test_no_box_is_called_online_while_the_broker_is_not_heard(house: HospitalSite, inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    count(inbox, summary())
    word = receiver_status.ReceiverStatusRecorder(inbox)
    word.record_connected()
    heard = desk(house)
    assert "Every box has been heard lately" in heard.text()
    assert "broker last heard" in heard.text()
    assert heard.client.get("/healthz", base_url="http://127.0.0.1").json == {"status": "ok", "codes": []}
    word.record_disconnected("Connection refused")
    unheard = desk(house)
    assert "Every box has been heard lately" not in unheard.text()
    assert "The receiver does not hear the broker" in unheard.text()
    assert "Connection refused" in unheard.text()
    answer = unheard.client.get("/healthz", base_url="http://127.0.0.1").json
    assert answer == {"status": "degraded", "codes": ["hospital.broker_silent"]}


def test_a_doubtful_clock_is_on_the_page_and_has_a_code(house: HospitalSite, inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    count(inbox, summary())
    word = receiver_status.ReceiverStatusRecorder(inbox)
    word.refresh(is_clock_doubtful=True)
    word.record_connected()
    doubtful = desk(house)
    assert "This machine's clock is doubtful" in doubtful.text()
    assert "The receiver does not hear the broker" not in doubtful.text()
    answer = doubtful.client.get("/healthz", base_url="http://127.0.0.1").json
    assert answer == {"status": "degraded", "codes": ["hospital.clock_doubtful"]}
    word.refresh(is_clock_doubtful=False)
    word.record_connected()
    assert "clock is doubtful" not in desk(house).text()


def test_an_inbox_that_is_not_there_is_no_quiet_night(house: HospitalSite) -> None:
    for file in house.root.glob("inbox.db*"):
        file.unlink()
    page = desk(house).client
    assert page.get("/", base_url="http://localhost").status_code == 503
    assert page.get("/healthz", base_url="http://localhost").json == {"status": "degraded", "codes": ["hospital.inbox"]}
    assert not house.inbox_db.exists(), "whoever asks makes none"


# --- urgent cases ---------------------------------------------------------------------------------------------------


def test_the_page_shows_tonights_urgent_cases_and_silent_boxes(house: HospitalSite, inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    inbox.enrol("clinic-8", "1" * 64, replace=False)
    hear_the_broker(inbox)
    count(inbox, summary())
    count(inbox, summary(2, case=2, priority=Priority.ROUTINE))
    asked = desk(house)
    text = asked.text()
    assert f"c-{1:020x}" in text
    assert f"c-{2:020x}" not in text
    assert "tuberculosis 0.93" in text
    assert "clinic-8" in text
    assert "Not for diagnostic use" in text
    page = asked.client.get("/", base_url="http://localhost")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert asked.client.get("/", base_url="http://evil.example").status_code == 400


def test_a_flood_of_one_box_hides_no_urgent_case_of_another_and_says_how_many_it_leaves_out(
    house: HospitalSite, inbox: Inbox
) -> None:
    add_cases(inbox, "quiet", 3)
    add_cases(inbox, "flooding", 450)
    asked = desk(house)
    text = asked.text()
    assert [text.count(f"c-quiet-{at}-") for at in range(3)] == [1, 1, 1]
    assert text.count("c-flooding-") == urgent_cases.ROOM - 3
    assert "253 more" in text

    address, seen = "/box/flooding", ""
    while address:
        page = asked.text(address)
        seen += page
        address = page.partition('href="/box/flooding?before=')[2].partition('"')[0]
        address = address and f"/box/flooding?before={address}"
    assert all(seen.count(f"c-flooding-{at}-") == 1 for at in range(450))


def test_cases_of_a_future_hide_none_of_today_and_leave_when_a_day_has_passed(
    house: HospitalSite, inbox: Inbox
) -> None:
    def add(number: int, moment: str, first: int) -> None:
        with inbox.transaction() as connection:
            connection.executemany(
                "INSERT INTO cases VALUES ('clinic-7', ?, 1, 'urgent', NULL, NULL, ?)",
                [(f"c-{first + at}-", moment) for at in range(number)],
            )

    now = datetime.now(UTC)
    add(250, "2099-01-01T00:00:00.000+00:00", 0)
    add(1, now.isoformat(timespec="milliseconds"), 999)
    text = desk(house).text()
    assert text.index("c-999-") < text.index("c-249-"), "today's first, then those that may be of tonight too"
    assert "51 more" in text
    assert "c-50-" in desk(house).text("/box/clinic-7?before=151"), "and they are paged through"
    add(1, (now - timedelta(hours=25)).isoformat(timespec="milliseconds"), 1000)
    assert "c-249-" not in desk(house).text()


def test_script_in_what_a_box_says_stays_text(house: HospitalSite, inbox: Inbox) -> None:
    add_cases(inbox, "<script>alert(1)</script>", 1)
    text = desk(house).text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


# --- boxes ----------------------------------------------------------------------------------------------------------


def test_a_box_is_silent_when_it_was_not_heard_or_said_goodbye() -> None:
    def heard(name: str, minutes: int | None, *, gone: bool = False, older: bool = False) -> BoxRow:
        last = (NOW - timedelta(minutes=minutes)).isoformat() if minutes is not None else None
        return BoxRow(name, last, gone, older, None)

    boxes = [heard("a", 3), heard("b", 20), heard("c", 2, gone=True), heard("d", None), heard("e", 90)]
    rows = find_silent_boxes(boxes, NOW, timedelta(minutes=15))
    assert [(row.box, row.said_goodbye) for row in rows] == [("d", False), ("e", False), ("b", False), ("c", True)]


def test_a_box_last_heard_while_the_clock_was_ahead_is_silent(house: HospitalSite, inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    inbox.keep_presence(presence(1, 0, PresenceKind.BIRTH))
    inbox.connection.execute("UPDATE heard SET at = '2099-01-01T00:00:00.000+00:00'")
    assert "the hospital's clock was ahead then" in desk(house).text()


@pytest.mark.parametrize(("before", "after"), [("5", "6"), ("6", "5")])
def test_the_last_will_of_a_stream_that_is_gone_disconnects_no_box(
    house: HospitalSite, inbox: Inbox, before: str, after: str
) -> None:
    """`exchange.db` was lost; the broker tells of the old line's end in the same batch as the new one's birth."""
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    with inbox.transaction():
        inbox.keep_presence(presence(9, 0, PresenceKind.BIRTH, before))
        inbox.keep_presence(presence(9, 10**9, PresenceKind.DEATH, before))
        inbox.keep_presence(presence(1, 0, PresenceKind.BIRTH, after))
    assert "disconnected" not in desk(house).text()
    with inbox.transaction():
        inbox.keep_presence(presence(10, 10**9, PresenceKind.DEATH, before))
    assert "disconnected" not in desk(house).text()
    with inbox.transaction():
        inbox.keep_presence(presence(1, 10**9, PresenceKind.DEATH, after))
    assert "disconnected" in desk(house).text()


def test_a_summary_after_the_goodbye_shows_that_the_box_is_there(house: HospitalSite, inbox: Inbox) -> None:
    inbox.enrol("clinic-7", "0" * 64, replace=False)
    inbox.keep_presence(presence(9, 10**9, PresenceKind.DEATH))
    count(inbox, summary())
    assert "disconnected" not in desk(house).text()


def test_the_page_shows_version_packs_and_faults_of_the_boxes_that_say_them(house: HospitalSite, inbox: Inbox) -> None:
    for box in ("clinic-7", "clinic-8"):
        inbox.enrol(box, "0" * 64, replace=False)
    inbox.keep_presence(presence(1, 1, version="0.1.0"))
    packs = (PackBrief("chest-xray-adult", "1.2.3"),)
    faults = ("pack.fell_sensitivity", "disk.full")
    inbox.keep_presence(presence(1, 1, box="clinic-8", version="0.9.1", faults=faults, packs=packs))
    text = desk(house).text()
    assert "0.1.0" in text
    assert "0.9.1" in text
    assert "chest-xray-adult 1.2.3" in text
    assert "disk.full" in text
    assert "the model misses more than its card says" in text


# --- what it costs --------------------------------------------------------------------------------------------------


def test_however_many_look_the_inbox_is_asked_once_a_second(
    house: HospitalSite, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []
    ask = urgent_cases.urgent

    def counting(connection: sqlite3.Connection, now: datetime) -> urgent_cases.UrgentCases:
        asked.append(now)
        return ask(connection, now)

    monkeypatch.setattr(urgent_cases, "urgent", counting)
    monkeypatch.setattr(page, "_FRESH_S", 3600.0)  # a second that lasts as long as the test
    looked = desk(house)
    for _ in range(10):
        looked.text()
    assert len(asked) == 1
    monkeypatch.setattr(page, "_FRESH_S", 0.0)  # and is over
    looked.text()
    assert len(asked) == 2


def test_a_code_typed_on_the_page_enrols_only_from_the_page_itself(house: HospitalSite) -> None:
    client = desk(house).client
    assert "没有设备在等待" in client.get("/enrol", base_url="http://localhost").text
    elsewhere = client.post(
        "/enrol", data={"code": "x"}, base_url="http://localhost", headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert elsewhere.status_code == 403
    wrong = client.post("/enrol", data={"code": "2222-2222-2222"}, base_url="http://localhost")
    assert wrong.status_code == 409
    assert "This is the code of no label" in wrong.text
    assert "这不是这里印过的任何标签的代码" in wrong.text


@pytest.mark.parametrize("path", ["/", "/enrol", "/healthz", "/box/clinic-7", "/static/tonight.css"])
def test_a_name_that_is_not_the_pages_reaches_nothing(house: HospitalSite, path: str) -> None:
    """Whoever owns a name can point it at this machine (DNS rebinding)."""
    client = desk(house).client
    assert client.get(path, base_url="http://evil.example").status_code == 400
    assert client.post("/enrol", data={"code": "x"}, base_url="http://evil.example").status_code == 400

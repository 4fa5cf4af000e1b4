"""The receiver signs no time that the boxes or its own inbox contradict, and counts all the same."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from firmware_app.uplink.messages.summary import Origin, Presence, PresenceKind
from hospital import cli
from hospital.hospital_site import HospitalSite
from hospital.inbox.inbox_db import Inbox
from hospital.receiver_clock import ReceiverClock


def says(box: str, off: timedelta, state: PresenceKind = PresenceKind.HEALTH) -> Presence:
    hour = (datetime.now(UTC) + off).strftime("%Y-%m-%dT%H")
    return Presence(Origin(box, "5" * 32, 1, "b" * 16), state, 0, "0.1.0", 0, 0, None, 900, None, hour, (), ())


def signs(clock: ReceiverClock) -> bool:
    signed = clock.now()
    assert signed is None or abs(signed - time.time()) < 5
    return signed is not None


@pytest.mark.parametrize("off", [timedelta(days=-300), timedelta(days=3)])
def test_a_clock_that_several_boxes_contradict_by_days_is_not_signed(off: timedelta, inbox: Inbox) -> None:
    clock = ReceiverClock(inbox)
    clock.heard(says("a", off))
    assert signs(clock), "one box may be wrong itself"
    clock.heard(says("b", off))
    assert not signs(clock)
    clock.heard(says("a", timedelta()))
    assert signs(clock), "they do not agree with each other"


def test_a_box_that_is_gone_and_what_waited_at_the_broker_are_no_witnesses(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, off, since = ReceiverClock(inbox), timedelta(days=-9), time.monotonic()

    def contradict(state: PresenceKind = PresenceKind.HEALTH) -> None:
        for box in ("a", "b"):
            clock.heard(says(box, off, state))

    def later(seconds: int) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: since + seconds)

    contradict(PresenceKind.DEATH)
    assert signs(clock), "a last will was sealed long before"
    contradict()
    assert not signs(clock)
    contradict(PresenceKind.DEATH)
    assert signs(clock), "both said goodbye"
    contradict()
    later(601)
    assert signs(clock), "both said nothing for ten minutes"
    clock.connected()
    contradict()
    assert signs(clock), "that waited at the broker"
    later(601 + 301)
    contradict()
    assert not signs(clock)


def add_case(inbox: Inbox, off: timedelta) -> None:
    came = (datetime.now(UTC) + off).isoformat(timespec="milliseconds")
    with inbox.transaction() as connection:
        rows = connection.execute("SELECT COUNT(*) FROM cases").fetchone()[0]
        connection.execute("INSERT INTO cases VALUES ('a', ?, 1, 'urgent', NULL, NULL, ?)", (f"c-{rows}", came))


def test_a_clock_that_is_behind_the_inbox_is_not_signed_until_a_box_bears_it_out(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    add_case(inbox, timedelta(days=400))
    clock = ReceiverClock(inbox)
    assert not signs(clock)
    assert "doubtful" in caplog.text
    clock.heard(says("a", timedelta()))
    assert signs(clock)


def test_a_person_says_once_that_the_clock_is_right_and_every_later_start_knows_it(
    house: HospitalSite, inbox: Inbox
) -> None:
    add_case(inbox, timedelta(days=400))
    contradicted, behind = ReceiverClock(inbox), ReceiverClock(inbox)
    for box in ("a", "b"):
        contradicted.heard(says(box, timedelta(days=-3)))
    assert not signs(contradicted)
    assert not signs(behind)
    assert cli.main(["clock-is-right", "--dir", str(house.root)]) == 0
    assert signs(contradicted)
    assert signs(behind)
    assert signs(ReceiverClock(inbox))
    assert inbox.newest() is None
    add_case(inbox, timedelta(days=1))
    assert inbox.newest() is not None, "what comes later counts"


def test_a_persons_word_ends_when_the_clock_leaps(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.say_clock_is_right()
    clock, now = ReceiverClock(inbox), time.time()
    for box in ("a", "b"):
        clock.heard(says(box, timedelta()))
    for off in (31 * 86_400, -3 * 86_400):
        monkeypatch.setattr(time, "time", lambda off=off: now + off)
        assert clock.now() is None

"""The receiver signs no time that most boxes contradict."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from firmware_app.uplink.messages.summary import Presence, PresenceKind
from hospital import cli
from hospital.hospital_site import HospitalSite
from hospital.receiver_clock import ReceiverClock
from tests.line import presence


def make_presence(box: str, off: timedelta, state: PresenceKind = PresenceKind.HEALTH) -> Presence:
    hour = (datetime.now(UTC) + off).strftime("%Y-%m-%dT%H")
    return presence(1, 0, state, box=box, hour=hour)


def can_sign(clock: ReceiverClock) -> bool:
    signed = clock.now()
    assert signed is None or abs(signed - time.time()) < 5
    return signed is not None


@pytest.mark.parametrize("off", [timedelta(days=-300), timedelta(days=3)])
def test_a_clock_that_several_boxes_contradict_by_days_is_not_signed(off: timedelta, house: HospitalSite) -> None:
    clock = ReceiverClock(house.clock_word)
    clock.record_witness(make_presence("a", off))
    assert can_sign(clock), "one box may be wrong itself"
    clock.record_witness(make_presence("b", off))
    assert not can_sign(clock)
    clock.record_witness(make_presence("a", timedelta()))
    assert can_sign(clock), "they do not agree with each other"


def test_a_box_that_is_gone_and_what_waited_at_the_broker_are_no_witnesses(
    house: HospitalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, off, since = ReceiverClock(house.clock_word), timedelta(days=-9), time.monotonic()

    def contradict(state: PresenceKind = PresenceKind.HEALTH) -> None:
        for box in ("a", "b"):
            clock.record_witness(make_presence(box, off, state))

    def later(seconds: int) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: since + seconds)

    contradict(PresenceKind.DEATH)
    assert can_sign(clock), "a last will was sealed long before"
    contradict()
    assert not can_sign(clock)
    contradict(PresenceKind.DEATH)
    assert can_sign(clock), "both said goodbye"
    contradict()
    later(601)
    assert can_sign(clock), "both said nothing for ten minutes"
    clock.record_connected()
    contradict()
    assert can_sign(clock), "that waited at the broker"
    later(601 + 301)
    contradict()
    assert not can_sign(clock)


def test_a_person_says_that_the_clock_is_right_until_it_leaps(
    house: HospitalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contradicted() -> ReceiverClock:
        clock = ReceiverClock(house.clock_word)
        for box in ("a", "b"):
            clock.record_witness(make_presence(box, timedelta(days=-3)))
        return clock

    running, now = contradicted(), time.time()
    assert not can_sign(running)
    assert cli.main(["clock-is-right", "--dir", str(house.root)]) == 0
    assert can_sign(running)
    assert can_sign(contradicted()), "after a restart, too"
    for off in (31 * 86_400, -4 * 3_600):
        monkeypatch.setattr(time, "time", lambda off=off: now + off)
        assert running.now() is None

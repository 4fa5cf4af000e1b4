"""The receiver signs no time that the boxes or its own inbox contradict, and counts all the same."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from firmware_app.uplink.summary import Origin, Presence, State
from hospital.own_clock import OwnClock


def says(box: str, off: timedelta, state: State = State.HEALTH) -> Presence:
    hour = (datetime.now(UTC) + off).strftime("%Y-%m-%dT%H")
    return Presence(Origin(box, "5" * 32, 1, "b" * 16), state, 0, "0.1.0", 0, 0, None, 900, None, hour, (), ())


def signs(clock: OwnClock) -> bool:
    told = clock.now()
    assert told is None or abs(told - time.time()) < 5
    return told is not None


@pytest.mark.parametrize("off", [timedelta(days=-300), timedelta(days=3)])
def test_a_clock_that_several_boxes_contradict_by_days_is_not_signed(off: timedelta) -> None:
    clock = OwnClock(None)
    clock.heard(says("a", off))
    assert signs(clock), "one box may be wrong itself"
    clock.heard(says("b", off))
    assert not signs(clock)
    clock.heard(says("a", timedelta()))
    assert signs(clock), "they do not agree with each other"


def test_an_old_last_will_is_no_witness() -> None:
    clock = OwnClock(None)
    for box in ("a", "b"):
        clock.heard(says(box, timedelta(days=-9), State.DEATH))
    assert signs(clock)


def test_a_clock_that_is_behind_the_inbox_is_not_signed_until_a_box_or_a_person_bears_it_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    later = (datetime.now(UTC) + timedelta(days=400)).isoformat(timespec="milliseconds")
    clock = OwnClock(later)
    assert not signs(clock)
    assert "doubtful" in caplog.text
    clock.heard(says("a", timedelta()))
    assert signs(clock)
    assert signs(OwnClock(later, trusted=True))

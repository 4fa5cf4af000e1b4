"""What a box knows of time: nothing gets earlier by itself, nothing wrong stays for ever, whoever joins first."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_app.core.clock_memory import (
    AHEAD_S,
    EARLIEST,
    LATEST,
    SLACK_S,
    Anchor,
    ClockMemory,
    ImplausibleTime,
    TimeSource,
)

DAY = 86_400.0
TODAY = datetime(2026, 11, 21, 8, tzinfo=UTC).timestamp()
IN_1970 = datetime(1970, 1, 1, 0, 2, tzinfo=UTC).timestamp()
IN_2040 = datetime(2040, 6, 1, tzinfo=UTC).timestamp()

moments = st.floats(0, LATEST, allow_nan=False)
spans = st.floats(0, 1e7, allow_nan=False)
anchors = st.builds(Anchor, st.integers(0, 3), st.sampled_from(TimeSource), spans, moments)
memories = st.builds(
    ClockMemory,
    turn=st.integers(0, 2),
    newest=moments,
    sure=moments,
    signed=moments,
    boots=st.integers(0, 2),
    boot=st.sampled_from(["", "a", "b"]),
    base=moments,
    born=moments,
    last=spans,
    anchor=anchors,
    battery=moments,
    battery_told=moments,
)


@given(memories, memories, memories)
def test_joining_is_the_same_in_whatever_order(one: ClockMemory, two: ClockMemory, three: ClockMemory) -> None:
    assert one.join(two) == two.join(one)
    assert one.join(two).join(three) == one.join(two.join(three))
    assert one.join(one) == one


@given(memories, memories)
def test_what_was_told_in_a_turn_is_never_undone_by_a_join(one: ClockMemory, two: ClockMemory) -> None:
    joined = one.join(two)
    for known in (one, two):
        assert joined.turn > known.turn or joined.newest >= known.newest


@given(memories)
def test_a_memory_is_read_as_it_was_written(memory: ClockMemory) -> None:
    assert ClockMemory.from_object(json.loads(json.dumps(memory.to_object()))) == memory


happenings = st.one_of(
    st.tuples(st.just("wall"), st.floats(-1e10, 1e10, allow_nan=False)),
    st.tuples(st.sampled_from([TimeSource.HOSPITAL, TimeSource.NETWORK]), st.floats(EARLIEST, LATEST)),
    st.tuples(st.just("passed"), st.floats(0, 2 * LATEST)),
    st.tuples(st.just("boot"), st.floats(-1e10, 1e10, allow_nan=False)),
)


@given(st.lists(st.tuples(st.floats(0, 1e5), happenings), max_size=20))
def test_within_a_turn_the_time_never_goes_back_and_never_leaves_the_bounds(
    days: list[tuple[float, tuple[str, float]]],
) -> None:
    memory, elapsed, before = ClockMemory().entered("boot-0", 0.0, TODAY, None), 0.0, (0, 0.0)
    for number, (pause, (what, value)) in enumerate(days, 1):
        elapsed += pause
        if what == "wall":
            memory = memory.followed(elapsed, value)
        elif what == "boot":
            elapsed = pause
            memory = memory.entered(f"boot-{number}", elapsed, value, None)
        elif what == "passed":
            memory = memory.passed(elapsed, value)
        else:
            with suppress(ImplausibleTime):
                memory = memory.learned(elapsed, value, TimeSource(what))
        memory, now = memory.observed(elapsed)
        assert (memory.turn, now) >= before
        assert now >= EARLIEST
        before = (memory.turn, now)


# --- a clock that was reset ---------------------------------------------------------------------------------------


def seen(newest: float, source: TimeSource = TimeSource.PERSON) -> ClockMemory:
    """A box that was switched off at *newest*, its time vouched for."""
    began = ClockMemory().entered("yesterday", 10.0, newest, None).learned(10.0, newest, source)
    return began.observed(10.0)[0]


@pytest.mark.parametrize("wall", [0.0, IN_1970, TODAY - DAY, TODAY - SLACK_S - 1])
def test_a_clock_that_was_reset_is_not_believed_over_what_the_box_has_seen(wall: float) -> None:
    memory = seen(TODAY).entered("today", 30.0, wall, None)
    assert memory.time(30.0) == TODAY + 30.0
    assert memory.time(90.0) == TODAY + 90.0  # and it goes on from there
    assert memory.source(30.0) is TimeSource.NOBODY


def test_after_a_restart_the_machines_clock_may_be_right_and_is_still_nobodys_word() -> None:
    memory = seen(TODAY).entered("today", 30.0, TODAY + DAY, None)
    assert memory.time(30.0) == TODAY + DAY
    assert memory.source(30.0) is TimeSource.NOBODY


# --- jumps into the future ----------------------------------------------------------------------------------------


def test_a_clock_in_2040_is_not_followed() -> None:
    memory = seen(TODAY).entered("today", 30.0, IN_2040, None)
    assert memory.time(30.0) == TODAY + 30.0
    assert memory.followed(40.0, IN_2040).time(40.0) == TODAY + 40.0
    assert memory.passed(40.0, IN_2040) == memory


@pytest.mark.parametrize("source", [TimeSource.PERSON, TimeSource.NETWORK, TimeSource.HOSPITAL])
def test_from_a_future_that_was_believed_there_is_a_way_back(source: TimeSource) -> None:
    ahead = TODAY + AHEAD_S - DAY  # near enough to be followed
    memory = seen(TODAY).entered("today", 30.0, ahead, None).observed(30.0)[0]
    assert memory.time(30.0) == ahead
    memory, now = memory.learned(60.0, TODAY + 60, source).observed(60.0)
    assert now == TODAY + 60
    later = memory.entered("tomorrow", 20.0, IN_1970, None)
    assert later.time(20.0) == TODAY + 80  # the future is forgotten for good


def test_a_process_that_has_not_heard_of_the_way_back_does_not_undo_it() -> None:
    ahead = TODAY + AHEAD_S - DAY
    stale = seen(TODAY).entered("today", 30.0, ahead, None).observed(30.0)[0]
    put_right = stale.learned(60.0, TODAY, TimeSource.PERSON).observed(60.0)[0]
    assert stale.observed(61.0)[0].join(put_right).time(62.0) == TODAY + 2


def test_a_person_who_was_wrong_by_years_is_outvoted_by_the_hospital_and_the_machine() -> None:
    memory = seen(TODAY).learned(20.0, IN_2040, TimeSource.PERSON).observed(20.0)[0]
    with pytest.raises(ImplausibleTime):
        memory.learned(30.0, TODAY + 30, TimeSource.HOSPITAL, wall=IN_1970)
    memory, now = memory.learned(30.0, TODAY + 30, TimeSource.HOSPITAL, wall=TODAY).observed(30.0)
    assert (now, memory.source(30.0)) == (TODAY + 30, TimeSource.HOSPITAL)


# --- the hospital's clock -----------------------------------------------------------------------------------------

IN_2031 = TODAY + 5 * 365 * DAY


@pytest.mark.parametrize("source", [TimeSource.PERSON, TimeSource.NETWORK, TimeSource.HOSPITAL])
@pytest.mark.parametrize("off", [2 * DAY, 5 * 365 * DAY, -300 * DAY])
def test_a_hospital_whose_clock_is_wrong_moves_no_confirmed_time(source: TimeSource, off: float) -> None:
    began = ClockMemory().entered("today", 10.0, TODAY, None).learned(10.0, TODAY, source, wall=TODAY)
    memory = began.observed(10.0)[0]
    with pytest.raises(ImplausibleTime):
        memory.learned(20.0, TODAY + off, TimeSource.HOSPITAL, wall=TODAY)
    assert memory.passed(20.0, TODAY + off) == memory


def test_one_receipt_moves_an_unconfirmed_time_a_year_and_no_more() -> None:
    memory = seen(TODAY).entered("today", 30.0, IN_1970, None)
    with pytest.raises(ImplausibleTime):
        memory.learned(30.0, IN_2031, TimeSource.HOSPITAL)
    assert memory.passed(30.0, IN_2031) == memory
    young = ClockMemory().entered("today", 30.0, IN_1970, None)
    with pytest.raises(ImplausibleTime):
        young.learned(30.0, IN_2031, TimeSource.HOSPITAL, dated=TODAY)
    assert young.passed(30.0, IN_2031, dated=TODAY) == young


@pytest.mark.parametrize(
    ("known", "wall", "dated", "confirmed"),
    [
        pytest.param(0.0, IN_1970, 0.0, False, id="nothing else is known"),
        pytest.param(0.0, TODAY, 0.0, True, id="the machine's clock"),
        pytest.param(0.0, IN_1970, TODAY - 2 * DAY, True, id="a certificate of this month"),
        pytest.param(0.0, IN_1970, TODAY - 200 * DAY, False, id="a certificate of last spring"),
        pytest.param(TODAY - 20 * DAY, IN_1970, 0.0, True, id="what the box was sure of this month"),
        pytest.param(TODAY - 90 * DAY, IN_1970, 0.0, False, id="what it was sure of in summer"),
    ],
)
def test_the_hospitals_word_alone_sets_the_time_and_does_not_confirm_it(
    known: float, wall: float, dated: float, confirmed: bool
) -> None:
    memory = (seen(known) if known else ClockMemory()).entered("today", 30.0, wall, None)
    memory = memory.learned(30.0, TODAY, TimeSource.HOSPITAL, wall=wall, dated=dated)
    memory, now = memory.observed(30.0)
    assert now == TODAY
    assert memory.trusted(30.0) is confirmed
    later = memory.learned(90.0, TODAY + 60, TimeSource.HOSPITAL, wall=IN_1970, dated=dated)
    assert later.trusted(90.0) is confirmed, "saying it twice proves no more"
    assert later.learned(91.0, TODAY + 61, TimeSource.PERSON).trusted(91.0)


def test_later_receipts_bring_a_wrong_time_back() -> None:
    memory = ClockMemory().entered("today", 30.0, IN_1970, None)
    memory = memory.learned(30.0, IN_2031, TimeSource.HOSPITAL).observed(30.0)[0]
    memory, now = memory.learned(40.0, TODAY, TimeSource.HOSPITAL).observed(40.0)
    assert (now, memory.trusted(40.0)) == (TODAY, False)
    assert memory.entered("tomorrow", 20.0, IN_1970, None).time(20.0) == TODAY + 20


def test_what_the_hospital_had_told_wrongly_and_was_borne_out_it_takes_back_and_it_is_marked() -> None:
    memory = seen(TODAY).entered("today", 30.0, IN_1970, None)
    memory = memory.learned(30.0, TODAY + 20 * DAY, TimeSource.HOSPITAL).observed(30.0)[0]
    assert memory.trusted(30.0)
    memory, now = memory.learned(40.0, TODAY + 10, TimeSource.HOSPITAL).observed(40.0)
    assert (now, memory.source(40.0)) == (TODAY + 10, TimeSource.HOSPITAL_ALONE)


def test_network_time_that_is_days_from_the_hospitals_is_taken() -> None:
    memory = seen(TODAY).entered("today", 30.0, IN_1970, None)
    memory = memory.learned(30.0, TODAY + 20 * DAY, TimeSource.HOSPITAL).observed(30.0)[0]
    memory, now = memory.learned(40.0, TODAY + 10, TimeSource.NETWORK).observed(40.0)
    assert (now, memory.source(40.0)) == (TODAY + 10, TimeSource.NETWORK)


@pytest.mark.parametrize("moment", [0.0, EARLIEST - 1, LATEST + 1])
def test_nobody_is_believed_outside_the_bounds(moment: float) -> None:
    for source in (TimeSource.PERSON, TimeSource.NETWORK, TimeSource.HOSPITAL):
        with pytest.raises(ImplausibleTime):
            seen(TODAY).learned(20.0, moment, source)


# --- who is believed ----------------------------------------------------------------------------------------------


def test_network_time_does_not_contradict_the_hospital_for_a_day() -> None:
    memory = seen(TODAY).learned(10.0, TODAY, TimeSource.HOSPITAL)
    assert memory.learned(20.0, TODAY + 3600, TimeSource.NETWORK) == memory
    assert memory.learned(20.0 + DAY, TODAY + DAY, TimeSource.NETWORK).source(20.0 + DAY) is TimeSource.NETWORK


def test_a_small_correction_backwards_makes_the_clock_wait_and_not_go_back() -> None:
    memory, now = seen(TODAY).observed(100.0)
    memory = memory.learned(100.0, now - 30, TimeSource.HOSPITAL)
    assert memory.turn == 0
    assert memory.time(100.0) == now
    assert memory.time(110.0) == now
    assert memory.time(150.0) == now + 20


def test_trust_does_not_outlast_what_a_quartz_can_keep() -> None:
    memory = seen(TODAY)
    assert memory.source(10.0 + 89 * DAY) is TimeSource.PERSON
    assert memory.source(10.0 + 91 * DAY) is TimeSource.NOBODY
    assert memory.time(10.0 + 91 * DAY) >= memory.time(10.0 + 89 * DAY)


def test_what_the_hospital_has_signed_has_passed_even_when_it_cannot_set_the_clock() -> None:
    memory = seen(TODAY).entered("today", 30.0, IN_1970, None).passed(30.0, TODAY + DAY)
    assert memory.time(30.0) == TODAY + DAY
    assert memory.source(30.0) is TimeSource.NOBODY


# --- the battery clock --------------------------------------------------------------------------------------------


def beside_a_battery(reading: float) -> ClockMemory:
    """Switched off while the battery clock showed *reading*; that clock may well show another zone's time."""
    return seen(TODAY).observed(60.0, reading)[0]


def test_a_battery_clock_keeps_a_confirmed_time_over_a_night() -> None:
    memory = beside_a_battery(TODAY + 8 * 3600).entered("today", 20.0, IN_1970, TODAY + 8 * 3600 + DAY)
    assert memory.source(20.0) is TimeSource.BATTERY
    assert memory.time(20.0) == TODAY + 50 + DAY


@pytest.mark.parametrize("reading", [0.0, TODAY - 1, TODAY + 61 * DAY, None])
def test_a_battery_clock_that_was_reset_or_says_too_much_is_nobodys_word(reading: float | None) -> None:
    memory = beside_a_battery(TODAY).entered("today", 20.0, IN_1970, reading)
    assert memory.source(20.0) is TimeSource.NOBODY
    assert memory.time(20.0) == TODAY + 50 + 20


def test_a_battery_clock_keeps_no_time_that_nobody_had_confirmed() -> None:
    memory = replace(beside_a_battery(TODAY), anchor=Anchor(9, TimeSource.NOBODY, 60.0, 0.0))
    assert memory.entered("today", 20.0, IN_1970, TODAY + DAY).source(20.0) is TimeSource.NOBODY


# --- what passes evenly -------------------------------------------------------------------------------------------


def test_the_count_of_lived_seconds_is_moved_by_no_clock_and_a_restart_counts_as_an_hour() -> None:
    memory = seen(TODAY)
    began = memory.lived(10.0)
    for source, moment in ((TimeSource.HOSPITAL, TODAY + DAY), (TimeSource.PERSON, TODAY)):
        memory = memory.learned(20.0, moment, source)
        assert memory.lived(20.0) == pytest.approx(began + 10)
    memory = memory.observed(100.0)[0].entered("today", 5.0, IN_2040, None)
    assert memory.lived(5.0) == pytest.approx(began + 90 + 3600 + 5)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {**ClockMemory().to_object(), "more": 1},
        {**ClockMemory().to_object(), "newest": "1"},
        {**ClockMemory().to_object(), "turn": 1.5},
        {**ClockMemory().to_object(), "newest": float("nan")},
        {**ClockMemory().to_object(), "anchor": {}},
        {**ClockMemory().to_object(), "turn": True},
        {**ClockMemory().to_object(), "anchor": {**ClockMemory().to_object()["anchor"], "source": "god"}},
    ],
)
def test_what_is_no_memory_is_not_read_as_one(raw: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        ClockMemory.from_object(raw)

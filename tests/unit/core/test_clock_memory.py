"""What a box knows of time: nothing gets earlier by itself, nothing wrong stays for ever."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_app.core.clock_memory import AHEAD_S, EARLIEST, LATEST, SLACK_S, ClockMemory, ImplausibleTime, TimeSource

DAY = 86_400.0
TODAY = datetime(2026, 11, 21, 8, tzinfo=UTC).timestamp()
IN_1970 = datetime(1970, 1, 1, 0, 2, tzinfo=UTC).timestamp()
IN_2040 = datetime(2040, 6, 1, tzinfo=UTC).timestamp()
IN_2031 = TODAY + 5 * 365 * DAY

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
    memory, elapsed, before = ClockMemory().enter_boot("boot-0", 0.0, TODAY, None), 0.0, (0, 0.0)
    for number, (pause, (what, value)) in enumerate(days, 1):
        elapsed += pause
        if what == "wall":
            memory = memory.follow(elapsed, value)
        elif what == "boot":
            elapsed = pause
            memory = memory.enter_boot(f"boot-{number}", elapsed, value, value)
        elif what == "passed":
            memory = memory.set_passed(elapsed, value)
        else:
            with suppress(ImplausibleTime):
                memory = memory.learn(elapsed, value, TimeSource(what))
        stale = memory
        memory, now = memory.observe(elapsed)
        assert (memory.turn, now) >= before
        assert now >= EARLIEST
        assert memory.merge(stale).newest == stale.merge(memory).newest == now
        before = (memory.turn, now)


def make_memory(newest: float, source: TimeSource = TimeSource.PERSON) -> ClockMemory:
    """A box that was switched off at *newest*, its time confirmed by *source*."""
    began = ClockMemory().enter_boot("yesterday", 10.0, newest, None).learn(10.0, newest, source, wall=newest)
    return began.observe(10.0, newest)[0]


def restart_memory(wall: float, battery: float | None = None) -> ClockMemory:
    """That box, switched on again."""
    return make_memory(TODAY).enter_boot("today", 30.0, wall, battery)


@pytest.mark.parametrize("wall", [0.0, TODAY - DAY, TODAY - SLACK_S - 1, IN_2040])
def test_a_clock_that_was_reset_or_leaps_is_not_believed_over_what_the_box_has_seen(wall: float) -> None:
    memory = restart_memory(wall)
    assert memory.time(30.0) == TODAY + 30.0
    assert memory.follow(90.0, wall).time(90.0) == TODAY + 90.0  # and it goes on from there
    assert memory.source_at(30.0) is TimeSource.NOBODY


def test_after_a_restart_the_machines_clock_may_be_right_and_is_not_confirmed() -> None:
    memory = restart_memory(TODAY + DAY)
    assert memory.time(30.0) == TODAY + DAY
    assert memory.source_at(30.0) is TimeSource.NOBODY


@pytest.mark.parametrize("source", [TimeSource.PERSON, TimeSource.NETWORK, TimeSource.HOSPITAL])
def test_from_a_future_that_was_believed_there_is_a_way_back(source: TimeSource) -> None:
    ahead = TODAY + AHEAD_S - DAY  # near enough to be followed
    stale = restart_memory(ahead).observe(30.0)[0]
    assert stale.time(30.0) == ahead
    memory, now = stale.learn(60.0, TODAY + 60, source).observe(60.0)
    assert now == TODAY + 60
    assert stale.observe(61.0)[0].merge(memory).time(61.0) == TODAY + 61  # nor does a process bring it back
    assert memory.enter_boot("tomorrow", 20.0, IN_1970, None).time(20.0) == TODAY + 80


def test_a_person_who_was_wrong_by_years_is_outvoted_by_the_hospital_and_the_machine() -> None:
    memory = make_memory(TODAY).learn(20.0, IN_2040, TimeSource.PERSON).observe(20.0)[0]
    with pytest.raises(ImplausibleTime):
        memory.learn(30.0, TODAY + 30, TimeSource.HOSPITAL, wall=IN_1970)
    memory, now = memory.learn(30.0, TODAY + 30, TimeSource.HOSPITAL, wall=TODAY).observe(30.0)
    assert (now, memory.source_at(30.0)) == (TODAY + 30, TimeSource.HOSPITAL)


# --- the hospital's clock -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [TimeSource.PERSON, TimeSource.NETWORK, TimeSource.HOSPITAL])
@pytest.mark.parametrize("off", [2 * DAY, -300 * DAY])
def test_a_hospital_whose_clock_is_wrong_moves_no_confirmed_time(source: TimeSource, off: float) -> None:
    memory = make_memory(TODAY, source)
    with pytest.raises(ImplausibleTime):
        memory.learn(20.0, TODAY + off, TimeSource.HOSPITAL, wall=TODAY)
    assert memory.set_passed(20.0, TODAY + off) == memory


def test_one_receipt_moves_an_unconfirmed_time_a_year_and_no_more() -> None:
    young = ClockMemory().enter_boot("today", 30.0, IN_1970, None)
    for memory, dated in ((restart_memory(IN_1970), 0.0), (young, TODAY)):
        with pytest.raises(ImplausibleTime):
            memory.learn(30.0, IN_2031, TimeSource.HOSPITAL, dated=dated)
        assert memory.set_passed(30.0, IN_2031, dated=dated) == memory
    assert restart_memory(IN_1970).set_passed(30.0, TODAY + DAY).time(30.0) == TODAY + DAY


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
    memory = (make_memory(known) if known else ClockMemory()).enter_boot("today", 30.0, wall, None)
    memory = memory.learn(30.0, TODAY, TimeSource.HOSPITAL, wall=wall, dated=dated)
    memory, now = memory.observe(30.0)
    assert now == TODAY
    assert memory.is_trusted(30.0) is confirmed
    later = memory.learn(90.0, TODAY + 60, TimeSource.HOSPITAL, wall=IN_1970, dated=dated)
    assert later.is_trusted(90.0) is confirmed, "saying it twice proves no more"
    assert later.learn(91.0, TODAY + 61, TimeSource.PERSON).is_trusted(91.0)


@pytest.mark.parametrize(
    ("source", "held"), [(TimeSource.HOSPITAL, TimeSource.HOSPITAL_ALONE), (TimeSource.NETWORK, TimeSource.NETWORK)]
)
def test_a_wrong_time_of_the_hospital_is_taken_back_by_it_and_by_network_time(
    source: TimeSource, held: TimeSource
) -> None:
    memory = restart_memory(IN_1970).learn(30.0, TODAY + 20 * DAY, TimeSource.HOSPITAL).observe(30.0)[0]
    assert memory.is_trusted(30.0)
    memory, now = memory.learn(40.0, TODAY + 10, source).observe(40.0)
    assert (now, memory.source_at(40.0)) == (TODAY + 10, held)


@pytest.mark.parametrize("source", [TimeSource.PERSON, TimeSource.NETWORK, TimeSource.HOSPITAL])
@pytest.mark.parametrize("moment", [EARLIEST - 1, LATEST + 1])
def test_nobody_is_believed_outside_the_bounds(moment: float, source: TimeSource) -> None:
    with pytest.raises(ImplausibleTime):
        make_memory(TODAY).learn(20.0, moment, source)


# --- how long it holds --------------------------------------------------------------------------------------------


def test_network_time_does_not_contradict_the_hospital_for_a_day() -> None:
    memory = make_memory(TODAY).learn(10.0, TODAY, TimeSource.HOSPITAL)
    assert memory.learn(20.0, TODAY + 3600, TimeSource.NETWORK) == memory
    assert memory.learn(20.0 + DAY, TODAY + DAY, TimeSource.NETWORK).source is TimeSource.NETWORK


def test_a_small_correction_backwards_makes_the_clock_wait_and_not_go_back() -> None:
    memory, now = make_memory(TODAY).observe(100.0)
    memory = memory.learn(100.0, now - 30, TimeSource.HOSPITAL)
    assert memory.turn == 0
    assert [memory.time(elapsed) for elapsed in (100.0, 110.0, 150.0)] == [now, now, now + 20]


def test_trust_does_not_outlast_what_a_quartz_can_keep() -> None:
    memory = make_memory(TODAY)
    assert memory.source_at(10.0 + 89 * DAY) is TimeSource.PERSON
    assert memory.source_at(10.0 + 91 * DAY) is TimeSource.NOBODY
    assert memory.time(10.0 + 91 * DAY) >= memory.time(10.0 + 89 * DAY)


def test_a_battery_clock_keeps_a_confirmed_time_over_a_night() -> None:
    memory = restart_memory(TODAY + DAY, TODAY + DAY)
    assert memory.source_at(30.0) is TimeSource.BATTERY
    assert memory.time(60.0) == TODAY + DAY + 30


@pytest.mark.parametrize(
    ("wall", "battery"),
    [
        pytest.param(TODAY + DAY, None, id="there is none"),
        pytest.param(TODAY + DAY, IN_1970, id="it was reset, and the machine goes by a file"),
        pytest.param(TODAY - DAY, TODAY - DAY, id="it is behind"),
        pytest.param(TODAY + 61 * DAY, TODAY + 61 * DAY, id="after too long"),
    ],
)
def test_a_battery_clock_that_was_reset_or_says_too_much_is_not_believed(wall: float, battery: float | None) -> None:
    assert restart_memory(wall, battery).source_at(30.0) is TimeSource.NOBODY


def test_a_battery_clock_keeps_no_time_that_was_not_confirmed_or_was_another() -> None:
    for memory in (
        restart_memory(TODAY).observe(30.0, TODAY)[0],
        make_memory(TODAY).observe(60.0, TODAY + 8 * 3600)[0],  # of another zone
    ):
        later = memory.enter_boot("tomorrow", 20.0, TODAY + DAY, TODAY + DAY)
        assert later.source_at(20.0) is TimeSource.NOBODY


def test_the_count_of_lived_seconds_is_moved_by_no_clock_and_a_restart_counts_as_an_hour() -> None:
    memory = make_memory(TODAY)
    began = memory.count_powered_on_s(10.0)
    for source, moment in ((TimeSource.HOSPITAL, TODAY + DAY), (TimeSource.PERSON, TODAY)):
        memory = memory.learn(20.0, moment, source)
        assert memory.count_powered_on_s(20.0) == pytest.approx(began + 10)
    memory = memory.observe(100.0)[0].enter_boot("today", 5.0, IN_2040, None)
    assert memory.count_powered_on_s(5.0) == pytest.approx(began + 90 + 3600 + 5)

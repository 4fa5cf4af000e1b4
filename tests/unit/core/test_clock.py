"""The clock of a process: shared through one file, kept through restarts, written seldom, never in the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_app.core.clock import Clock, ClockFile, Condition, Stamp, TimeSource, parse_stamp
from tests.machine import IN_1970, IN_2040, TODAY, FakeClock


@pytest.fixture
def file(tmp_path: Path) -> ClockFile:
    return ClockFile(tmp_path / "clock.json")


def seconds(stamp: Stamp) -> float:
    return stamp.at.timestamp()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_stamp_is_read_as_it_was_written_mark_and_all(trusted: bool) -> None:
    stamp = Stamp(datetime(2026, 11, 21, 3, 15, 9, 250_000, tzinfo=UTC), trusted)
    assert stamp.text() == "2026-11-21T03:15:09.250+00:00" + ("" if trusted else "?")
    assert parse_stamp(stamp.text()) == stamp


def test_what_one_process_learns_another_goes_by_within_a_second(file: ClockFile) -> None:
    machine = FakeClock(IN_1970)
    one, other = Clock(file, kernel=machine), Clock(file, kernel=machine)
    assert not one.stamp().trusted
    assert not other.stamp().trusted
    one.learn(TODAY, TimeSource.PERSON)
    machine.wait(1.0)
    assert other.stamp() == Stamp(datetime.fromtimestamp(TODAY + 1, UTC), trusted=True)


def test_a_jump_of_the_machines_clock_moves_nothing_once_the_time_is_known(file: ClockFile) -> None:
    machine = FakeClock()
    clock = Clock(file, kernel=machine)
    clock.learn(TODAY, TimeSource.PERSON)
    for wall in (IN_2040, IN_1970, TODAY - 3600):
        machine.now = wall
        machine.up += 10.0
        clock.stamp()
    assert seconds(clock.stamp()) == TODAY + 30.0
    assert clock.status().condition is Condition.DISAGREES


def test_after_a_restart_the_time_is_not_before_what_was_told(file: ClockFile) -> None:
    machine = FakeClock()
    clock = Clock(file, kernel=machine)
    clock.learn(TODAY, TimeSource.PERSON)
    machine.wait(3600.0)
    before = seconds(clock.stamp())
    machine.restart(IN_1970)
    again = Clock(file, kernel=machine)
    assert seconds(again.stamp()) >= before
    assert again.status().condition is Condition.BEHIND
    assert not again.stamp().trusted


def test_a_power_cut_takes_no_row_out_of_the_past(file: ClockFile) -> None:
    """The memory is at most a minute old then, and the newest row knows the rest."""
    machine = FakeClock()
    clock = Clock(file, kernel=machine)
    clock.learn(TODAY, TimeSource.PERSON)
    machine.wait(55.0)
    row = seconds(clock.stamp())
    machine.restart(IN_1970)
    machine.up = 1.0
    again = Clock(file, kernel=machine)
    assert seconds(again.stamp()) < row
    again.record_newest(row)
    assert seconds(again.stamp()) >= row


def test_a_row_from_a_wrong_future_does_not_bring_it_back(file: ClockFile) -> None:
    machine = FakeClock()
    Clock(file, kernel=machine).learn(TODAY, TimeSource.PERSON)
    machine.restart(IN_1970)
    clock = Clock(file, kernel=machine)
    before = clock.stamp()
    clock.record_newest(TODAY + 30 * 86_400.0)
    assert seconds(clock.stamp()) == seconds(before)


def test_four_processes_write_it_no_oftener_than_one(file: ClockFile) -> None:
    machine = FakeClock()
    clocks = [Clock(file, kernel=machine) for _ in range(4)]
    marks = set()
    for _ in range(600):
        machine.wait(1.0)
        for clock in clocks:
            clock.stamp()
            marks.add(file.mark())
    assert len(marks) <= 15  # ten minutes, and each of the four when it begins


def test_network_time_is_noticed_by_itself(file: ClockFile) -> None:
    machine = FakeClock(IN_1970)
    clock = Clock(file, kernel=machine)
    assert not clock.stamp().trusted
    machine.now, machine.network = TODAY, True
    machine.wait(31.0)
    standing = clock.status()
    assert (standing.source, standing.condition) == (TimeSource.NETWORK, Condition.TRUSTED)
    assert seconds(standing.stamp) == pytest.approx(machine.now)


def test_network_time_that_contradicts_the_hospital_is_told_and_not_taken(file: ClockFile) -> None:
    machine = FakeClock(TODAY - 3600)
    clock = Clock(file, kernel=machine)
    clock.learn(TODAY, TimeSource.HOSPITAL)
    machine.network = True
    machine.wait(31.0)
    standing = clock.status()
    assert (standing.source, standing.condition) == (TimeSource.HOSPITAL, Condition.DISAGREES)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"newest": 1e999}'])
def test_a_damaged_memory_is_begun_anew(file: ClockFile, content: bytes) -> None:
    file.path.write_bytes(content)
    assert seconds(Clock(file, kernel=FakeClock()).stamp()) == TODAY
    assert json.loads(file.path.read_bytes())["newest"] == TODAY


def test_the_memory_of_a_version_before_is_read(file: ClockFile) -> None:
    anchor = {"order": 3, "source": "person", "elapsed": 20.0, "moment": TODAY + 3600}
    before = {"turn": 1, "newest": TODAY, "sure": TODAY, "boots": 2, "boot": "0" * 16, "battery": 0.0, "anchor": anchor}
    file.path.write_text(json.dumps(before))
    assert Clock(file, kernel=FakeClock()).stamp() == Stamp(datetime.fromtimestamp(TODAY + 3610, UTC), trusted=True)


def test_where_nothing_can_be_written_the_time_still_goes_on(tmp_path: Path) -> None:
    machine = FakeClock()
    clock = Clock(ClockFile(tmp_path / "nowhere" / "clock.json"), kernel=machine)
    clock.learn(TODAY, TimeSource.PERSON)
    machine.wait(120.0)
    assert clock.stamp() == Stamp(datetime.fromtimestamp(TODAY + 120, UTC), trusted=True)


def test_the_uplink_goes_by_the_copy_and_the_clinic_never_does(tmp_path: Path) -> None:
    machine = FakeClock(IN_1970)
    own = ClockFile(tmp_path / "clock.json", copy=tmp_path / "exchange" / "clock.json")
    assert own.copy is not None
    own.copy.parent.mkdir()
    reader = Clock(own, kernel=machine)
    uplink = Clock(ClockFile(own.copy), writes=False, kernel=machine)
    reader.learn(TODAY, TimeSource.PERSON)
    assert uplink.stamp().trusted
    forged = {**json.loads(own.copy.read_bytes()), "newest": IN_2040, "turn": 99}
    own.copy.write_text(json.dumps(forged))
    machine.wait(2.0)
    assert seconds(reader.stamp()) == TODAY + 2
    machine.wait(120.0)
    reader.stamp()
    assert json.loads(own.copy.read_bytes())["turn"] == 0


def test_who_only_looks_leaves_no_trace(file: ClockFile) -> None:
    Clock(file, writes=False, kernel=FakeClock()).stamp()
    assert not file.path.exists()

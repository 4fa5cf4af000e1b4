"""A box in 1970 reaches the hospital, learns the time from its receipt, and what came before stays marked."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_app.core import clock
from firmware_app.core.clock import Clock, ClockFile, TimeSource
from firmware_app.core.clock_memory import EARLIEST
from firmware_app.uplink.relay import MOST_RECEIPT_AGE_S, ReceiptClock
from tests.faults.shifted_clock import EPOCH, ShiftedClock
from tests.machine import IN_1970, TODAY, FakeClock
from tests.wire.line_rig import Box, run_hospital, wait_for


def read_kept_time(box: Box, folder: str) -> dict[str, Any]:
    """What is kept of the time in *folder* of the state."""
    try:
        saved: dict[str, Any] = json.loads((box.config.state.dir / folder / clock.CLOCK_FILE).read_bytes())
    except FileNotFoundError:
        return {"source": "nobody"}
    return saved


def read_arrival_times(box: Box) -> list[clock.Stamp]:
    """When each image came, by the order in which they did."""
    with sqlite3.connect(box.clinical.database.path) as connection:
        rows = connection.execute("SELECT received_at FROM instances ORDER BY sequence").fetchall()
    connection.close()
    return [clock.parse_stamp(row[0]) for row in rows]


def test_a_box_in_1970_learns_the_time_from_the_first_receipt(tmp_path: Path) -> None:
    with run_hospital(tmp_path) as site:
        box = site.box("clinic-7")
        wrong = ShiftedClock(tmp_path, EPOCH).environment
        uplink, reader = site.uplink(box, **wrong), site.reader(box, 3, seed=1, **wrong)
        reader.start()
        wait_for(lambda: "all made" in reader.log.read_text(), because="three cases")
        marked = read_arrival_times(box)
        assert len(marked) >= 3
        assert not any(stamp.trusted for stamp in marked)
        assert all(stamp.at.timestamp() >= EARLIEST for stamp in marked)
        uplink.start()
        wait_for(lambda: read_kept_time(box, "run")["source"] == "hospital", because="the receipt tells the time")
        wait_for(lambda: read_kept_time(box, "exchange")["source"] == "hospital", because="the uplink's copy")
        reader.kill()
        site.reader(box, 6, seed=1, **wrong).start()
        wait_for(lambda: len(site.list_revisions()) >= 6, because="every case is counted")
        fresh = read_arrival_times(box)[len(marked) :]
        assert fresh
        assert all(stamp.trusted and abs(stamp.at.timestamp() - time.time()) < 60 for stamp in fresh)
        assert read_arrival_times(box)[: len(marked)] == marked  # the mark stays with what was written under it


# --- what a receipt is worth --------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FakeClock]:
    """A box that does not know the time."""
    before, made = clock.current_clock(), FakeClock(IN_1970)
    clock.use_clock(Clock(ClockFile(tmp_path / "clock.json"), kernel=made))
    yield made
    clock.use_clock(before)


def test_a_receipt_that_came_late_tells_only_that_its_moment_has_passed(machine: FakeClock) -> None:
    learning = ReceiptClock()
    learning.record_sent([7])
    machine.wait(MOST_RECEIPT_AGE_S)
    learning.record_signed_time(int(TODAY))
    learning.learn_from_receipt(int(TODAY), [7])
    stamp = clock.stamp()
    assert not stamp.trusted
    assert stamp.at.timestamp() >= TODAY


def test_receipts_of_2031_move_no_clock_and_the_mended_hospital_is_believed(machine: FakeClock) -> None:
    learning, ahead = ReceiptClock(dated=TODAY - 86_400), int(TODAY) + 5 * 365 * 86_400
    learning.record_sent([7, 8])
    before = clock.stamp()
    learning.record_signed_time(ahead)
    learning.learn_from_receipt(ahead, [7])
    assert clock.current_clock().status().source is TimeSource.NOBODY
    assert clock.stamp().at.timestamp() - before.at.timestamp() < 1
    learning.record_signed_time(int(TODAY))
    learning.learn_from_receipt(int(TODAY), [8])
    assert clock.stamp().trusted
    assert abs(clock.stamp().at.timestamp() - TODAY) < 2


def test_a_receipt_brought_again_for_a_number_given_out_again_sets_nothing(machine: FakeClock) -> None:
    """Whoever owns exchange.db can turn its numbers back and bring an old receipt."""
    learning = ReceiptClock()
    learning.record_sent([7])
    learning.learn_from_receipt(int(TODAY), [7])
    machine.wait(7200.0)
    learning.record_sent([7])
    learning.learn_from_receipt(int(TODAY), [7])
    assert clock.stamp().at.timestamp() >= TODAY + 7200

"""Commands of a real box under a clock that was reset, is ahead or jumps (libfaketime): never silently wrong."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from firmware_app.core import clock
from firmware_app.core.clock import CLOCK_FILE, Stamp
from firmware_app.core.clock_memory import EARLIEST
from firmware_app.core.state_dir import StateDir
from tests.box import LANTERN, make_environment
from tests.faults.shifted_clock import EPOCH, RIGHT, ShiftedClock


@dataclass
class Box:
    """A box without a line, whose machine's clock can be set."""

    state: StateDir
    machine: ShiftedClock

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        seen = {**make_environment(self.state.root), **self.machine.environment, "TZ": "UTC"}
        return subprocess.run([*LANTERN, *words], env=seen, text=True, capture_output=True, check=False, timeout=120)

    def status(self) -> dict[str, Any]:
        """What `lantern clock show` says."""
        status: dict[str, Any] = json.loads(self.run("clock", "show", "--json").stdout)
        return status

    def writes(self) -> Stamp:
        """Somebody does something at the box; when that was, by the newest entry of the audit."""
        assert self.run("user", "claim").returncode == 0
        with sqlite3.connect(self.state.clinical_db) as connection:
            (text,) = connection.execute("SELECT at FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
        connection.close()
        return clock.parse_stamp(text)

    def restart(self) -> None:
        """The machine starts again: what is kept is of another boot than this one."""
        path = self.state.run / CLOCK_FILE
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "boot": "0" * 16}))

    def doctor(self) -> str:
        """The code of what `lantern doctor` says of the clock."""
        lines = [json.loads(line) for line in self.run("doctor", "--json").stdout.splitlines()]
        return next(str(line["code"]) for line in lines if line["check"] == "clock")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(StateDir(tmp_path / "state"), ShiftedClock(tmp_path, EPOCH))


def is_now(stamp: Stamp) -> bool:
    return abs(stamp.at.timestamp() - time.time()) < 60


def test_a_box_in_1970_marks_what_it_writes_until_a_person_sets_it(box: Box) -> None:
    before = box.writes()
    assert not before.trusted
    assert before.at.timestamp() >= EARLIEST
    assert box.doctor() == "clock.behind"
    right = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    assert box.run("clock", "set", right).returncode == 0
    after = box.writes()
    assert after.trusted
    assert is_now(after)
    assert box.status()["code"] == "clock.disagrees"


def test_a_machine_whose_clock_is_right_is_confirmed_with_one_command(box: Box) -> None:
    box.machine.set(RIGHT)
    shown = box.status()
    assert (shown["trusted"], shown["code"]) == (False, "clock.unconfirmed")
    assert box.run("clock", "set").returncode == 0
    shown = box.status()
    assert (shown["trusted"], shown["code"]) == (True, "clock.person")


@pytest.mark.parametrize("shown", [EPOCH, "-1d"])
def test_after_a_restart_with_a_reset_clock_nothing_is_written_before_what_was_seen(box: Box, shown: str) -> None:
    box.machine.set(RIGHT)
    box.run("clock", "set")
    before = box.writes()
    box.machine.set(shown)
    box.restart()
    after = box.writes()
    assert after.at >= before.at
    assert not after.trusted
    assert box.status()["condition"] == "behind"


def test_a_slip_of_the_finger_is_refused_with_a_sentence_and_can_be_insisted_on(box: Box) -> None:
    box.machine.set(RIGHT)
    assert "clock.out_of_range" in box.run("clock", "set", "1026-11-21 08:00").stderr
    assert "clock.unclear" in box.run("clock", "set", "2026-11-21").stderr
    box.run("clock", "set")
    yesterday = time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() - 86_400))
    assert "clock.goes_back" in box.run("clock", "set", yesterday).stderr
    assert is_now(box.writes())
    assert box.run("clock", "set", yesterday, "--back").returncode == 0
    assert not is_now(box.writes())
    with sqlite3.connect(box.state.clinical_db) as connection:
        rows = connection.execute("SELECT actor, details FROM audit WHERE action = 'clock.set'").fetchall()
    connection.close()
    assert [actor for actor, _ in rows] == ["console"] * 2
    assert json.loads(rows[0][1])["before"].endswith("?")

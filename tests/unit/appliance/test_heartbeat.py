"""A heart that stands still is seen, and beating costs the disk nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_app.appliance.supervisor import Heartbeat, HeartbeatMonitor
from firmware_app.core.state_dir import StateDir


def test_beats_are_seen_silence_is_counted_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("firmware_app.appliance.supervisor.time.monotonic", lambda: now[0])
    state = StateDir(tmp_path)
    state.prepare()
    watch = HeartbeatMonitor(state, "gateway")
    now[0] += 60
    assert watch.silent_s() == 0  # it never ran, and another check says so
    heart = Heartbeat(state, "gateway")
    for _ in range(20):
        heart.beat()
        assert watch.silent_s() == 0
        now[0] += 1.5
    assert watch.silent_s() == 1.5
    now[0] += 9
    assert watch.silent_s() == 10.5
    heart.beat()
    assert watch.silent_s() == 0
    heart.close()
    assert (state.run / "gateway.beat").stat().st_size == 0

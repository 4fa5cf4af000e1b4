"""When a process of the box counts as hanging: by its silence, while the supervisor was there to hear it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from firmware_app import supervised
from firmware_app.supervised import Supervised

PATIENCE_S = 2.5
ALIVE = "import time\nfrom firmware_app.device import notify\nwhile True: notify.alive(); time.sleep(0.1)"


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    """A process that is ready and gives its sign of life every second."""
    monkeypatch.setattr(supervised, "_PATIENCE_OF_OTHERS_S", PATIENCE_S)
    found = Supervised("reader", [sys.executable, "-c", ALIVE])
    found.start()
    assert found.process is not None
    os.set_blocking(found._signs, True)
    assert os.read(found._signs, 100) == b"WATCHDOG=1"
    os.set_blocking(found._signs, False)
    found.announced = found.process.pid
    yield found
    found.process.kill()
    found.has_gone(time.monotonic() + 10)


def stop(one: Supervised) -> None:
    assert one.process is not None
    os.kill(one.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, one.process.pid, os.WSTOPPED | os.WNOWAIT)


def seconds_until(fact: Callable[[], bool]) -> float:
    begun = time.monotonic()
    while not fact():
        assert time.monotonic() - begun < 20
        time.sleep(0.02)
    return time.monotonic() - begun


def test_a_process_that_gives_its_sign_does_not_hang_and_one_that_is_stopped_does(one: Supervised) -> None:
    begun = time.monotonic()
    assert seconds_until(lambda: one.hangs() or time.monotonic() - begun > 2 * PATIENCE_S) > 2 * PATIENCE_S
    stop(one)
    assert seconds_until(one.hangs) < PATIENCE_S + 1


def test_nobody_is_late_for_the_time_in_which_the_supervisor_was_away(one: Supervised) -> None:
    assert not one.hangs()
    stop(one)
    time.sleep(PATIENCE_S + 0.5)  # nobody looks: everything was stopped, as by a machine's suspension
    assert not one.hangs()
    assert seconds_until(one.hangs) > PATIENCE_S - 2 * supervised._LOOK_MOST_S

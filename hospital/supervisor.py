"""`lantern-hospital serve` and `broker --run` without systemd: what ends or hangs is started again.

`serve` starts itself once more as a child that does the work and gives signs of life (`firmware_app/core/notify.py`).
Where systemd watches over it (`WatchdogSec=`), it does the work itself.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from firmware_app.core import notify
from firmware_app.core.supervised import Supervised

log = logging.getLogger("lantern.hospital")

PATIENCE_S: Final = 60.0
"""Longer than a look-up of a name that fails, and than the inbox waits for another process."""
_START_S: Final = 3600.0  # a damaged inbox of a million rows is rebuilt first
_LOOK_S: Final = 0.1
_STOP_S: Final = 20.0
_PR_SET_PDEATHSIG: Final = 1


class StopSignal(threading.Event):
    """Set by SIGTERM and SIGINT.  A main loop asks it often, so asking it is the process's sign of life."""

    def __init__(self) -> None:
        super().__init__()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.set())

    def is_set(self) -> bool:
        notify.alive()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return super().wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - time.monotonic())
            if left <= 0:
                break
            super().wait(left)
        return self.is_set()


def does_the_work() -> bool:
    """Whether this process is watched over by systemd or by `supervise`, which starts it again when it hangs."""
    if os.environ.get("LANTERN_SUPERVISOR") == str(os.getppid()):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        return True
    return bool(os.environ.get("NOTIFY_SOCKET") and os.environ.get("WATCHDOG_USEC"))


def supervise(words: Sequence[str]) -> int:
    """Keep `lantern-hospital` with the arguments *words* at work until SIGTERM or SIGINT.

    Returns the exit status: that of the child where it ends before it has begun to work, because of what it was asked.
    """
    child = Supervised(
        "serve", [sys.executable, "-m", "hospital.cli", *words], patience=PATIENCE_S, start_s=_START_S, output=None
    )
    status = keep([child], StopSignal())
    return 0 if status is None else status


def keep(
    kept: Sequence[Supervised], stop: threading.Event, before_start: Callable[[], None] = lambda: None
) -> int | None:
    """Keep every one of *kept* at work until *stop*.  Returns the exit status of the first one where that ends before
    it has ever begun, because of what it was asked; None otherwise."""
    try:
        while not stop.is_set():
            for one in kept:
                if one.process is None:
                    if time.monotonic() >= one.due:
                        before_start()
                        one.start()
                elif (status := one.ended()) is not None:
                    if one is kept[0] and not one.proven and status >= 0:
                        return status
                    log.warning("%s ended with status %d; it is started again in %.1f s", one.name, status, one.delay)
                elif one.hangs(time.monotonic()):
                    log.error("%s hangs: no sign of life for %.0f s; it is killed", one.name, one.patience_s)
                    one.process.kill()
            stop.wait(_LOOK_S)
    finally:
        _stop(kept)
    return None


def _stop(kept: Sequence[Supervised]) -> None:
    for one in kept:
        if one.process is not None:
            one.process.terminate()
            one.process.send_signal(signal.SIGCONT)  # one that was stopped ends, too
    deadline = time.monotonic() + _STOP_S
    for one in kept:
        if not one.has_gone(deadline):
            log.warning("%s did not stop in %.0f s and was killed", one.name, _STOP_S)

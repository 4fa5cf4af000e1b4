"""Messages of a process to systemd (sd_notify(3)) or to the supervisor of `lantern serve`: ready, alive, status.

Where neither listens, nothing is sent.  Only the main thread sends signs of life, so that a hang of the main loop is
noticed: `ping_watchdog` does nothing in another thread.  A loop may call it as often as it likes; systemd gets three
signs per WatchdogSec, the supervisor one a second, through a pipe that the process inherits.  A process whose work is
done by other threads registers a check of them (`depend_on`).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

_ADDRESS: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = ("WATCHDOG_USEC", "WATCHDOG_PID")
PIPE: Final = "LANTERN_SIGNS"
"""In the environment of a process under the supervisor: the descriptor that its signs are written to."""
_SIGNS: Final = 3
_PATIENCE_S: Final = 1.0
_PAUSE_S: Final = 1.0


@dataclass(slots=True)
class Listener:
    """The receiver of this process's messages, and how often it wants a sign of life."""

    write: Callable[[bytes], object]
    pause_s: float | None
    """Seconds between two signs; None: it wants none."""
    last_sign: float = float("-inf")
    """Monotonic seconds."""

    def send(self, message: str) -> None:
        """Send *message*; an error is ignored, since the next sign of life comes soon."""
        try:
            self.write(message.encode())
        except OSError:
            return


class _Process:
    """The state of this process.  Its listener is looked up once and removed from the environment: a child that
    inherited socket or pipe would send messages in its parent's name."""

    listener: Listener | None = None
    looked_up = False
    vital: ClassVar[list[Callable[[], bool]]] = []


def _find_listener() -> Listener | None:
    if not _Process.looked_up:
        _Process.looked_up = True
        _Process.listener = _read_environment()
    return _Process.listener


def _read_environment() -> Listener | None:
    address, pipe = os.environ.pop(_ADDRESS, ""), os.environ.pop(PIPE, "")
    watchdog, whose = (os.environ.pop(name, "") for name in _WATCHDOG)
    if pipe:
        os.set_inheritable(int(pipe), False)
        os.set_blocking(int(pipe), False)  # a supervisor that is stopped reads nothing
        return Listener(partial(os.write, int(pipe)), _PAUSE_S)
    if not address.startswith(("/", "@")):
        return None
    mine = watchdog.isdecimal() and whose in ("", str(os.getpid()))
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    channel.settimeout(_PATIENCE_S)  # a READY must not be lost because systemd is busy
    abstract = address.replace("@", "\0", 1) if address.startswith("@") else address
    return Listener(lambda message: channel.sendto(message, abstract), int(watchdog) / 1e6 / _SIGNS if mine else None)


def ready(text: str = "") -> None:
    """The process does its work from now on; systemd starts what waits for it.  *text* as for `set_status`."""
    if listener := _find_listener():
        listener.send("READY=1" + (f"\nSTATUS={text}" if text else ""))
        listener.last_sign = time.monotonic()


def ping_watchdog() -> None:
    """A sign of life from the main loop.  Cheap: it writes at most three times per WatchdogSec."""
    listener = _find_listener()
    if listener is None or listener.pause_s is None or threading.current_thread() is not threading.main_thread():
        return
    now = time.monotonic()
    if now - listener.last_sign >= listener.pause_s and all(works() for works in _Process.vital):
        listener.send("WATCHDOG=1")
        listener.last_sign = now


def depend_on(works: Callable[[], bool]) -> None:
    """Send no sign of life while *works* returns False; it is called in the main thread and must not block."""
    _Process.vital.append(works)


def set_status(text: str) -> None:
    """What `systemctl status` shows of the process, in one line."""
    if listener := _find_listener():
        listener.send(f"STATUS={text}")

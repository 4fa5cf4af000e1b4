"""What a process tells systemd (sd_notify(3)) or the supervisor of `lantern serve`: that it is ready, that it lives,
how it is.  No library, and silence where nobody listens.

The sign of life is given by a process's main loop and by nothing else, so that a hang is a hang: `alive` called from
another thread says nothing.  A loop may call it as often as it likes; systemd hears three signs in its WatchdogSec, the
supervisor one a second, through a pipe that the process inherits.  Where the work is done by other threads, the main
loop asks after them first (`depend_on`).
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
    """Who hears this process, and how often they want a sign of life."""

    hear: Callable[[bytes], object]
    pause_s: float | None
    """None: it wants none."""
    told: float = float("-inf")

    def tell(self, message: str) -> None:
        """Lost when nobody is listening at this instant, which costs no more than the next sign."""
        try:
            self.hear(message.encode())
        except OSError:
            return


class _Told:
    """Of this process, once: a child must not find socket or pipe in its environment and speak for its parent."""

    listener: Listener | None = None
    asked = False
    vital: ClassVar[list[Callable[[], bool]]] = []


def _listener() -> Listener | None:
    if not _Told.asked:
        _Told.asked = True
        _Told.listener = _found()
    return _Told.listener


def _found() -> Listener | None:
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
    """The process does its work from now on; systemd starts what waits for it.  *text* as for `say`."""
    if listener := _listener():
        listener.tell("READY=1" + (f"\nSTATUS={text}" if text else ""))
        listener.told = time.monotonic()


def alive() -> None:
    """The main loop goes round.  Cheap: it writes at most three times in WatchdogSec."""
    listener = _listener()
    if listener is None or listener.pause_s is None or threading.current_thread() is not threading.main_thread():
        return
    now = time.monotonic()
    if now - listener.told >= listener.pause_s and all(works() for works in _Told.vital):
        listener.tell("WATCHDOG=1")
        listener.told = now


def depend_on(works: Callable[[], bool]) -> None:
    """From now on there is no sign of life while *works* says no; asked in the main thread, and must not block."""
    _Told.vital.append(works)


def say(text: str) -> None:
    """What `systemctl status` shows of the process, in one line."""
    if listener := _listener():
        listener.tell(f"STATUS={text}")

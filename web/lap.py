"""Whether the web server works: a lap through the thread that takes requests and one of those that answer them.

A server whose loop hangs, or whose threads all do, keeps its port open and answers nobody; only something that goes the
way of a request notices.  The lap is no request: it needs no connection, which a crowd could have taken.
"""

from __future__ import annotations

import threading
from typing import Any


class Lap:
    """`passed` starts a lap whenever the last one has come home."""

    def __init__(self, server: Any) -> None:
        """*server* is waitress's; its types know neither its trigger nor the tasks of others."""
        self._server = server
        self._home = threading.Event()
        self._home.set()

    def passed(self) -> bool:
        """Whether the last lap has come home; never blocks."""
        if not self._home.is_set():
            return False
        self._home.clear()
        self._server.trigger.pull_trigger(self._in_the_loop)
        return True

    def _in_the_loop(self) -> None:
        self._server.add_task(self)

    def service(self) -> None:
        """What one of the answering threads does with it (waitress's interface of a task)."""
        self._home.set()

    def cancel(self) -> None:
        """The server ends."""

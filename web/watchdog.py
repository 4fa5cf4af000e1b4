"""Whether the web server works: a test task through the thread that accepts requests and one that answers them.

A server whose loop hangs, or whose threads all hang, keeps its port open and answers nobody. Only a task that takes the
way of a request notices that. The lap is not a request: it needs no connection, and many clients could hold them all.
"""

from __future__ import annotations

import threading
from typing import Any


class ServerWatchdog:
    """`has_responded` starts a new lap whenever the last one is complete."""

    def __init__(self, server: Any) -> None:
        """*server* is waitress's; its type stubs have neither `trigger` nor foreign tasks."""
        self._server = server
        self._home = threading.Event()
        self._home.set()

    def has_responded(self) -> bool:
        """Whether the last lap is complete; never blocks."""
        if not self._home.is_set():
            return False
        self._home.clear()
        self._server.trigger.pull_trigger(self._enqueue)
        return True

    def _enqueue(self) -> None:
        self._server.add_task(self)

    def service(self) -> None:
        """Run in a worker thread (waitress's task interface)."""
        self._home.set()

    def cancel(self) -> None:
        """The server stops (waitress's task interface)."""

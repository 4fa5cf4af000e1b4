"""What the sender runs beside its main loop: a worker with a thread of its own."""

from __future__ import annotations

import threading


class Worker:
    """Its `_thread` is made by whoever derives from it."""

    _thread: threading.Thread

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

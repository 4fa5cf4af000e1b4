"""The pulse: one thread that notices database changes and wakes the open pages.

It looks at `PRAGMA data_version` four times a second (4 µs), so a hundred open pages cost no more than one.  A waiting
page occupies a thread of the web server. `PageLimit` limits how many may wait; the others poll every few seconds.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase

log = logging.getLogger("lantern.viewer")

_LOOK_S: Final = 0.25
_STANDING_S: Final = 2.0


class ChangeNotifier:
    """Counts database changes; `wait` returns when the count has changed."""

    def __init__(self, clinical: ClinicalDatabase, standing: Callable[[], object]) -> None:
        self._clinical, self._worklist, self._standing = clinical, CaseLists(clinical), standing
        self._changed = threading.Condition()
        self._beats = 0
        self._first: frozenset[str] = frozenset()
        self._alarms = 0
        self._stands = ""
        self._born = secrets.token_hex(4)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)

    @property
    def change_count(self) -> int:
        """The number of changes since the start."""
        return self._beats

    @property
    def urgent(self) -> str:
        """How many open cases should be looked at before all others, and a mark that differs when one has come:
        ``2 a1b2c3d4.7``.  The part before the dot is another after a restart, when nothing need have come."""
        return f"{len(self._first)} {self._born}.{self._alarms}"

    @property
    def banner_mark(self) -> str:
        """A mark that differs when what the banner of every page tells has changed."""
        return self._stands

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wake every waiting thread."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def wait(self, seen: int, seconds: float) -> int:
        """Wait until the count differs from *seen*, or for *seconds*, or until the pulse stops; returns the count."""
        with self._changed:
            self._changed.wait_for(lambda: self._beats != seen or self._stop.is_set(), seconds)
            return self._beats

    def _watch(self) -> None:
        mark: object = None
        looked = version = None
        while not self._stop.wait(_LOOK_S):
            try:
                now = self._clinical.database.read_change_mark()
                if now == version and looked is not None and time.monotonic() - looked < _STANDING_S:
                    continue
                version, looked = now, time.monotonic()
                fresh = (self._worklist.compute_mark(), self._standing())
                self._stands = hashlib.sha256(repr(fresh[1]).encode()).hexdigest()[:12]
                if fresh != mark:
                    self._track_urgent(self._worklist.list_urgent(), known=mark is not None)
            except sqlite3.Error as error:  # a locked or damaged database is shown on the box page; the pulse goes on
                log.warning("the lists cannot be watched: %s", type(error).__name__)
                continue
            if fresh != mark:
                mark = fresh
                with self._changed:
                    self._beats += 1
                    self._changed.notify_all()
        self._clinical.database.close_thread()

    def _track_urgent(self, first: frozenset[str], *, known: bool) -> None:
        if known and first - self._first:
            self._alarms += 1
        self._first = first


class PageLimit:
    """Limits how many pages may occupy a server thread at once."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    def acquire(self) -> bool:
        return self._free.acquire(blocking=False)

    def release(self) -> None:
        self._free.release()

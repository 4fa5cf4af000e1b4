"""Progress of long work: one line on stderr that is redrawn, only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SHORT_S: Final = 5.0
"""Shorter work gets no estimate."""


class Counter:
    """Called as ``advance(done, total)``, it draws e.g. ``read 12 of 133`` on a terminal; elsewhere it is silent.

    After :data:`SHORT_S` it adds an estimate of the seconds left.
    """

    def __init__(self, verb: str, enabled: bool) -> None:
        self._verb, self._enabled, self._drawn = verb, enabled, False
        self._started = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if self._enabled and sys.stderr.isatty():
            self._drawn = True
            # The cursor goes back to the first column, so that a log line overwrites this one.
            passed = time.monotonic() - self._started
            left = f", {passed / done * (total - done):.0f} s left" if done and passed > SHORT_S else ""
            self._draw(f"{self._verb} {done} of {total}{left}")

    def clear(self) -> None:
        """Take the line away before something else is printed; the next call draws it again."""
        if self._drawn:
            self._drawn = False
            self._draw("")

    def _draw(self, text: str) -> None:
        print(f"\r\033[K{text}", end="\r", file=sys.stderr, flush=True)


@contextmanager
def counter(verb: str, *, enabled: bool = True) -> Iterator[Counter]:
    """Yields a `Counter` whose line is gone when the block ends."""
    made = Counter(verb, enabled)
    try:
        yield made
    finally:
        made.clear()

"""How long work shows that it is alive: one line on stderr that is redrawn, and only where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counter(verb: str, *, enabled: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Yields ``advance(done, total)``; on a terminal it draws e.g. ``read 12 of 133``, elsewhere it is silent."""
    drawn = False

    def advance(done: int, total: int) -> None:
        nonlocal drawn
        if enabled and sys.stderr.isatty():
            drawn = True
            print(f"\r{verb} {done} of {total}", end="", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        if drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

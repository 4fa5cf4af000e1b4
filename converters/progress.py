"""One line of progress on a terminal, and nothing on a pipe."""

import sys
import time


class Progress:
    """``n of total`` with the time left, rewritten in place on stderr when that is a terminal."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.started = time.monotonic()
        self.shown = sys.stderr.isatty()

    def at(self, done: int, note: str = "") -> None:
        """Say that ``done`` of the total are finished."""
        if not self.shown:
            return
        passed = time.monotonic() - self.started
        left = passed / done * (self.total - done) if done else 0.0
        end = "\n" if done >= self.total else ""
        line = f"\r{self.what} {done}/{self.total}, {left:.0f} s left {note}\033[K"
        print(line, end=end, file=sys.stderr, flush=True)

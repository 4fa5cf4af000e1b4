"""The terminal side of all commands: their output, and a progress line on stderr.

A command whose output is cut off, as in `lantern case list | head`, ends silently, with the status of SIGPIPE.  On a
terminal whose encoding lacks a character, a plain one stands for it, and never a code of it or a traceback.  Progress
of long work is one line that is redrawn, only on a terminal.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

OUTPUT_CUT_OFF: Final = 128 + signal.SIGPIPE
"""The exit status that a shell shows of any program that `| head` cut off."""


_ASCII_HANDLER: Final = "lantern.plain"
_PLAIN: Final = str.maketrans(
    {
        "“": '"',
        "”": '"',
        "„": '"',
        "‘": "'",
        "’": "'",
        "…": "...",
        "–": "-",
        "—": "-",
        "−": "-",
        "→": "->",
        "←": "<-",
        "×": "x",
        "·": ".",
        "•": "-",
        "±": "+/-",
        "≥": ">=",
        "≤": "<=",
        "≈": "~",
        "²": "2",
        "³": "3",
        "µ": "u",
        "\u00a0": " ",
        "，": ",",
        "。": ".",
        "：": ":",
        "；": ";",
        "（": "(",
        "）": ")",
        "？": "?",
        "！": "!",
        "、": ",",
    }
)


def _replace_characters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    # A byte of a file's name that is no text (a lone surrogate) is shown by its number: no encoding has it.
    return "".join(_transliterate(one) for one in text), error.end


def _transliterate(one: str) -> str:
    if "\ud800" <= one <= "\udfff":
        return one.encode("ascii", "backslashreplace").decode("ascii")
    return one if one <= "\x7f" else "?"


codecs.register_error(_ASCII_HANDLER, _replace_characters)


def use_json_encoding() -> None:
    """Have stdout take JSON, which is UTF-8 (RFC 8259 8.1) in any locale; it escapes \\udcff as Python does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def run_command(command: Callable[[], int]) -> int:
    """The status that *command* returns, after its output is flushed; `OUTPUT_CUT_OFF` where the reader has closed the
    pipe."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ASCII_HANDLER)
    try:
        status = command()
        print(end="", flush=True)
    except BrokenPipeError:
        _discard_output()
        return OUTPUT_CUT_OFF
    return status


def _discard_output() -> None:
    """Discard what is still buffered, so that Python prints no error when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())


SHORT_S: Final = 5.0
"""Shorter work gets no estimate."""


class ProgressLine:
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
def show_progress(verb: str, *, enabled: bool = True) -> Iterator[ProgressLine]:
    """Yields a `ProgressLine` whose line is gone when the block ends."""
    made = ProgressLine(verb, enabled)
    try:
        yield made
    finally:
        made.clear()

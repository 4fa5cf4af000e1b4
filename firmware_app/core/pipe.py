"""Where the output of a command goes, the same for all three.

A command whose output is cut off, as in `lantern case list | head`, ends silently, with the status of SIGPIPE.  On a
terminal whose encoding lacks a character, a plain one stands for it, and never a code of it or a traceback.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

UNREAD: Final = 128 + signal.SIGPIPE
"""The exit status that a shell shows of any program that `| head` cut off."""


_IN_ASCII: Final = "lantern.plain"
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


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    # A byte of a file's name that is no text (a lone surrogate) is shown by its number: no encoding has it.
    return "".join(_in_ascii(one) for one in text), error.end


def _in_ascii(one: str) -> str:
    if "\ud800" <= one <= "\udfff":
        return one.encode("ascii", "backslashreplace").decode("ascii")
    return one if one <= "\x7f" else "?"


codecs.register_error(_IN_ASCII, _plainly)


def write_json() -> None:
    """Have stdout take JSON, which is UTF-8 (RFC 8259 8.1) in any locale; it escapes \\udcff as Python does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def run_to_its_reader(command: Callable[[], int]) -> int:
    """The status that *command* returns, after its output is flushed; `UNREAD` where the reader has closed the pipe."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_IN_ASCII)
    try:
        status = command()
        print(end="", flush=True)
    except BrokenPipeError:
        _leave_quietly()
        return UNREAD
    return status


def _leave_quietly() -> None:
    """Discard what is still buffered, so that Python prints no error when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())

"""Commands whose output is cut off, as in `lantern case list | head`: they end silently, with the status of SIGPIPE."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final

UNREAD: Final = 128 + signal.SIGPIPE
"""The exit status that a shell shows of any program that `| head` cut off."""


def run_to_its_reader(command: Callable[[], int]) -> int:
    """The status that *command* returns, after its output is flushed; `UNREAD` where the reader has closed the pipe."""
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

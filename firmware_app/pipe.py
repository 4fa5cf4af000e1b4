"""A command whose reader has gone, as in `lantern case list | head`: half an answer is no success, and nobody is left
to tell of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final

UNREAD: Final = 128 + signal.SIGPIPE
"""The exit status that a shell shows of any program that `| head` cut off."""


def run_to_its_reader(command: Callable[[], int]) -> int:
    """What *command* returns, once all that it printed is out; `UNREAD`, without a word, where nobody reads it."""
    try:
        status = command()
        print(end="", flush=True)
    except BrokenPipeError:
        _leave_quietly()
        return UNREAD
    return status


def _leave_quietly() -> None:
    """What is still to be written goes nowhere, and Python says nothing of it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())

"""The loop of every child: say ready, take a job, answer, until the parent closes the channel."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from firmware_app.errors import LanternError
from firmware_app.reading import confinement, wire
from firmware_app.records import Reason

Answers = Iterator[wire.Message]
_BROKEN_EXIT = 70


def refusal(error: LanternError, **more: Any) -> wire.Message:
    """An error as an answer: code and details, never a traceback."""
    return wire.Message({"refusal": asdict(Reason.of(error)), **more})


def serve(channel: socket.socket, work: Callable[[wire.Message], Answers], cpu_seconds: float) -> int:
    """Answer jobs until the parent is gone; returns the exit status.

    A job that raises what nobody foresaw ends the process: its memory may be in any state, and a fresh one is cheap.
    """
    try:
        wire.send(channel, wire.Message({"ready": True}))
        while True:
            job = wire.receive(channel)
            confinement.allow_cpu(cpu_seconds)
            for answer in work(job):
                wire.send(channel, answer)
    except (wire.Closed, wire.Garbled):
        return 0
    except Exception as error:  # noqa: BLE001 - a process's outermost loop; the text may quote a patient's data
        print(json.dumps({"child": sys.argv[0].rsplit("/", 1)[-1], "died_of": type(error).__name__}), file=sys.stderr)
        return _BROKEN_EXIT

"""The loop of every child: say ready, take a job, answer, until the parent closes the channel."""

from __future__ import annotations

import ctypes
import json
import re
import select
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Final

from firmware_app import address_space
from firmware_app.errors import LanternError, MemoryShort, Undecodable
from firmware_app.reading.children import confinement, wire
from firmware_app.records import Reason

Answers = Iterator[wire.Message]
_BROKEN_EXIT = 70
_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|(not enough|insufficient) memory|(cannot|failed to|could not) allocate", re.IGNORECASE
)
LOST_BYTES: Final = 64 * 1024 * 1024
"""Of the memory of a child before a job; with less than that gone, a fresh one would fail at the job just so."""
_REST_SECONDS: Final = 1.0
"""Without a job for so long, a child gives back what malloc keeps; between two films of a series it would cost time."""


def out_of_memory() -> wire.Message:
    """The answer to a job for which the child had too little memory: the job is too large, or earlier ones took it.

    The child ends with this answer, so that a fresh one can be asked."""
    return refusal(MemoryShort(), spent=True)


def is_memory_error(error: BaseException | None) -> bool:
    """Whether *error*, or what caused it, is a `MemoryError`: decoders report one as broken pixels.

    Libraries have words of their own for it, such as Pillow's "out of memory when reading image file".
    """
    while error is not None and not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
        error = error.__cause__ or error.__context__
    return error is not None


def refusal(error: LanternError, **more: Any) -> wire.Message:
    """An error as an answer: code and details, never a traceback."""
    return wire.Message({"refusal": asdict(Reason.of(error)), **more})


def failure(error: LanternError, peak: int) -> wire.Message:
    """The answer to a job that ended with *error*; *peak* was the most address space in use before it.

    Some decoders, OpenJPEG's among them, call it broken data when they are given no memory.
    """
    short = isinstance(error, Undecodable) and address_space.came_near_the_limit(peak)
    return out_of_memory() if short or is_memory_error(error) else refusal(error)


def serve(channel: socket.socket, work: Callable[[wire.Message], Answers], cpu_seconds: float) -> int:
    """Answer jobs until the parent is gone; returns the exit status.

    A job that raises what nobody foresaw ends the process: its memory may be in any state, and a fresh one is cheap.
    """
    try:
        wire.send(channel, wire.Message({"ready": True}))
        whole = address_space.room()
        while True:
            if not select.select([channel], [], [], _REST_SECONDS)[0]:
                ctypes.CDLL(None).malloc_trim(0)  # malloc(3): free memory below the heap's top stays with the process
            job = wire.receive(channel)
            confinement.allow_cpu(cpu_seconds)
            again = whole - address_space.room() > LOST_BYTES
            for answer in work(job):
                spent = {"again": again} if answer.header.get("spent") else {}
                wire.send(channel, wire.Message({**answer.header, **spent}, answer.arrays))
                if answer.header.get("spent"):
                    return 0
    except (wire.Closed, wire.Garbled):
        return 0
    except Exception as error:  # noqa: BLE001 - a process's outermost loop; the text may quote a patient's data
        print(json.dumps({"child": sys.argv[0].rsplit("/", 1)[-1], "died_of": type(error).__name__}), file=sys.stderr)
        return _BROKEN_EXIT

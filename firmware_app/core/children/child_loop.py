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

from firmware_app.core import address_space
from firmware_app.core.children import confinement, wire
from firmware_app.core.errors import LanternError, MemoryShort, Undecodable
from firmware_app.core.records import Reason

Answers = Iterator[wire.ChildMessage]
_BROKEN_EXIT = 70
_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|(not enough|insufficient) memory|(cannot|failed to|could not) allocate", re.IGNORECASE
)
LOST_BYTES: Final = 64 * 1024 * 1024
"""Address space that earlier jobs must have taken from a child before a fresh one is worth asking: with less taken, the
fresh one would run short of memory too."""
_REST_SECONDS: Final = 1.0
"""After so long without a job a child gives freed memory back; between two films of a series that would cost time."""


def out_of_memory() -> wire.ChildMessage:
    """The answer to a job for which memory ran short: it is too large, or earlier jobs left too little.

    The child ends after this answer, so that a fresh one can be asked."""
    return refusal(MemoryShort(), spent=True)


def is_memory_error(error: BaseException | None) -> bool:
    """Whether *error*, or one that caused it, means that memory ran short: decoders report that as broken pixels.

    Some libraries raise no `MemoryError` but say it in their text, such as Pillow's "out of memory when reading image
    file".
    """
    while error is not None and not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
        error = error.__cause__ or error.__context__
    return error is not None


def refusal(error: LanternError, **more: Any) -> wire.ChildMessage:
    """An error as an answer: code and details, never a traceback."""
    return wire.ChildMessage({"refusal": asdict(Reason.of(error)), **more})


def failure(error: LanternError, peak: int) -> wire.ChildMessage:
    """The answer to a job that ended with *error*; *peak* is the peak address space before it, in bytes.

    Some decoders, such as OpenJPEG, report broken data when an allocation fails.
    """
    short = isinstance(error, Undecodable) and address_space.came_near_the_limit(peak)
    return out_of_memory() if short or is_memory_error(error) else refusal(error)


def serve(channel: socket.socket, work: Callable[[wire.ChildMessage], Answers], cpu_seconds: float) -> int:
    """Answer jobs until the parent is gone; returns the exit status.

    An unexpected exception ends the process: its memory may be in any state, and a fresh one is cheap.
    """
    try:
        wire.send(channel, wire.ChildMessage({"ready": True}))
        whole = address_space.room()
        while True:
            if not select.select([channel], [], [], _REST_SECONDS)[0]:
                ctypes.CDLL(None).malloc_trim(0)  # malloc(3): free memory below the heap's top stays with the process
            job = wire.receive(channel)
            confinement.allow_cpu(cpu_seconds)
            again = whole - address_space.room() > LOST_BYTES
            for answer in work(job):
                spent = {"again": again} if answer.header.get("spent") else {}
                wire.send(channel, wire.ChildMessage({**answer.header, **spent}, answer.arrays))
                if answer.header.get("spent"):
                    return 0
    except (wire.Closed, wire.Garbled):
        return 0
    except Exception as error:  # noqa: BLE001 - a process's outermost loop; the text may quote a patient's data
        print(json.dumps({"child": sys.argv[0].rsplit("/", 1)[-1], "died_of": type(error).__name__}), file=sys.stderr)
        return _BROKEN_EXIT

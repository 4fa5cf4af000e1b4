"""The child's side: limit itself, say ready, take a job, answer, until the parent closes the channel.

The limits are set before the child touches anything from outside.  They are the kernel's (setrlimit), so a hostile file
that breaks a decoder costs this process and no other.  A child dies with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from firmware_app.core import child_messages, process
from firmware_app.core.errors import MEMORY_SHORT, LanternError, Undecodable
from firmware_app.core.records import Reason

Answers = Iterator[child_messages.ChildMessage]
_BROKEN_EXIT = 70
_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|(not enough|insufficient) memory|(cannot|failed to|could not) allocate", re.IGNORECASE
)
LOST_BYTES: Final = 64 * 1024 * 1024
"""Address space that earlier jobs must have taken from a child before a fresh one is worth asking: with less taken, the
fresh one would run short of memory too."""
_REST_SECONDS: Final = 1.0
"""After so long without a job a child gives freed memory back; between two films of a series that would cost time."""


def make_out_of_memory_answer() -> child_messages.ChildMessage:
    """The answer to a job for which memory ran short: it is too large, or earlier jobs left too little.

    The child ends after this answer, so that a fresh one can be asked."""
    return make_refusal_answer(MEMORY_SHORT(), spent=True)


def is_memory_error(error: BaseException | None) -> bool:
    """Whether *error*, or one that caused it, means that memory ran short: decoders report that as broken pixels.

    Some libraries raise no `MemoryError` but say it in their text, such as Pillow's "out of memory when reading image
    file".
    """
    while error is not None and not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
        error = error.__cause__ or error.__context__
    return error is not None


def make_refusal_answer(error: LanternError, **more: Any) -> child_messages.ChildMessage:
    """An error as an answer: code and details, never a traceback."""
    return child_messages.ChildMessage({"refusal": asdict(Reason.from_error(error)), **more})


def make_failure_answer(error: LanternError, peak: int) -> child_messages.ChildMessage:
    """The answer to a job that ended with *error*; *peak* is the peak address space before it, in bytes.

    Some decoders, such as OpenJPEG, report broken data when an allocation fails.
    """
    short = isinstance(error, Undecodable) and process.came_near_memory_limit(peak)
    return make_out_of_memory_answer() if short or is_memory_error(error) else make_refusal_answer(error)


def serve_jobs(
    channel: socket.socket, work: Callable[[child_messages.ChildMessage], Answers], cpu_seconds: float
) -> int:
    """Answer jobs until the parent is gone; returns the exit status.

    An unexpected exception ends the process: its memory may be in any state, and a fresh one is cheap.
    """
    try:
        child_messages.send(channel, child_messages.ChildMessage({"ready": True}))
        whole = process.read_available_bytes()
        while True:
            if not select.select([channel], [], [], _REST_SECONDS)[0]:
                ctypes.CDLL(None).malloc_trim(0)  # malloc(3): free memory below the heap's top stays with the process
            job = child_messages.receive(channel)
            allow_cpu_seconds(cpu_seconds)
            again = whole - process.read_available_bytes() > LOST_BYTES
            for answer in work(job):
                spent = {"again": again} if answer.header.get("spent") else {}
                child_messages.send(channel, child_messages.ChildMessage({**answer.header, **spent}, answer.arrays))
                if answer.header.get("spent"):
                    return 0
    except (child_messages.ChannelClosed, child_messages.InvalidMessage):
        return 0
    except Exception as error:  # noqa: BLE001 - a process's outermost loop; the text may quote a patient's data
        print(json.dumps({"child": sys.argv[0].rsplit("/", 1)[-1], "died_of": type(error).__name__}), file=sys.stderr)
        return _BROKEN_EXIT


_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
LARGEST_FILE_BYTES: Final = 256 * 1024 * 1024
NICENESS: Final = 5


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when *parent* dies; exits at once when that has happened already.

    SIGINT is ignored: a Ctrl-C on the terminal may reach the child too, and only the parent decides what to do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def confine(memory_mb: int, file_bytes: int = LARGEST_FILE_BYTES) -> None:
    """Limit address space to what is mapped now plus *memory_mb*, written files to *file_bytes*, core dumps to none."""
    _warm_up()
    most = process.read_mapped_bytes() + memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(PermissionError):  # lantern-sender's unit forbids it, and has given it more already
        os.nice(NICENESS)


def _warm_up() -> None:
    """Make OpenBLAS allocate its buffer now: if the allocation failed later, OpenBLAS would end the process."""
    square = np.ones((256, 256), np.float32)
    square @ square[0]


def allow_cpu_seconds(seconds: float) -> None:
    """Let this process use *seconds* more of CPU time (at least one); then SIGXCPU ends it (RLIMIT_CPU)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))

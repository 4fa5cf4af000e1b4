"""Limits that a child sets for itself before it touches anything from outside; it also dies with its parent.

The limits are the kernel's (setrlimit), so a hostile file that breaks a decoder costs this process and no other.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from typing import Final

import numpy as np

from firmware_app.core import address_space

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
LARGEST_FILE_BYTES: Final = 256 * 1024 * 1024
NICENESS: Final = 5


def die_with(parent: int) -> None:
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
    most = address_space.mapped() + memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(PermissionError):  # lantern-sender's unit forbids it, and has given it more already
        os.nice(NICENESS)


def _warm_up() -> None:
    """Make OpenBLAS allocate its buffer now: if the allocation failed later, OpenBLAS would end the process."""
    square = np.ones((256, 256), np.float32)
    square @ square[0]


def allow_cpu(seconds: float) -> None:
    """Let this process use *seconds* more of CPU time (at least one); then SIGXCPU ends it (RLIMIT_CPU)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))

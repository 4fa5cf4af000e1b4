"""What a child does to itself before it touches anything from outside: dies with its parent, and has limits.

The limits are the kernel's (setrlimit), so a hostile file that drives a decoder mad costs this process and no other.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
LARGEST_FILE_BYTES: Final = 256 * 1024 * 1024
NEAR_BYTES: Final = 96 * 1024 * 1024
"""About what is asked for at once for a large film."""
NICENESS: Final = 5


def die_with(parent: int) -> None:
    """Have the kernel kill this process when *parent* dies; exits at once when that has happened already.

    A Ctrl-C on the terminal reaches the whole group: the parent decides what it means, so the child ignores it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def confine(memory_mb: int, file_bytes: int = LARGEST_FILE_BYTES) -> None:
    """Limit address space to what is mapped now plus *memory_mb*, written files to *file_bytes*, core dumps to none."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)


def room() -> int:
    """Bytes of address space that this process may still map."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return (sys.maxsize if most == resource.RLIM_INFINITY else most) - pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most bytes of address space that this process has had mapped (proc(5), VmPeak)."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmPeak:")), 0)


def came_near_the_limit(before: int) -> bool:
    """Whether the peak, *before* now, has since come so near the limit that an allocation may well have failed."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    reached = peak()
    return reached > before and most != resource.RLIM_INFINITY and most - reached < NEAR_BYTES


def allow_cpu(seconds: float) -> None:
    """Let this process use *seconds* more of CPU time (at least one), then SIGXCPU ends it (RLIMIT_CPU)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))

"""What a process does for itself: load quickly, watch its address space, run a worker thread.

Imports at the start run with the garbage collector off: scanning the new modules again and again takes a fifth of the
start.  A child process is confined to an address space; the functions tell how much is mapped, was mapped at the peak,
and is still available.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """For imports at the start of a process; later collections skip what they have created, too."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


NEAR_BYTES: Final = 136 * 1024 * 1024
"""A little more than OpenJPEG's largest allocation: four bytes for each pixel of the largest frame, 32 megapixels."""


def read_mapped_bytes() -> int:
    """Bytes of address space that this process has mapped."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")


def read_available_bytes() -> int:
    """Bytes of address space that this process may still map."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return (sys.maxsize if most == resource.RLIM_INFINITY else most) - read_mapped_bytes()


def read_peak_bytes() -> int:
    """The most bytes of address space that this process has had mapped (proc(5), VmPeak)."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmPeak:")), 0)


def came_near_memory_limit(before: int) -> bool:
    """Whether the peak has grown since it was *before*, and so near to the limit that an allocation may have failed."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    reached = read_peak_bytes()
    return reached > before and most != resource.RLIM_INFINITY and most - reached < NEAR_BYTES


class WorkerThread:
    """Its `_thread` is made by whoever derives from it."""

    _thread: threading.Thread

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

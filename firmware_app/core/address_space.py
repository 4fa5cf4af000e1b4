"""The address space of this process, to which a child is confined: mapped now, at its peak, and still available."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Final

NEAR_BYTES: Final = 136 * 1024 * 1024
"""A little more than OpenJPEG's largest allocation: four bytes for each pixel of the largest frame, 32 megapixels."""


def mapped() -> int:
    """Bytes of address space that this process has mapped."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")


def room() -> int:
    """Bytes of address space that this process may still map."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return (sys.maxsize if most == resource.RLIM_INFINITY else most) - mapped()


def peak() -> int:
    """The most bytes of address space that this process has had mapped (proc(5), VmPeak)."""
    lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmPeak:")), 0)


def came_near_the_limit(before: int) -> bool:
    """Whether the peak has grown since it was *before*, and so near to the limit that an allocation may have failed."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    reached = peak()
    return reached > before and most != resource.RLIM_INFINITY and most - reached < NEAR_BYTES

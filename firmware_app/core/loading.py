"""Imports with the garbage collector off: scanning the new modules again and again takes a fifth of the start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """For imports at the start of a process; later collections skip what they have created, too."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

"""Which ways through our code an input takes, and the fewest inputs that take them all."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Final

import firmware_app

_OURS: Final = os.path.dirname(firmware_app.__file__) + os.sep  # noqa: PTH120 - compared with what the compiler wrote

Way = tuple[CodeType, int, int]
"""From a line to the next one, in one function."""


def minimise(target: Callable[[bytes], object], inputs: Iterable[bytes]) -> list[bytes]:
    """Those of *inputs* that take a way which none of the smaller ones takes."""
    seen: set[Way] = set()
    kept = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        new = trace_lines(target, data) - seen
        if new:
            seen |= new
            kept.append(data)
    return kept


def trace_lines(target: Callable[[bytes], object], data: bytes) -> set[Way]:
    """The ways that *target* takes for *data*."""
    ways_taken: set[Way] = set()

    def called(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if not code.co_filename.startswith(_OURS):
            return None
        before = 0

        def lines(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            nonlocal before
            ways_taken.add((code, before, frame.f_lineno))
            before = frame.f_lineno
            return lines

        return lines

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.settrace(called)
        try:
            target(data)
        finally:
            sys.settrace(None)
    return ways_taken

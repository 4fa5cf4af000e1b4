"""Starts a child, again where it dies before it is ready: no image can be the cause of that."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from firmware_app.core.children.child import Child, ChildLost
from firmware_app.core.errors import ChildWillNotStart

log = logging.getLogger("lantern.reader")

ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2


def started(child: Child, spawn: Callable[[], Child]) -> Child:
    """*child* once it is ready, or else a later one from *spawn*; raises `ChildWillNotStart` after `ATTEMPTS`."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            child.await_ready()
            return child
        except ChildLost as lost:
            log.warning("a child process died while starting (%s)", lost.detail)
            if attempt == ATTEMPTS:
                raise ChildWillNotStart(detail=lost.detail) from None
            time.sleep(_PAUSE_S * attempt)
            child = spawn()
    raise AssertionError("unreachable")

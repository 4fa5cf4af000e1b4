"""Starting a child, and what to do when it dies before it ever says ready: nothing that an image did."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from firmware_app.errors import ChildWillNotStart
from firmware_app.reading.children.child import Child, ChildLost

log = logging.getLogger("lantern.reader")

ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2


def started(child: Child, spawn: Callable[[], Child]) -> Child:
    """*child*, or a later one from *spawn*, once it is ready; raises `ChildWillNotStart` after a few."""
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

"""Where the box's memory of time lies, and who of its processes may write it.

``run/clock.json`` belongs to the clinical side.  ``exchange/clock.json`` is its copy for the uplink, which may read it
and not change what the others believe: nobody reads the copy back.
"""

from __future__ import annotations

from typing import Final

from firmware_app import clock
from firmware_app.store.disk.layout import StateDir

FILE: Final = "clock.json"
UPLINK: Final = "uplink"
_COPYING: Final = ("reader", "console")  # who may enter exchange/ and does not only look


def begin(state: StateDir, process: str, *, writes: bool = True) -> clock.Clock:
    """Have this process go by the box's time.  Without *writes* it looks, and leaves no trace of having looked."""
    copy = state.exchange_db.parent / FILE
    if process == UPLINK:
        return clock.use(clock.Clock(clock.ClockFile(copy), writes=False))
    writes = writes and state.run.is_dir()
    kept = clock.ClockFile(state.run / FILE, copy if process in _COPYING else None)
    return clock.use(clock.Clock(kept, writes=writes))

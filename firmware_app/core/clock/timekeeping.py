"""Where the box's memory of time is stored, and which processes may write it.

``run/clock.json`` belongs to the clinical side.  ``exchange/clock.json`` is a copy for the uplink.  The uplink cannot
change the time of the other processes, because they never read the copy.
"""

from __future__ import annotations

from typing import Final

from firmware_app.core import clock
from firmware_app.core.state_dir import StateDir

FILE: Final = "clock.json"
UPLINK: Final = "uplink"
_COPYING: Final = ("reader", "console")  # processes that may write to exchange/


def begin(state: StateDir, process: str, *, writes: bool = True) -> clock.Clock:
    """Make this process use the box's time.  Without *writes* it only reads and leaves no trace."""
    copy = state.exchange_db.parent / FILE
    if process == UPLINK:
        return clock.use(clock.Clock(clock.ClockFile(copy), writes=False))
    writes = writes and state.run.is_dir()
    kept = clock.ClockFile(state.run / FILE, copy if process in _COPYING else None)
    return clock.use(clock.Clock(kept, writes=writes))

"""Another clock for a process and its children: libfaketime, set by its environment and changed through a file.

Only the wall clock lies; the monotonic clock runs on, as it does on a real machine whose clock was never set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.peers import skip_missing_packages

_LIBRARIES: Final = Path("/usr/lib")
EPOCH: Final = "@1970-01-01 00:00:10"
END_OF_32_BIT: Final = "@2038-01-19 03:14:00"
TEN_YEARS_BEHIND: Final = "-10y"
TEN_YEARS_AHEAD: Final = "+10y"
RIGHT: Final = "+0"


class ShiftedClock:
    """What the time is for whoever is started with `environment`."""

    def __init__(self, folder: Path, time: str = RIGHT) -> None:
        libraries = sorted(_LIBRARIES.glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            skip_missing_packages("faketime")
        self._file = folder / "clock"
        self.environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",  # a jump is seen at once
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(time)

    def set(self, time: str) -> None:
        """The clock jumps to *time* (``@2038-01-19 03:14:00``) or to an offset from the right one (``-10y``)."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(time + "\n", "ascii")
        fresh.replace(self._file)

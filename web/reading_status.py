"""Whether the box reads images: for the banner and `/healthz`, from database rows and the processes' locks."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from firmware_app.appliance.checks import maintenance
from firmware_app.cases.case_lists import CaseLists
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.core import clock, run_status
from firmware_app.core import disk as of_the_state
from firmware_app.core.errors import DiskTrouble
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir

LATE_S: Final = 60.0
_WRITE_S: Final = 10.0
PULSE_WRITE_S: Final = 60.0  # writing wears a disk out, and a page may be open day and night


@dataclass(frozen=True, slots=True)
class ReadingState:
    """State of the reading: whether it has stopped, since when, and how many images wait."""

    stopped: bool
    since: clock.Stamp | None
    unread: int


def read_reading_state(clinical: ClinicalDatabase, state: StateDir) -> ReadingState:
    """Reading has stopped when the reader does not run, or when images wait and none was read for a minute."""
    progress = CaseLists(clinical).measure_progress()
    last = max((stamp.at for stamp in (progress.oldest, progress.last_read) if stamp), default=None)
    late = progress.waiting > 0 and last is not None and abs((clock.now() - last).total_seconds()) > LATE_S
    stopped = late or not run_status.is_running(state, "reader")
    return ReadingState(stopped, progress.oldest, progress.waiting)


class DiskMonitor:
    """Why the disk takes no images, from the file system's figures and a test write now and then."""

    def __init__(self, config: Config, state: StateDir) -> None:
        self._folder, self._limit_mb = state.run, config.retention.high_water_free_mb
        self._asking = threading.Lock()  # a failing disk may block one request, not all of them
        self._at = float("-inf")
        self._written: DiskTrouble | None = None

    def check(self, write_s: float = _WRITE_S) -> DiskTrouble | None:
        """The refusal, None when the disk works. The result of a test write is kept for *write_s* seconds."""
        if (trouble := of_the_state.find_disk_trouble(self._folder, self._limit_mb, writes=False)) is not None:
            return trouble
        if self._asking.acquire(blocking=False):
            try:
                if time.monotonic() - self._at > write_s:
                    self._written = of_the_state.find_disk_trouble(self._folder, self._limit_mb)
                    self._at = time.monotonic()
            finally:
                self._asking.release()
        return self._written


def list_troubles(disk: DiskMonitor, clinical: ClinicalDatabase, state: StateDir) -> list[str]:
    """Codes of what is wrong, without names or numbers; empty when nothing is."""
    codes = [f"{name}.stopped" for name in ("gateway", "reader") if not run_status.is_running(state, name)]
    if "reader.stopped" not in codes and read_reading_state(clinical, state).stopped:
        codes.append("reader.late")
    if (full := disk.check()) is not None:
        codes.append(full.code)
    return [*codes, *maintenance.list_troubles(state)]

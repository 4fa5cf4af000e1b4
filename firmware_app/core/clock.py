"""Time on a box that may have no clock.

The box's time advances with the machine's counter of seconds since its start, which cannot be set; so the order within
a boot never depends on a wall clock.  The time is never earlier than the newest time that the box has given out before.
It is trusted if it was confirmed by the hospital, network time, a person, or a battery clock that one of these had
confirmed.  Otherwise every `Stamp` is marked as untrusted (docs/decisions/clock.md).

``run/clock.json`` holds the memory of time and belongs to the clinical side.  ``exchange/clock.json`` is a copy for the
uplink.  The uplink cannot change the time of the other processes, because they never read the copy.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from firmware_app.core.clock_file import ClockFile as ClockFile
from firmware_app.core.clock_memory import SLACK_S as SLACK_S
from firmware_app.core.clock_memory import ClockMemory
from firmware_app.core.clock_memory import ImplausibleTime as ImplausibleTime
from firmware_app.core.clock_memory import Stamp as Stamp
from firmware_app.core.clock_memory import TimeSource as TimeSource
from firmware_app.core.clock_memory import parse_stamp as parse_stamp
from firmware_app.core.state_dir import StateDir

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # proc(5): random, made anew at each boot
_TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd(8): touched at each synchronisation
_TIMESYNCD_S: Final = 3 * 3600.0  # it asks at least every 2048 s (timesyncd.conf(5), PollIntervalMaxSec)
_RTC: Final = Path("/sys/class/rtc/rtc0/since_epoch")  # Linux, Documentation/admin-guide/rtc.rst
_STA_UNSYNC: Final = 0x0040  # adjtimex(2)
_TIME_ERROR: Final = 5
_SAME_S: Final = 2.0  # between two readings of one clock


class _Timeval(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("fraction", ctypes.c_long))


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), 64 bits; the rest is room for what is not looked at."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", _Timeval),
        ("room", ctypes.c_byte * 256),
    )


class KernelClock:
    """The readings of this machine."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def boot(self) -> str:
        """16 hexadecimal digits that are the same until the machine starts again."""
        return hashlib.sha256(_BOOT_ID.read_bytes()).hexdigest()[:16]

    def elapsed(self) -> float:
        """Seconds since the machine started, sleep included; nobody can set it."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """The machine's clock in Unix seconds, right or wrong."""
        return time.time()

    def synchronised(self) -> bool:
        """Whether network time holds the wall clock, as the kernel or systemd-timesyncd knows it.

        A sandbox may forbid the system call (`ProtectClock=`); then only timesyncd's file counts.
        """
        answer = _Timex()
        state = self._libc.adjtimex(ctypes.byref(answer))
        # The time in the answer must be the one that this process sees, because the promise is about that clock.
        if state not in (-1, _TIME_ERROR) and not answer.status & _STA_UNSYNC:
            return bool(abs(answer.time.seconds - time.time()) < _SAME_S)
        try:
            return 0 <= time.time() - _TIMESYNCD.stat().st_mtime < _TIMESYNCD_S
        except OSError:
            return False

    def battery(self) -> float | None:
        """The clock that runs on while the machine is off, in Unix seconds; None where there is none."""
        try:
            return float(_RTC.read_text("ascii"))
        except (OSError, ValueError):
            return None


log = logging.getLogger("lantern.clock")

_LOOK_S: Final = 1.0  # how soon a process sees what another process has learned
_NETWORK_S: Final = 30.0
_NETWORK_RENEW_S: Final = 600.0
_KEEP_S: Final = 60.0  # at most this much is lost in a power cut; the newest rows give the rest


class Condition(StrEnum):
    """The state of the clock, for people."""

    TRUSTED = "trusted"
    DISAGREES = "disagrees"  # trusted, and the machine's own clock shows something else
    UNCONFIRMED = "unconfirmed"
    BEHIND = "behind"  # the machine's own clock is behind a time that has certainly passed
    AHEAD = "ahead"  # the machine's own clock is so far ahead that it is ignored


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """The time, its source and since when, and the machine's own clock."""

    stamp: Stamp
    source: TimeSource
    learned: datetime | None
    machine: datetime
    condition: Condition


class Clock:
    """The clock of one process.  Safe to share between its threads."""

    def __init__(
        self, kept: ClockFile | None = None, *, writes: bool = True, kernel: KernelClock | None = None
    ) -> None:
        """*kept* is the file with the box's memory of time; *writes* is False in a process that may only read it."""
        self._kept, self._writes = kept, writes and kept is not None
        self.kernel = kernel or KernelClock()
        self._lock = threading.Lock()
        self._memory, self._entered = ClockMemory(), False
        self._mark: tuple[int, int] | None = None
        self._looked = self._asked = float("-inf")
        self._saved = float("-inf")
        self._complained = False

    # --- the time ------------------------------------------------------------------------------------------------

    def stamp(self) -> Stamp:
        """The time now, and whether it can be trusted."""
        with self._lock:
            return self._stamp()

    def standing(self) -> ClockStatus:
        """How the clock is."""
        with self._lock:
            self._looked = float("-inf")
            stamp, elapsed = self._stamp(), self.kernel.elapsed()
            memory, wall = self._memory, self.kernel.wall()
        source, shown = memory.source(elapsed), stamp.at.timestamp()
        learned = None if source is TimeSource.NOBODY else _moment(memory.anchor.moment)
        condition = Condition.TRUSTED if stamp.trusted else Condition.UNCONFIRMED
        if stamp.trusted and abs(wall - shown) > SLACK_S:
            condition = Condition.DISAGREES
        elif not stamp.trusted and wall < shown - SLACK_S:
            condition = Condition.BEHIND
        elif not stamp.trusted and wall > memory.ceiling():
            condition = Condition.AHEAD
        return ClockStatus(stamp, source, learned, _moment(wall), condition)

    def lived(self) -> float:
        """Powered-on seconds that nobody can set; a restart of the machine counts as an hour."""
        with self._lock:
            self._stamp()
            return self._memory.lived(self.kernel.elapsed())

    # --- what is learned -----------------------------------------------------------------------------------------

    def learn(self, moment: float, source: TimeSource, *, dated: float = 0.0) -> ClockStatus:
        """*source* says that it is *moment* (Unix seconds) now; the box's certificate is *dated*.

        Raises `ImplausibleTime`, which changes nothing.
        """

        def how(memory: ClockMemory) -> ClockMemory:
            return memory.learned(self.kernel.elapsed(), moment, source, wall=self.kernel.wall(), dated=dated)

        with self._lock:
            self._stamp()
            self._change(how, patient=True)
        return self.standing()

    def passed(self, moment: float, *, dated: float = 0.0) -> None:
        """*moment* has passed, because the box has seen something with this date; its certificate is *dated*."""
        with self._lock:
            self._stamp()
            elapsed = self.kernel.elapsed()
            if self._memory.passed(elapsed, moment, dated=dated) != self._memory:
                self._change(lambda memory: memory.passed(elapsed, moment, dated=dated), patient=True)

    def newest_was(self, moment: float) -> None:
        """The newest row of the box is of *moment*; it may be a little newer than what the memory had kept."""
        with self._lock:
            self._stamp()
            if not self._memory.certain() < moment <= self._memory.newest + 2 * _KEEP_S and self._memory.boots > 1:
                return
        self.passed(moment)

    def memory(self) -> ClockMemory:
        """All that is known about the time, for a command that must judge it."""
        with self._lock:
            self._stamp()
            return self._memory

    # --- inside; the lock is held --------------------------------------------------------------------------------

    def _stamp(self) -> Stamp:
        elapsed = self.kernel.elapsed()
        if not self._entered:
            self._enter(elapsed)
        if elapsed - self._looked >= _LOOK_S:
            self._look(elapsed)
        self._memory, shown = self._memory.observed(elapsed)
        if self._writes and shown - self._saved >= _KEEP_S:
            self._change(lambda memory: memory, patient=False)
        return Stamp(_moment(shown), self._memory.trusted(elapsed))

    def _enter(self, elapsed: float) -> None:
        self._entered = True
        self._change(lambda memory: memory, patient=True)

    def _look(self, elapsed: float) -> None:
        self._looked = elapsed
        if self._kept is not None and (mark := self._kept.mark()) != self._mark:
            self._mark = mark
            kept = self._kept.read()
            self._memory = self._arrived(kept.join(self._memory), elapsed)
            if self._kept.copy is None:  # another process has stored it; a process with a copy writes it itself
                self._saved = max(self._saved, kept.newest)
        self._memory = self._memory.followed(elapsed, self.kernel.wall())
        if elapsed - self._asked >= _NETWORK_S:
            self._asked = elapsed
            if self.kernel.synchronised():
                self._hear_network(elapsed)

    def _hear_network(self, elapsed: float) -> None:
        wall, source = self.kernel.wall(), self._memory.source(elapsed)
        fresh = elapsed - self._memory.anchor.elapsed < _NETWORK_RENEW_S
        if source is TimeSource.NETWORK and fresh and abs(self._memory.anchor.at(elapsed) - wall) < 1.0:
            return
        try:
            if self._memory.learned(elapsed, wall, TimeSource.NETWORK) != self._memory:
                self._change(lambda memory: memory.learned(elapsed, wall, TimeSource.NETWORK), patient=True)
        except ImplausibleTime:
            return  # an impossible time

    def _arrived(self, memory: ClockMemory, elapsed: float) -> ClockMemory:
        return memory.entered(self.kernel.boot(), elapsed, self.kernel.wall(), self.kernel.battery())

    def _change(self, how: Callable[[ClockMemory], ClockMemory], *, patient: bool) -> None:
        """Apply *how* to all that is known, here and on the disk."""
        elapsed = self.kernel.elapsed()

        def changed(kept: ClockMemory) -> ClockMemory:
            after = how(self._arrived(kept.join(self._memory), elapsed))
            return after.observed(elapsed, self._steady_battery())[0]

        if not self._writes or self._kept is None:
            self._memory = changed(self._kept.read() if self._kept is not None else ClockMemory())
            return
        self._saved = self._memory.newest
        try:
            after = self._kept.change(changed, patient=patient)
        except OSError as error:
            if not self._complained:
                log.warning("the memory of the time cannot be written (%s)", error.strerror)
            self._complained = True
            self._memory = changed(ClockMemory())
            return
        if after is not None:
            self._memory, self._mark, self._complained = after, self._kept.mark(), False
            self._saved = after.newest

    def _steady_battery(self) -> float | None:
        """The battery clock, if the system keeps it synchronised; then it is not set at shutdown."""
        reading = self.kernel.battery()
        return reading if reading is not None and abs(reading - self.kernel.wall()) < SLACK_S else None


class _Process:
    """The clock that this process uses; a default one until `use_clock`."""

    clock = Clock()


def use_clock(clock: Clock) -> Clock:
    """Use *clock* from now on; returns it."""
    _Process.clock = clock
    return clock


def current_clock() -> Clock:
    """The clock that this process uses."""
    return _Process.clock


def stamp() -> Stamp:
    """The time now, and whether it can be trusted."""
    return _Process.clock.stamp()


def now() -> datetime:
    """The box's time, right or wrong, in UTC."""
    return _Process.clock.stamp().at


def stamp_text(timespec: str = "milliseconds") -> str:
    """The time now as rows and files hold it, with its mark."""
    return _Process.clock.stamp().text(timespec)


def powered_on_seconds() -> float:
    """Powered-on seconds that nobody can set; a restart of the machine counts as an hour."""
    return _Process.clock.lived()


def uptime_seconds() -> float:
    """Seconds since the machine started."""
    return _Process.clock.kernel.elapsed()


def boot_id() -> str:
    """16 hexadecimal digits that are the same until the machine starts again."""
    return _Process.clock.kernel.boot()


def trusted_hour(taken: Stamp) -> str | None:
    """The hour of *taken* as ``2026-11-21T03`` in UTC; None when it was taken under a clock that was not trusted."""
    return taken.at.astimezone(UTC).strftime("%Y-%m-%dT%H") if taken.trusted else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


CLOCK_FILE: Final = "clock.json"
UPLINK_PROCESS: Final = "uplink"
_COPYING: Final = ("reader", "console")  # processes that may write to exchange/


def start_clock(state: StateDir, process: str, *, writes: bool = True) -> Clock:
    """Make this process use the box's time.  Without *writes* it only reads and leaves no trace."""
    copy = state.exchange_db.parent / CLOCK_FILE
    if process == UPLINK_PROCESS:
        return use_clock(Clock(ClockFile(copy), writes=False))
    writes = writes and state.run.is_dir()
    kept = ClockFile(state.run / CLOCK_FILE, copy if process in _COPYING else None)
    return use_clock(Clock(kept, writes=writes))

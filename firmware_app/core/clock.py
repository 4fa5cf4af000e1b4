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
import errno
import hashlib
import logging
import os
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from firmware_app.core import locks
from firmware_app.core.clock_memory import SLACK_S as SLACK_S
from firmware_app.core.clock_memory import ClockMemory
from firmware_app.core.clock_memory import ImplausibleTime as ImplausibleTime
from firmware_app.core.clock_memory import Stamp as Stamp
from firmware_app.core.clock_memory import TimeSource as TimeSource
from firmware_app.core.clock_memory import parse_stamp as parse_stamp
from firmware_app.core.state_dir import StateDir, read_plain_file, write_atomically

log = logging.getLogger("lantern.clock")

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # proc(5): random, made anew at each boot
_TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd(8): touched at each synchronisation
_TIMESYNCD_S: Final = 3 * 3600.0  # it asks at least every 2048 s (timesyncd.conf(5), PollIntervalMaxSec)
_RTC: Final = Path("/sys/class/rtc/rtc0/since_epoch")  # Linux, Documentation/admin-guide/rtc.rst
_TIMEX_BYTES, _TIMEX_TIME, _TIME_ERROR = 512, 72, 5  # struct timex of adjtimex(2), 64 bits; not synchronised
_SAME_S: Final = 2.0  # between two readings of one clock

_LOOK_S: Final = 1.0  # how soon a process sees what another process has learned
_NETWORK_S: Final = 30.0
_NETWORK_RENEW_S: Final = 600.0
_KEEP_S: Final = 60.0  # at most this much is lost in a power cut; the newest rows give the rest
_PATIENCE_S: Final = 1.0
_MOST_BYTES: Final = 4096
_MODE: Final = 0o660


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
        answer = ctypes.create_string_buffer(_TIMEX_BYTES)
        if self._libc.adjtimex(answer) not in (-1, _TIME_ERROR):
            (seconds,) = struct.unpack_from("l", answer, _TIMEX_TIME)
            return abs(float(seconds) - time.time()) < _SAME_S  # else this process sees another clock than the kernel's
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


@dataclass(frozen=True, slots=True)
class ClockFile:
    """The memory on the disk; *copy* is written with it for processes that may not open *path*, and never read back."""

    path: Path
    copy: Path | None = None

    def mark(self) -> tuple[int, int] | None:
        """A value that changes with every write; None while there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def read(self) -> ClockMemory:
        """The stored memory; an empty one if the file is missing, unreadable or damaged."""
        try:
            return ClockMemory.model_validate_json(read_plain_file(self.path, _MOST_BYTES)[0])
        except FileNotFoundError:
            return ClockMemory()
        except (OSError, ValueError) as error:
            log.warning("the memory of the time cannot be used (%s)", type(error).__name__)
            return ClockMemory()

    def change(self, how: Callable[[ClockMemory], ClockMemory]) -> ClockMemory:
        """Apply *how* to the stored memory and store the result durably; returns it.  Raises `OSError`."""
        with locks.hold_lock(self.path.with_suffix(".lock"), _PATIENCE_S) as alone:
            if not alone:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            after = how(self.read())
            content = after.model_dump_json().encode()
            write_atomically(self.path, content, _MODE)
            if self.copy is not None and self.copy.parent.is_dir():
                with suppress(OSError):  # it comes again within a minute
                    write_atomically(self.copy, content, _MODE)
            return after


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
        self._memory: ClockMemory | None = None
        self._mark: tuple[int, int] | None = None
        self._looked = self._asked = self._saved = float("-inf")
        self._complained = False

    # --- the time ------------------------------------------------------------------------------------------------

    def stamp(self) -> Stamp:
        """The time now, and whether it can be trusted."""
        with self._lock:
            memory, elapsed = self._now(), self.kernel.elapsed()
            return Stamp(_moment(memory.newest), memory.is_trusted(elapsed))

    def status(self) -> ClockStatus:
        """How the clock is."""
        with self._lock:
            self._looked = float("-inf")
            memory, elapsed, wall = self._now(), self.kernel.elapsed(), self.kernel.wall()
        source, shown, trusted = memory.source_at(elapsed), memory.newest, memory.is_trusted(elapsed)
        learned = None if source is TimeSource.NOBODY else _moment(memory.moment)
        condition = Condition.TRUSTED if trusted else Condition.UNCONFIRMED
        if trusted and abs(wall - shown) > SLACK_S:
            condition = Condition.DISAGREES
        elif not trusted and wall < shown - SLACK_S:
            condition = Condition.BEHIND
        elif not trusted and wall > memory.find_latest():
            condition = Condition.AHEAD
        return ClockStatus(Stamp(_moment(shown), trusted), source, learned, _moment(wall), condition)

    def count_powered_on_s(self) -> float:
        """Powered-on seconds that nobody can set; a restart of the machine counts as an hour."""
        with self._lock:
            return self._now().count_powered_on_s(self.kernel.elapsed())

    # --- what is learned -----------------------------------------------------------------------------------------

    def learn(self, moment: float, source: TimeSource, *, dated: float = 0.0) -> ClockStatus:
        """*source* says that it is *moment* (Unix seconds) now; the box's certificate is *dated*.

        Raises `ImplausibleTime`, which changes nothing.
        """
        with self._lock:
            self._now()
            elapsed, wall = self.kernel.elapsed(), self.kernel.wall()
            self._change(lambda memory: memory.learn(elapsed, moment, source, wall=wall, dated=dated))
        return self.status()

    def record_passed(self, moment: float, *, dated: float = 0.0) -> None:
        """*moment* has passed, because the box has seen something with this date; its certificate is *dated*."""
        with self._lock:
            memory, elapsed = self._now(), self.kernel.elapsed()
            if memory.set_passed(elapsed, moment, dated=dated) != memory:
                self._change(lambda memory: memory.set_passed(elapsed, moment, dated=dated))

    def record_newest(self, moment: float) -> None:
        """The newest row of the box is of *moment*; it may be a little newer than what the memory had kept."""
        memory = self.memory()
        if not memory.sure or memory.find_earliest() < moment <= memory.newest + 2 * _KEEP_S:
            self.record_passed(moment)

    def memory(self) -> ClockMemory:
        """All that is known about the time, for a command that must judge it."""
        with self._lock:
            return self._now()

    # --- inside; the lock is held --------------------------------------------------------------------------------

    def _now(self) -> ClockMemory:
        """The memory after giving out the time, which is its `newest`."""
        elapsed = self.kernel.elapsed()
        if self._memory is None:
            self._change(lambda memory: memory)
        if elapsed - self._looked >= _LOOK_S:
            self._refresh(elapsed)
        assert self._memory is not None
        self._memory, shown = self._memory.observe(elapsed, self.kernel.wall())
        if self._writes and shown - self._saved >= _KEEP_S:
            self._change(lambda memory: memory)
        return self._memory

    def _refresh(self, elapsed: float) -> None:
        """See what other processes have learned, and network time."""
        self._looked = elapsed
        if self._kept is not None and (mark := self._kept.mark()) != self._mark:
            self._mark = mark
            stored = self._kept.read()
            self._memory = self._merge_stored(stored)
            if self._kept.copy is None:  # another process has stored it; a process with a copy writes it itself
                self._saved = max(self._saved, stored.newest)
        assert self._memory is not None
        wall = self.kernel.wall()
        self._memory = self._memory.follow(elapsed, wall)
        if elapsed - self._asked < _NETWORK_S:
            return
        self._asked = elapsed
        memory = self._memory
        fresh = memory.source_at(elapsed) is TimeSource.NETWORK and elapsed - memory.learned < _NETWORK_RENEW_S
        if self.kernel.synchronised() and not (fresh and abs(memory.time(elapsed) - wall) < 1.0):
            with suppress(ImplausibleTime):
                if memory.learn(elapsed, wall, TimeSource.NETWORK) != memory:
                    self._change(lambda memory: memory.learn(elapsed, wall, TimeSource.NETWORK))

    def _merge_stored(self, stored: ClockMemory) -> ClockMemory:
        """What is stored, in this boot, with what this process knows."""
        kernel = self.kernel
        entered = stored.enter_boot(kernel.boot(), kernel.elapsed(), kernel.wall(), kernel.battery())
        return entered if self._memory is None else entered.merge(self._memory)

    def _change(self, how: Callable[[ClockMemory], ClockMemory]) -> None:
        """Apply *how* to all that is known, here and on the disk."""

        def apply(stored: ClockMemory) -> ClockMemory:
            return how(self._merge_stored(stored)).observe(self.kernel.elapsed(), self.kernel.wall())[0]

        if self._kept is None or not self._writes:
            self._memory = apply(self._kept.read() if self._kept is not None else self._memory or ClockMemory())
            return
        try:
            self._memory = self._kept.change(apply)
            self._mark, self._complained = self._kept.mark(), False
        except OSError as error:
            if not self._complained:
                log.warning("the memory of the time cannot be written (%s)", error.strerror)
            self._complained = True
            self._memory = apply(self._memory or ClockMemory())
        self._saved = self._memory.newest


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
    return _Process.clock.count_powered_on_s()


def uptime_seconds() -> float:
    """Seconds since the machine started."""
    return _Process.clock.kernel.elapsed()


def boot_id() -> str:
    """16 hexadecimal digits that are the same until the machine starts again."""
    return _Process.clock.kernel.boot()


def format_trusted_hour(taken: Stamp) -> str | None:
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

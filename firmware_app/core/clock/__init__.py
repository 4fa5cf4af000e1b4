"""Time on a box that may have no clock.

The box's time advances with the machine's counter of seconds since its start, which cannot be set; so the order within
a boot never depends on a wall clock.  The time is never earlier than the newest time that the box has given out before.
It is trusted if it was confirmed by the hospital, network time, a person, or a battery clock that one of these had
confirmed.  Otherwise every `Stamp` is marked as untrusted (docs/decisions/clock.md).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from firmware_app.core.clock.clock_file import ClockFile as ClockFile
from firmware_app.core.clock.kernel import Kernel as Kernel
from firmware_app.core.clock.memory import SLACK_S as SLACK_S
from firmware_app.core.clock.memory import ClockMemory
from firmware_app.core.clock.memory import Implausible as Implausible
from firmware_app.core.clock.memory import TimeSource as TimeSource
from firmware_app.core.clock.stamp import Stamp as Stamp
from firmware_app.core.clock.stamp import parse as parse

log = logging.getLogger("lantern.clock")

_LOOK_S: Final = 1.0  # how soon a process sees what another process has learned
_NETWORK_S: Final = 30.0
_NETWORK_AGAIN_S: Final = 600.0
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

    def __init__(self, kept: ClockFile | None = None, *, writes: bool = True, kernel: Kernel | None = None) -> None:
        """*kept* is the file with the box's memory of time; *writes* is False in a process that may only read it."""
        self._kept, self._writes = kept, writes and kept is not None
        self.kernel = kernel or Kernel()
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

        Raises `Implausible`, which changes nothing.
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
        fresh = elapsed - self._memory.anchor.elapsed < _NETWORK_AGAIN_S
        if source is TimeSource.NETWORK and fresh and abs(self._memory.anchor.at(elapsed) - wall) < 1.0:
            return
        try:
            if self._memory.learned(elapsed, wall, TimeSource.NETWORK) != self._memory:
                self._change(lambda memory: memory.learned(elapsed, wall, TimeSource.NETWORK), patient=True)
        except Implausible:
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
    """The clock that this process uses; a default one until `use`."""

    clock = Clock()


def use(clock: Clock) -> Clock:
    """Use *clock* from now on; returns it."""
    _Process.clock = clock
    return clock


def here() -> Clock:
    """The clock that this process uses."""
    return _Process.clock


def stamp() -> Stamp:
    """The time now, and whether it can be trusted."""
    return _Process.clock.stamp()


def now() -> datetime:
    """The box's time, right or wrong, in UTC."""
    return _Process.clock.stamp().at


def text(timespec: str = "milliseconds") -> str:
    """The time now as rows and files hold it, with its mark."""
    return _Process.clock.stamp().text(timespec)


def lived() -> float:
    """Powered-on seconds that nobody can set; a restart of the machine counts as an hour."""
    return _Process.clock.lived()


def elapsed() -> float:
    """Seconds since the machine started."""
    return _Process.clock.kernel.elapsed()


def boot_id() -> str:
    """16 hexadecimal digits that are the same until the machine starts again."""
    return _Process.clock.kernel.boot()


def hour(taken: Stamp) -> str | None:
    """The hour of *taken* as ``2026-11-21T03`` in UTC; None when it was taken under a clock that was not trusted."""
    return taken.at.astimezone(UTC).strftime("%Y-%m-%dT%H") if taken.trusted else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""Time on a box that may have no clock.

The box's time goes on with the machine's count of seconds since its start, which nobody can set; so the order within a
boot never rests on a wall clock.  It is never earlier than the newest moment that the box has told before, and it says
of itself whether somebody vouches for it: the hospital, network time, a person, or a battery clock that one of these
had vouched for.  Where nobody does, every `Stamp` carries the mark (docs/decisions/clock.md).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from firmware_app.clock.clock_file import ClockFile as ClockFile
from firmware_app.clock.kernel import Kernel as Kernel
from firmware_app.clock.memory import SLACK_S as SLACK_S
from firmware_app.clock.memory import ClockMemory
from firmware_app.clock.memory import Implausible as Implausible
from firmware_app.clock.memory import TimeSource as TimeSource
from firmware_app.clock.stamp import Stamp as Stamp
from firmware_app.clock.stamp import parse as parse

log = logging.getLogger("lantern.clock")

_LOOK_S: Final = 1.0  # how soon a process sees what another has learned
_NETWORK_S: Final = 30.0
_NETWORK_AGAIN_S: Final = 600.0
_KEEP_S: Final = 60.0  # so much of the newest moment may be lost with the power; the rows themselves know the rest


class Condition(StrEnum):
    """How the clock is, for people."""

    TRUSTED = "trusted"
    DISAGREES = "disagrees"  # trusted, and the machine's own clock shows something else
    UNCONFIRMED = "unconfirmed"
    BEHIND = "behind"  # the machine's own clock shows less than has been seen
    AHEAD = "ahead"  # ... or so much more that it is not followed


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """The time, who vouches for it and since when, and what the machine's own clock shows."""

    stamp: Stamp
    source: TimeSource
    learned: datetime | None
    machine: datetime
    condition: Condition


class Clock:
    """The clock of one process.  Safe to share between its threads."""

    def __init__(self, kept: ClockFile | None = None, *, writes: bool = True, kernel: Kernel | None = None) -> None:
        """*kept* is where the box's memory of time lies; a process that may only read it does not *write*."""
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
        """*moment* is known to have passed, as the date of something the box has seen; its certificate is *dated*."""
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
        """What is known, for a command that must weigh it."""
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
            if self._kept.copy is None:  # another has kept it already; whoever makes the copy does so itself
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
            return  # no time that can be

    def _arrived(self, memory: ClockMemory, elapsed: float) -> ClockMemory:
        return memory.entered(self.kernel.boot(), elapsed, self.kernel.wall(), self.kernel.battery())

    def _change(self, how: Callable[[ClockMemory], ClockMemory], *, patient: bool) -> None:
        """Make *how* of all that is known, here and on the disk."""
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
        """The battery clock's reading where the system keeps it like its own: then nobody sets it at shutdown."""
        reading = self.kernel.battery()
        return reading if reading is not None and abs(reading - self.kernel.wall()) < SLACK_S else None


class _Process:
    """The clock that this process goes by: its own until `use`."""

    clock = Clock()


def use(clock: Clock) -> Clock:
    """Go by *clock* from now on; returns it."""
    _Process.clock = clock
    return clock


def here() -> Clock:
    """The clock that this process goes by."""
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

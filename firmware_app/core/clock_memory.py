"""What a box knows about time, as values with pure functions; no clock is read here.

A `Stamp` is a moment as it is stored and shown: when, and whether the clock could be trusted.  Rows, audit and files
use one text form: ISO 8601 in UTC, and a ``?`` behind it when the clock was not trusted (ISO 8601-2:2019, 8.2:
"uncertain").  The mark is part of the value: it is hashed, copied and rescued with it.

Two processes join their `ClockMemory`.  The join is commutative, associative and idempotent, so the order of writes
does not matter.  `turn` allows the time to go back: within one turn nothing ever gets earlier, and only a source with
the right to correct the time (the hospital, network time, a person) begins the next turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

EARLIEST: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""Before this version was written: no clock that shows less can be right."""
LATEST: Final = datetime(2056, 1, 1, tzinfo=UTC).timestamp()
"""No source is believed beyond it, not even a person, who may mistype."""
SLACK_S: Final = 120.0
"""Two clocks nearer than this agree."""
AHEAD_S: Final = 400 * 86_400.0
"""How far beyond the newest certain moment the machine's own clock is followed: about a year in storage."""
_AHEAD_NEW_S: Final = 10 * 365 * 86_400.0  # the same for a box whose time was never confirmed
APART_S: Final = 86_400.0
"""Two that are further apart than this contradict each other."""
_SINCE_S: Final = 30 * 86_400.0  # within this time of a certain moment, the box's memory confirms the hospital's time
_TRUST_S: Final = 90 * 86_400.0  # a quartz is off by 100 ppm at worst: 13 minutes
_HELD_S: Final = 86_400.0
_BATTERY_S: Final = 60 * 86_400.0  # the longest off time for which a battery clock is believed
_OFF_S: Final = 3_600.0


class TimeSource(StrEnum):
    """Where the time came from."""

    NOBODY = "nobody"
    HOSPITAL_ALONE = "hospital_alone"  # not confirmed by anything that the box knows itself: used, but untrusted
    BATTERY = "battery"
    PERSON = "person"
    NETWORK = "network"
    HOSPITAL = "hospital"

    @property
    def rank(self) -> int:
        return list(TimeSource).index(self)


@dataclass(frozen=True, slots=True)
class Anchor:
    """At *elapsed* seconds of the boot it was *moment*; `order` counts what was learned, and the later holds."""

    order: int
    source: TimeSource
    elapsed: float
    moment: float

    def at(self, elapsed: float) -> float:
        return self.moment + (elapsed - self.elapsed)

    def _key(self) -> tuple[int, int, float, float]:
        return self.order, self.source.rank, self.elapsed, self.moment

    def later(self, other: Anchor) -> Anchor:
        return max(self, other, key=Anchor._key)


class ImplausibleTime(ValueError):
    """A refused time: impossibly early or late, or in contradiction to what the box knows."""


@dataclass(frozen=True, slots=True)
class ClockMemory:
    """All moments are Unix seconds of the true time, as far as it is known."""

    turn: int = 0
    newest: float = 0.0  # the latest time that was ever given out
    sure: float = 0.0  # the same while the clock was trusted
    signed: float = 0.0  # the latest time of a receipt that something else confirmed
    boots: int = 0
    boot: str = ""
    base: float = 0.0  # when this boot began, if nobody knows better: a lower bound that only grows
    born: float = 0.0  # the count of powered-on seconds at the start of this boot
    last: float = 0.0  # the latest `elapsed` seen in this boot
    anchor: Anchor = Anchor(0, TimeSource.NOBODY, 0.0, 0.0)
    battery: float = 0.0  # the battery clock's reading, and what time it was then, while the clock was trusted
    battery_told: float = 0.0

    # --- questions -----------------------------------------------------------------------------------------------

    def source(self, elapsed: float) -> TimeSource:
        """The source of the current time."""
        return self.anchor.source if elapsed - self.anchor.elapsed < _TRUST_S else TimeSource.NOBODY

    def trusted(self, elapsed: float) -> bool:
        """Whether the time is confirmed, not only by the hospital."""
        return self.source(elapsed) not in (TimeSource.NOBODY, TimeSource.HOSPITAL_ALONE)

    def time(self, elapsed: float) -> float:
        """The time, never earlier than any given out before."""
        known = self.source(elapsed) is not TimeSource.NOBODY
        return max(self.newest, self.anchor.at(elapsed) if known else self.base + elapsed)

    def lived(self, elapsed: float) -> float:
        """A count of powered-on seconds that cannot be set and never goes back at a restart."""
        return self.born + elapsed

    def certain(self) -> float:
        """A moment that has certainly passed, whatever the clocks say."""
        return max(EARLIEST, self.sure, self.signed)

    def ceiling(self, dated: float = 0.0) -> float:
        """The latest that the machine's own clock or one receipt is followed to; *dated* is the day on which the box's
        certificate begins, where it has one."""
        known = max(self.sure, dated)
        return known + AHEAD_S if known else EARLIEST + _AHEAD_NEW_S

    # --- joining -------------------------------------------------------------------------------------------------

    def join(self, other: ClockMemory) -> ClockMemory:
        """The combined knowledge of both."""
        if self.turn != other.turn:
            return max(self, other, key=lambda one: one.turn)
        mine, theirs = (self.boots, self.boot), (other.boots, other.boot)
        later = max(self, other, key=lambda one: (one.boots, one.boot))
        if mine == theirs:
            moment, reading = max((self.battery_told, self.battery), (other.battery_told, other.battery))
            later = replace(
                self,
                base=max(self.base, other.base),
                born=max(self.born, other.born),
                last=max(self.last, other.last),
                anchor=self.anchor.later(other.anchor),
                battery=reading,
                battery_told=moment,
            )
        return replace(
            later,
            newest=max(self.newest, other.newest),
            sure=max(self.sure, other.sure),
            signed=max(self.signed, other.signed),
        )

    # --- what happens --------------------------------------------------------------------------------------------

    def entered(self, boot: str, elapsed: float, wall: float, battery: float | None) -> ClockMemory:
        """The memory in this boot: unchanged when it is of it, else carried over from the boot before."""
        if boot == self.boot:
            return self
        off = battery - self.battery if battery is not None and self.battery else -1.0
        kept = self.trusted(self.last) and 0 <= off <= _BATTERY_S
        began = Anchor(self.anchor.order + 1, TimeSource.NOBODY, elapsed, 0.0)
        if kept:
            began = Anchor(began.order, TimeSource.BATTERY, elapsed, self.battery_told + off)
        fresh = replace(
            self, boots=self.boots + 1, boot=boot, base=max(self.newest, self.certain()), last=elapsed, anchor=began
        )
        fresh = fresh.followed(elapsed, wall)
        # An unknown time lies between two boots: more than any log-in may be idle, so that none outlives a restart.
        born = self.lived(self.last) + _OFF_S if self.born else fresh.time(elapsed) - elapsed
        return replace(fresh, born=born)

    def followed(self, elapsed: float, wall: float) -> ClockMemory:
        """While the time is not confirmed, the system clock may be the better guess, but only if it is later."""
        if self.source(elapsed) is TimeSource.NOBODY and self.time(elapsed) < wall <= self.ceiling():
            return replace(self, base=wall - elapsed)
        return self

    def observed(self, elapsed: float, battery: float | None = None) -> tuple[ClockMemory, float]:
        """The memory after giving out the time, and that time."""
        now, known = self.time(elapsed), self.trusted(elapsed)
        after = replace(
            self, newest=now, sure=max(self.sure, now) if known else self.sure, last=max(self.last, elapsed)
        )
        if known and battery is not None:
            after = replace(after, battery=battery, battery_told=now)
        return after, now

    def learned(
        self, elapsed: float, moment: float, source: TimeSource, *, wall: float = 0.0, dated: float = 0.0
    ) -> ClockMemory:
        """*source* says that it is *moment*; the machine's own clock shows *wall*.  Raises `ImplausibleTime`.

        Whoever ranks higher is not corrected for a day; a person is always heard, being there on purpose.
        """
        if not EARLIEST <= moment <= LATEST:
            raise ImplausibleTime("range")
        if source is TimeSource.HOSPITAL:
            source = self._weighed(elapsed, moment, wall, dated)
        elif source is not TimeSource.PERSON:
            held, apart = self.source(elapsed), abs(moment - self.time(elapsed)) > APART_S
            if held.rank > source.rank and elapsed - self.anchor.elapsed < _HELD_S and not apart:
                return self
        anchor = Anchor(self.anchor.order + 1, source, elapsed, moment)
        signed = max(self.signed, moment) if source is TimeSource.HOSPITAL else self.signed
        if moment >= self.time(elapsed) - SLACK_S:
            return replace(self, anchor=anchor, signed=signed)
        return replace(
            self,
            turn=self.turn + 1,
            newest=moment,
            sure=0.0 if source is TimeSource.HOSPITAL_ALONE else moment,
            signed=min(signed, moment),
            base=moment - elapsed,
            anchor=anchor,
        )

    def _weighed(self, elapsed: float, moment: float, wall: float, dated: float) -> TimeSource:
        """How far the hospital's time is trusted, given what else the box knows; raises `ImplausibleTime`."""
        now, held = self.time(elapsed), self.source(elapsed)
        machine = abs(wall - moment) <= APART_S
        if self.trusted(elapsed):
            if abs(moment - now) <= APART_S:
                return TimeSource.HOSPITAL
            outvoted = machine and held is not TimeSource.NETWORK
            taken_back = held is TimeSource.HOSPITAL and moment < now and abs(wall - now) > APART_S
            if not outvoted and not taken_back:
                raise ImplausibleTime("contradicted")
        known = max(self.sure, dated)
        if not dated - APART_S <= moment <= self.ceiling(dated):
            raise ImplausibleTime("bound")
        return (
            TimeSource.HOSPITAL if machine or (known and 0 <= moment - known <= _SINCE_S) else TimeSource.HOSPITAL_ALONE
        )

    def passed(self, elapsed: float, moment: float, *, dated: float = 0.0) -> ClockMemory:
        """*moment* is known to have passed; followed up to `ceiling`, and only while the time is not confirmed."""
        if (
            moment > self.ceiling(dated)
            or self.source(elapsed) is not TimeSource.NOBODY
            or self.time(elapsed) >= moment
        ):
            return self
        return replace(self, base=max(self.base, moment - elapsed))

    # --- as a file -----------------------------------------------------------------------------------------------

    def to_object(self) -> dict[str, Any]:
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "anchor"}
        return {**values, "anchor": {one.name: getattr(self.anchor, one.name) for one in fields(Anchor)}}

    @classmethod
    def from_object(cls, raw: object) -> Self:
        """Raises `ValueError` for anything that `to_object` does not make."""
        if not isinstance(raw, dict):
            raise ValueError("no object")
        values = {**raw}
        anchor = values.pop("anchor", None)
        if not isinstance(anchor, dict) or values.keys() | {"anchor"} != {one.name for one in fields(cls)}:
            raise ValueError("other fields")
        for one in (values, anchor):
            for name, value in one.items():
                whole = name in ("turn", "boots", "order")
                text = name in ("boot", "source")
                right = isinstance(value, str if text else int if whole else int | float) and value is not True
                if not right or (not text and not math.isfinite(value)) or (not text and value < 0 and name != "born"):
                    raise ValueError(name)
        try:
            return cls(anchor=Anchor(**{**anchor, "source": TimeSource(anchor["source"])}), **values)
        except (TypeError, KeyError) as error:
            raise ValueError(str(error)) from None


_UNSURE: Final = "?"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment in UTC; `trusted` is whether the box's clock was when it was taken."""

    at: datetime
    trusted: bool

    def text(self, timespec: str = "milliseconds") -> str:
        """``2026-11-21T03:15:09.250+00:00``, with a ``?`` at the end when untrusted."""
        return self.at.astimezone(UTC).isoformat(timespec=timespec) + ("" if self.trusted else _UNSURE)

    @property
    def day(self) -> str:
        """``2026-11-21``, or ``2026-11-21?``, for a sentence."""
        return f"{self.at:%Y-%m-%d}" + ("" if self.trusted else _UNSURE)

    @property
    def minute(self) -> str:
        """``2026-11-21 11:15 +0800`` in the machine's zone, with a ``?`` behind it when untrusted, for a sentence."""
        return f"{self.at.astimezone():%Y-%m-%d %H:%M %z}" + ("" if self.trusted else _UNSURE)


def parse_stamp(text: str) -> Stamp:
    """The stamp of a stored text; raises `ValueError` when it is none."""
    at = datetime.fromisoformat(text.removesuffix(_UNSURE))
    return Stamp(at if at.tzinfo else at.replace(tzinfo=UTC), not text.endswith(_UNSURE))

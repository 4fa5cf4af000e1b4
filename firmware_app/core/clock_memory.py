"""What a box knows about time, as values; no clock is read here.

A `Stamp` is a moment as it is stored and shown.  Rows, audit and files use one text form: ISO 8601 in UTC, and a ``?``
behind it when the clock was not trusted (ISO 8601-2:2019, 8.2: "uncertain").

Within one `turn` of the memory nothing gets earlier.  Only the hospital, network time or a person begins the next turn,
and a process that still has the turn before cannot bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, model_validator

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
    """Where the time came from, the least first."""

    NOBODY = "nobody"
    HOSPITAL_ALONE = "hospital_alone"  # not confirmed by anything that the box knows itself: used, but untrusted
    BATTERY = "battery"
    PERSON = "person"
    NETWORK = "network"
    HOSPITAL = "hospital"

    @property
    def rank(self) -> int:
        return list(TimeSource).index(self)


class ImplausibleTime(ValueError):
    """A refused time: impossibly early or late, or in contradiction to what the box knows."""


class ClockMemory(BaseModel):
    """Moments are Unix seconds of the true time; *elapsed* is the machine's seconds since its start."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    turn: int = 0
    newest: float = 0.0  # the latest time that was ever given out
    sure: float = 0.0  # the same while the clock was trusted
    signed: float = 0.0  # the latest time of a receipt that something else confirmed
    boot: str = ""
    base: float = 0.0  # when this boot began, if nobody knows better: a lower bound that only grows
    born: float = 0.0  # the count of powered-on seconds at the start of this boot
    last: float = 0.0  # the latest `elapsed` seen in this boot
    source: TimeSource = TimeSource.NOBODY  # said that at `learned` seconds of this boot it was `moment`
    learned: float = 0.0
    moment: float = 0.0
    agreed: bool = False  # whether the machine's own clock showed the trusted time

    @model_validator(mode="before")
    @classmethod
    def _read_first_form(cls, raw: Any) -> Any:
        """The form before 2026-11-26 had what was learned in a table of its own."""
        if isinstance(raw, dict) and isinstance(anchor := raw.get("anchor"), dict):
            return {**raw, **anchor, "learned": anchor.get("elapsed", 0.0)}
        return raw

    def _with(self, **values: Any) -> Self:
        return self.model_copy(update=values)

    # --- questions -----------------------------------------------------------------------------------------------

    def source_at(self, elapsed: float) -> TimeSource:
        """The source of the current time."""
        return self.source if elapsed - self.learned < _TRUST_S else TimeSource.NOBODY

    def is_trusted(self, elapsed: float) -> bool:
        """Whether the time is confirmed, not only by the hospital."""
        return self.source_at(elapsed) not in (TimeSource.NOBODY, TimeSource.HOSPITAL_ALONE)

    def time(self, elapsed: float) -> float:
        """The time, never earlier than any given out before."""
        known = self.source_at(elapsed) is not TimeSource.NOBODY
        return max(self.newest, self.moment + elapsed - self.learned if known else self.base + elapsed)

    def count_powered_on_s(self, elapsed: float) -> float:
        """A count of powered-on seconds that cannot be set and never goes back at a restart."""
        return self.born + elapsed

    def find_earliest(self) -> float:
        """A moment that has certainly passed, whatever the clocks say."""
        return max(EARLIEST, self.sure, self.signed)

    def find_latest(self, dated: float = 0.0) -> float:
        """The latest that the machine's own clock or one receipt is followed to; *dated* is the day on which the box's
        certificate begins, where it has one."""
        known = max(self.sure, dated)
        return known + AHEAD_S if known else EARLIEST + _AHEAD_NEW_S

    # --- what happens --------------------------------------------------------------------------------------------

    def merge(self, other: Self) -> Self:
        """What two processes of one boot know together: the later turn, or in one turn what was learned last."""
        if self.turn != other.turn:
            return max(self, other, key=lambda memory: memory.turn)
        later = max(self, other, key=lambda memory: (memory.learned, memory.source.rank))
        return later._with(
            newest=max(self.newest, other.newest),
            sure=max(self.sure, other.sure),
            signed=max(self.signed, other.signed),
            base=max(self.base, other.base),
        )

    def enter_boot(self, boot: str, elapsed: float, wall: float, battery: float | None) -> Self:
        """The memory in this boot: unchanged when it is of it, else carried over from the boot before.

        The machine's clock is confirmed over the pause by a *battery* clock that shows the same.
        """
        if boot == self.boot:
            return self
        ran_on = battery is not None and abs(battery - wall) < SLACK_S
        kept = ran_on and self.agreed and self.is_trusted(self.last) and 0 <= wall - self.newest <= _BATTERY_S
        fresh = self._with(
            boot=boot,
            base=max(self.newest, self.find_earliest()),
            last=elapsed,
            source=TimeSource.BATTERY if kept else TimeSource.NOBODY,
            learned=elapsed,
            moment=wall if kept else 0.0,
            agreed=False,
        ).follow(elapsed, wall)
        # An unknown time lies between two boots: more than any log-in may be idle, so that none outlives a restart.
        return fresh._with(
            born=self.count_powered_on_s(self.last) + _OFF_S if self.born else fresh.time(elapsed) - elapsed
        )

    def follow(self, elapsed: float, wall: float) -> Self:
        """While the time is not confirmed, the machine's clock may be the better guess, but only if it is later."""
        if self.source_at(elapsed) is TimeSource.NOBODY and self.time(elapsed) < wall <= self.find_latest():
            return self._with(base=wall - elapsed)
        return self

    def observe(self, elapsed: float, wall: float = 0.0) -> tuple[Self, float]:
        """The memory after giving out the time, and that time."""
        now, known = self.time(elapsed), self.is_trusted(elapsed)
        seen = {"newest": now, "last": max(self.last, elapsed), "agreed": known and abs(wall - now) < SLACK_S}
        return self._with(**seen, sure=max(self.sure, now) if known else self.sure), now

    def learn(
        self, elapsed: float, moment: float, source: TimeSource, *, wall: float = 0.0, dated: float = 0.0
    ) -> Self:
        """*source* says that it is *moment*; the machine's own clock shows *wall*.  Raises `ImplausibleTime`.

        Whoever ranks higher is not corrected for a day; a person is always heard, being there on purpose.
        """
        if not EARLIEST <= moment <= LATEST:
            raise ImplausibleTime("range")
        if source is TimeSource.HOSPITAL:
            source = self._weigh(elapsed, moment, wall, dated)
        elif source is not TimeSource.PERSON:
            is_apart = abs(moment - self.time(elapsed)) > APART_S
            if self.source_at(elapsed).rank > source.rank and elapsed - self.learned < _HELD_S and not is_apart:
                return self
        signed = max(self.signed, moment) if source is TimeSource.HOSPITAL else self.signed
        after = self._with(source=source, learned=elapsed, moment=moment, signed=signed)
        if moment >= self.time(elapsed) - SLACK_S:
            return after
        return after._with(
            turn=self.turn + 1,
            newest=moment,
            sure=0.0 if source is TimeSource.HOSPITAL_ALONE else moment,
            signed=min(signed, moment),
            base=moment - elapsed,
        )

    def _weigh(self, elapsed: float, moment: float, wall: float, dated: float) -> TimeSource:
        """How far the hospital's time is trusted, given what else the box knows; raises `ImplausibleTime`."""
        now, held = self.time(elapsed), self.source_at(elapsed)
        machine = abs(wall - moment) <= APART_S
        if self.is_trusted(elapsed):
            if abs(moment - now) <= APART_S:
                return TimeSource.HOSPITAL
            outvoted = machine and held is not TimeSource.NETWORK
            taken_back = held is TimeSource.HOSPITAL and moment < now and abs(wall - now) > APART_S
            if not outvoted and not taken_back:
                raise ImplausibleTime("contradicted")
        known = max(self.sure, dated)
        if not dated - APART_S <= moment <= self.find_latest(dated):
            raise ImplausibleTime("bound")
        return (
            TimeSource.HOSPITAL if machine or (known and 0 <= moment - known <= _SINCE_S) else TimeSource.HOSPITAL_ALONE
        )

    def set_passed(self, elapsed: float, moment: float, *, dated: float = 0.0) -> Self:
        """*moment* is known to have passed; followed up to `find_latest`, and only while the time is not confirmed."""
        known = self.source_at(elapsed) is not TimeSource.NOBODY
        if known or not self.time(elapsed) < moment <= self.find_latest(dated):
            return self
        return self._with(base=max(self.base, moment - elapsed))


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

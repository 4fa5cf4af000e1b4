"""The limited slots for associations, and which association is ended when all of them are taken.

A slow or silent peer may keep its slot until none is left.  Then one of the slow associations is ended for the
newcomer, in the order of what would be lost: first one that has sent nothing yet, then one that pauses after an
acknowledged image, last one in the middle of an image on a slow connection.  One that sends at the speed of any clinic
network is never ended.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from enum import IntEnum
from typing import Final, Protocol

_NEW_BYTES_PER_S: Final = 50_000  # 0.4 Mbit/s: a peer without an acknowledged image is overdue below that
_MOVING_BYTES_PER_S: Final = 4_000  # the rate of a modem; a peer that sends a few bytes now and then stays below
_FIRST_CREDIT_S: Final = 1.0
_MOST_CREDIT_S: Final = 2.0
_MEMORY_S: Final = 10.0  # older bytes count less and less
_WAIT_S: Final = 3.0
_LAST_S: Final = 1.5  # the end of a newcomer's wait: only then is an association with an image under way ended
_LOOK_S: Final = 0.1
_WAITING_MOST: Final = 32  # each costs a thread


class EvictionClass(IntEnum):
    """What would be lost with an association; the lowest is ended first."""

    NEW = 0  # it has no acknowledged image, and none is arriving
    PROVEN = 1  # it has an acknowledged image
    MOVING = 2  # an image is arriving, however slowly


class Throughput:
    """Whether a peer keeps up: image bytes earn it time, waiting for it uses time up.

    The box's own work uses up none, and other bytes (messages, refused objects) earn none.  One thread writes, any
    thread may read.
    """

    def __init__(self) -> None:
        self._credit_s = _FIRST_CREDIT_S
        self._bytes, self._seconds = 0.0, _FIRST_CREDIT_S
        self._waiting_since: float | None = None
        self._is_bringing = False
        self._is_proven = False

    def wait(self) -> None:
        """The association now waits for its peer."""
        self._waiting_since = time.monotonic()

    def came(self, count: int) -> None:
        """The wait has ended with *count* bytes received."""
        self.advance(time.monotonic() - self._waiting_since if self._waiting_since is not None else 0.0, count)
        self._waiting_since = None

    def advance(self, waited: float, count: int) -> None:
        """Account for *count* bytes after *waited* seconds."""
        useful = count if self._is_bringing else 0
        kept = math.exp(-waited / _MEMORY_S)
        self._bytes = self._bytes * kept + useful
        self._seconds = self._seconds * kept + waited
        demanded = _MOVING_BYTES_PER_S if self._is_proven else _NEW_BYTES_PER_S
        self._credit_s = min(_MOST_CREDIT_S, self._credit_s - waited + useful / demanded)

    def begin_image(self) -> None:
        """From now on the bytes received belong to an image that is being kept."""
        self._is_bringing = True
        self._bytes, self._seconds = 0.0, _FIRST_CREDIT_S  # the rate of the previous image says nothing about this one

    def end_image(self, *, acknowledged: bool) -> None:
        """The image is complete, or was refused."""
        self._is_bringing = False
        self._is_proven = self._is_proven or acknowledged

    @property
    def is_waiting(self) -> bool:
        """Whether the association waits for its peer, and not for the box."""
        return self._waiting_since is not None

    def overdue_s(self, now: float) -> float:
        """Seconds since the credit was used up; negative while some is left."""
        since = self._waiting_since
        return float("-inf") if since is None else now - since - self._credit_s

    def bytes_per_s(self, now: float) -> float:
        """The recent rate of image bytes, per second spent waiting for the peer."""
        since = self._waiting_since
        waited = 0.0 if since is None else max(0.0, now - since)
        kept = math.exp(-waited / _MEMORY_S)
        return self._bytes * kept / (self._seconds * kept + waited)

    def standing(self, now: float) -> EvictionClass:
        if self._is_bringing and self.bytes_per_s(now) >= _MOVING_BYTES_PER_S:
            return EvictionClass.MOVING
        return EvictionClass.PROVEN if self._is_proven else EvictionClass.NEW


class SlotHolder(Protocol):
    """An association with a place: its address, its pace, and the call that ends it."""

    address: str
    pace: Throughput

    def give_way(self) -> None: ...


def choose_eviction(holders: list[SlotHolder], now: float, remaining_s: float) -> SlotHolder | None:
    """Which of *holders* is ended for a newcomer that waits for another *remaining_s*; None while none should be."""
    of_address = Counter(holder.address for holder in holders)
    waiting = [holder for holder in holders if holder.pace.is_waiting]
    standings = {id(holder): holder.pace.standing(now) for holder in waiting}
    for standing in EvictionClass:
        if standing is EvictionClass.MOVING and remaining_s > _LAST_S:
            return None
        alike = [holder for holder in waiting if standings[id(holder)] is standing]
        behind = [holder for holder in alike if holder.pace.overdue_s(now) >= 0]
        if behind:
            return min(behind, key=lambda holder: (-of_address[holder.address], holder.pace.bytes_per_s(now)))
        if alike and standing is EvictionClass.NEW:
            return None  # within two seconds it is either overdue or sending
    return None


class AssociationSlots:
    """At most *most* holders at once, and a queue of newcomers in which the addresses take turns."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._holders: list[SlotHolder] = []
        self._leaving: list[SlotHolder] = []
        self._line: list[SlotHolder] = []
        self._changed = threading.Condition()

    def take(self, newcomer: SlotHolder) -> bool:
        """Take a place, if need be after another was ended; False when none becomes free within a few seconds."""
        deadline = time.monotonic() + _WAIT_S
        with self._changed:
            if not self._join(newcomer):
                return False
            try:
                while newcomer in self._line:  # otherwise it was removed: its address crowded the queue
                    if len(self._holders) < self._most and self._first() is newcomer:
                        self._holders.append(newcomer)
                        return True
                    now = time.monotonic()
                    if now >= deadline:
                        return False
                    self._changed.wait(min(self._make_room(now, deadline - now), deadline - now))
                return False
            finally:
                if newcomer in self._line:
                    self._line.remove(newcomer)
                self._changed.notify_all()

    def give(self, holder: SlotHolder) -> None:
        """Give the place of *holder* back."""
        with self._changed:
            self._holders.remove(holder)
            if holder in self._leaving:
                self._leaving.remove(holder)
            self._changed.notify_all()

    def _join(self, newcomer: SlotHolder) -> bool:
        """Queue *newcomer*; when the queue is full, in place of the youngest of the address with the most entries."""
        if len(self._line) >= _WAITING_MOST:
            of_address = Counter(waiting.address for waiting in self._line)
            crowd, count = of_address.most_common(1)[0]
            if count <= of_address[newcomer.address] + 1:
                return False
            self._line.remove([waiting for waiting in self._line if waiting.address == crowd][-1])
            self._changed.notify_all()
        self._line.append(newcomer)
        return True

    def _first(self) -> SlotHolder:
        """The next in turn: of the address with the fewest places, the one that waits longest."""
        of_address = Counter(holder.address for holder in self._holders)
        return min(self._line, key=lambda waiting: of_address[waiting.address])

    def _make_room(self, now: float, remaining_s: float) -> float:
        """End one association unless enough are ending already; returns the seconds until the next check."""
        staying = [holder for holder in self._holders if holder not in self._leaving]
        if len(self._leaving) + self._most - len(self._holders) >= len(self._line) or not staying:
            return _WAIT_S
        leaver = choose_eviction(staying, now, remaining_s)
        if leaver is None:
            return _LOOK_S
        self._leaving.append(leaver)
        leaver.give_way()
        return _LOOK_S

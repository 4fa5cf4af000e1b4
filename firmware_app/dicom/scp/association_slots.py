"""The places for associations: how many at once, how many of one address, and how long one may be silent.

`[dicom] max_associations` run at once, and half of them of one address.  A newcomer that finds no place waits for a few
seconds.  Meanwhile an association that holds such a place and has been silent for two seconds is ended for it, the
longest silent one first.  One that sends is never ended.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

_WAIT_S: Final = 3.0
_SILENT_S: Final = 2.0
_LOOK_S: Final = 0.1


class SlotHolder(Protocol):
    """An association with a place: its peer's address, how long that peer has been silent, and the call that ends
    it."""

    address: str

    def silent_s(self) -> float: ...

    def yield_slot(self) -> None: ...


class AssociationSlots:
    """At most *most* holders at once, and half of them of one address; as many of one address may wait."""

    def __init__(self, most: int) -> None:
        self._most, self._most_of_address = most, (most + 1) // 2
        self._holders: list[SlotHolder] = []
        self._leaving: list[SlotHolder] = []
        self._waiting: list[str] = []
        self._changed = threading.Condition()

    def take(self, newcomer: SlotHolder) -> bool:
        """Take a place, if need be of a silent association; False when none becomes free within a few seconds."""
        deadline = time.monotonic() + _WAIT_S
        with self._changed:
            if self._waiting.count(newcomer.address) >= self._most_of_address:  # each costs a thread
                return False
            self._waiting.append(newcomer.address)
            try:
                while in_the_way := self._find_blocking(newcomer.address):
                    remaining_s = deadline - time.monotonic()
                    if remaining_s <= 0:
                        return False
                    self._end_silent(in_the_way)
                    self._changed.wait(min(_LOOK_S, remaining_s))
                self._holders.append(newcomer)
                return True
            finally:
                self._waiting.remove(newcomer.address)

    def release(self, holder: SlotHolder) -> None:
        """Give the place of *holder* back."""
        with self._changed:
            self._holders.remove(holder)
            if holder in self._leaving:
                self._leaving.remove(holder)
            self._changed.notify_all()

    def _find_blocking(self, address: str) -> list[SlotHolder]:
        """The holders of whom one has to end before a newcomer of *address* gets a place; none when one is free."""
        of_address = [holder for holder in self._holders if holder.address == address]
        if len(of_address) >= self._most_of_address:
            return of_address
        return list(self._holders) if len(self._holders) >= self._most else []

    def _end_silent(self, holders: list[SlotHolder]) -> None:
        """End the longest silent of *holders*, unless as many are ending already as newcomers wait."""
        if len(self._leaving) >= len(self._waiting):
            return
        silence = {holder: holder.silent_s() for holder in holders if holder not in self._leaving}
        leaver = max(silence, key=silence.__getitem__, default=None)
        if leaver is not None and silence[leaver] >= _SILENT_S:
            self._leaving.append(leaver)
            leaver.yield_slot()

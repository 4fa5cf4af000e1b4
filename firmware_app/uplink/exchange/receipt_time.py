"""The time, learned from the hospital's signed receipts.

A receipt says when it was signed, but not how long it was delayed at the broker.  It cannot have been signed before the
numbers in it were given out, and the seconds since then are counted here by a counter that cannot be set.  So a receipt
for a message sent s seconds ago is at most s seconds old.  If s is small, the receipt gives the current time (Cristian
1989, "Probabilistic clock synchronization").
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from firmware_app.core import clock
from firmware_app.core.clock import Implausible, TimeSource

log = logging.getLogger("lantern.clock")

MOST_AGE_S: Final = 600.0
"""A receipt that may be older than this does not set the clock: it would be off by up to half of it."""
_AGAIN: Final = timedelta(hours=1)
_MOST_KEPT: Final = 4096


class ReceiptTime:
    """What one relay learns about the time.  The numbers it has given out are kept only here, in memory: someone who
    carries the messages can delay or repeat a receipt, but must not be able to set the clock with it."""

    def __init__(self, dated: float = 0.0) -> None:
        """*dated*: when the box's certificate begins, in Unix seconds; 0 where it has none."""
        self._dated, self._apart = dated, False
        self._given: dict[int, float] = {}
        self._highest = 0

    def handed_on(self, seqs: Iterable[int]) -> None:
        """These numbers are given out now.  A number given out before may already have its receipt, and is ignored."""
        now = clock.elapsed()
        for seq in seqs:
            if seq > self._highest:
                self._given[seq], self._highest = now, seq
        while len(self._given) > _MOST_KEPT:
            del self._given[next(iter(self._given))]

    def signed(self, at: int) -> None:
        """The hospital has signed a message at *at*: by its clock this moment has passed."""
        clock.here().passed(float(at), dated=self._dated)

    def answered(self, at: int, taken: Iterable[int]) -> None:
        """A receipt for these numbers of this box's own stream, signed at *at*; the clock is set by it if it is
        certainly fresh."""
        given = [self._given.pop(seq) for seq in taken if seq in self._given]
        if not given:
            return
        age = clock.elapsed() - max(given) + 1.0  # `at` has whole seconds
        if age > MOST_AGE_S:
            return
        before = clock.here().standing()
        if before.source in (TimeSource.HOSPITAL, TimeSource.HOSPITAL_ALONE) and before.learned is not None:
            shown, since = before.stamp.at.timestamp(), before.stamp.at - before.learned
            if at <= shown <= at + age and since < _AGAIN:  # the clock is right and was confirmed recently
                return
        try:
            after = clock.here().learn(at + age / 2, TimeSource.HOSPITAL, dated=self._dated)
        except Implausible:
            if not self._apart:
                log.error("the hospital's clock and this box contradict each other; the box keeps its own time")
            self._apart = True
            return
        self._apart = False
        if before.source is not after.source:
            log.info("the box's time comes from the hospital's receipt now")

"""Whether receipts may carry this machine's time: its clock is compared with the boxes' clocks and the inbox's rows.

A receipt's time reaches every box of the county.  Receipts carry no time while several boxes with confirmed time differ
from this clock by days, or while the inbox has rows from the future and no box confirms the clock.  An operator's
statement that the clock is right overrides both for 30 days; it is kept in the inbox.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from firmware_app.uplink.messages.summary import FirstPresence, PresenceKind
from hospital.inbox.inbox_db import Inbox

log = logging.getLogger("lantern.hospital")

_APART_S: Final = 2 * 86_400.0
_BACK_S: Final = 3_600.0
_SEVERAL: Final = 2
_AGAIN_S: Final = 600.0
_WORD_S: Final = 30 * 86_400.0
_WITNESS_S: Final = 600.0  # two heartbeats of a box
_QUEUED_S: Final = 300.0  # one heartbeat


class ClockDoubt(StrEnum):
    """Why the clock is doubtful."""

    BOXES = "boxes"
    ROWS = "rows"


_SENTENCES: Final = {
    ClockDoubt.BOXES: "most boxes are more than two days away from it",
    ClockDoubt.ROWS: "the inbox has rows from later than now",
}


class ReceiverClock:
    """The clock of one receiver; the boxes heard since it started are its witnesses."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._newest = _seconds(inbox.newest())
        self._boxes: dict[str, tuple[float, float]] = {}
        self._complained = float("-inf")
        self._ask_from = float("-inf")

    def connected(self) -> None:
        """The broker now delivers what it kept meanwhile; that is as old as the connection was broken."""
        self._ask_from = time.monotonic() + _QUEUED_S

    def heard(self, presence: FirstPresence) -> None:
        """A box says what time it is, and is a witness until it says goodbye or nothing for ten minutes."""
        self._boxes.pop(presence.origin.box, None)
        if presence.hour is None or presence.state is PresenceKind.DEATH or time.monotonic() < self._ask_from:
            return
        said = datetime.strptime(presence.hour, "%Y-%m-%dT%H").replace(minute=30, tzinfo=UTC).timestamp()
        self._boxes[presence.origin.box] = said, time.monotonic()

    def now(self) -> int | None:
        """Unix seconds; None while the clock is in doubt, which is logged."""
        return int(time.time()) if self.doubt() is None else None

    def doubt(self) -> ClockDoubt | None:
        """Why the clock may not be signed now; None where it may."""
        now, elapsed = time.time(), time.monotonic()
        self._boxes = {box: word for box, word in self._boxes.items() if elapsed - word[1] < _WITNESS_S}
        against = sum(abs(now - said - (elapsed - since)) > _APART_S for said, since in self._boxes.values())
        agree = len(self._boxes) - against
        reason = None
        if against >= _SEVERAL and against > agree:
            reason = ClockDoubt.BOXES
        elif now < self._newest - _BACK_S and not agree:
            reason = ClockDoubt.ROWS
        if reason is None or -_BACK_S < now - _seconds(self._inbox.clock_said_right_at()) < _WORD_S:
            self._newest = now
            return None
        if elapsed - self._complained > _AGAIN_S:
            self._complained = elapsed
            log.error(
                "this machine's clock is doubtful: %s. Everything is counted, but receipts carry no time. "
                "Set the clock; if it is right, run “lantern-hospital clock-is-right”",
                _SENTENCES[reason],
            )
        return reason


def _seconds(moment: str | None) -> float:
    return 0.0 if moment is None else datetime.fromisoformat(moment).timestamp()

"""Whether receipts may carry this machine's time: its clock is compared with the clocks of the boxes."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from firmware_app.uplink.messages.summary import Presence, PresenceKind

log = logging.getLogger("lantern.hospital")

_APART_S: Final = 2 * 86_400.0
_SEVERAL: Final = 2
_AGAIN_S: Final = 600.0
_WITNESS_S: Final = 600.0  # two heartbeats of a box
_QUEUED_S: Final = 300.0  # one heartbeat
_BACK_S: Final = 3_600.0
_WORD_S: Final = 30 * 86_400.0


class ReceiverClock:
    """Whether receipts may carry this machine's time, which reaches every box of the county.

    They carry none while most boxes whose time is confirmed differ from it by days.  The boxes heard since the receiver
    started are the witnesses.  A person's word (`HospitalSite.clock_word`) overrules them for 30 days: boxes that were
    led by a wrong clock of the hospital are put right by its receipts.
    """

    def __init__(self, word: Path) -> None:
        self._word = word
        self._boxes: dict[str, tuple[float, float]] = {}
        self._complained = self._ask_from = float("-inf")

    def record_connected(self) -> None:
        """The broker now delivers what it kept meanwhile; that is as old as the connection was broken."""
        self._ask_from = time.monotonic() + _QUEUED_S

    def record_witness(self, presence: Presence) -> None:
        """A box says what time it is, and is a witness until it says goodbye or nothing for ten minutes."""
        self._boxes.pop(presence.origin.box, None)
        if presence.hour is None or presence.state is PresenceKind.DEATH or time.monotonic() < self._ask_from:
            return
        said = datetime.strptime(presence.hour, "%Y-%m-%dT%H").replace(minute=30, tzinfo=UTC).timestamp()
        self._boxes[presence.origin.box] = said, time.monotonic()

    def now(self) -> int | None:
        """Unix seconds; None while the clock is in doubt, which is logged."""
        return None if self.is_doubtful() else int(time.time())

    def is_doubtful(self) -> bool:
        """Whether several boxes, and more than agree, contradict this clock."""
        now, elapsed = time.time(), time.monotonic()
        self._boxes = {box: word for box, word in self._boxes.items() if elapsed - word[1] < _WITNESS_S}
        against = sum(abs(now - said - (elapsed - since)) > _APART_S for said, since in self._boxes.values())
        if against < _SEVERAL or 2 * against <= len(self._boxes) or self._is_vouched_for(now):
            return False
        if elapsed - self._complained > _AGAIN_S:
            self._complained = elapsed
            log.error(
                "this machine's clock is doubtful: most boxes are more than two days away from it. Everything is "
                "counted, but receipts carry no time. Set the clock; if it is right, run “lantern-hospital "
                "clock-is-right”"
            )
        return True

    def _is_vouched_for(self, now: float) -> bool:
        """Whether a person said so; void once the clock was set back before that."""
        try:
            return -_BACK_S < now - self._word.stat().st_mtime < _WORD_S
        except OSError:
            return False

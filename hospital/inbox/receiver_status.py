"""The receiver's connection to the broker: the receiver records its state, the page and `/healthz` read it.

Without the broker nothing is known about any box. The state is kept in inbox.db, so it outlives the receiver; an old
entry shows that the receiver does not run.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from firmware_app.core.errors import InboxError
from hospital.inbox.inbox_db import Inbox
from hospital.inbox.trouble import LiveTrouble

KEEP_ALIVE_S: Final = 15
"""So often the broker answers at least, while there is nothing else to say."""
CLOCK_DOUBTFUL: Final = "hospital.clock_doubtful"
_WRITE_S: Final = 2.0
_SILENCE: Final = timedelta(seconds=3 * KEEP_ALIVE_S)
# A failed attempt to connect, with the wait before the next, is shorter than this.
_STEADY_S: Final = 10.0
"""For so long its own entries must be written before the inbox counts as writable again; they need less room."""
_OLD: Final = timedelta(seconds=75)
_AHEAD: Final = timedelta(seconds=5)  # after the clock was set back, stored times lie in the future


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """The receiver's last entry; without one every field is None."""

    written_at: datetime | None = None
    since: datetime | None = None
    """Since when it is connected to the broker; None when it is not."""
    heard_at: datetime | None = None
    """When the broker last sent anything, answers to keep-alives included."""
    error: str | None = None
    """Why the line last ended or was not opened; None while it stands."""
    doubt: str | None = None
    """Why it signs no time, an `own_clock.Doubt`; None while it does."""

    def codes(self, now: datetime) -> list[str]:
        """Codes of what is wrong, for `/healthz`; empty when the broker is connected and receipts carry the time."""
        if not _recent(self.written_at, now, _OLD):
            return ["hospital.receiver_silent"]
        if self.since is None or not _recent(self.heard_at, now, _SILENCE):
            return ["hospital.broker_silent"]
        return [CLOCK_DOUBTFUL] if self.doubt else []


def _recent(at: datetime | None, now: datetime, within: timedelta) -> bool:
    return at is not None and -_AHEAD <= now - at <= within


def read(connection: sqlite3.Connection) -> ReceiverStatus:
    """The receiver's last entry."""
    row = connection.execute("SELECT written_at, since, heard_at, error, doubt FROM receiver").fetchone()
    if row is None:
        return ReceiverStatus()
    written_at, since, heard_at = (datetime.fromisoformat(text) if text else None for text in tuple(row)[:3])
    return ReceiverStatus(written_at, since, heard_at, row["error"], row["doubt"])


class ReceiverStatusRecorder:
    """The receiver's side: notes what happens on the connection, and writes it to the inbox every few seconds."""

    def __init__(self, inbox: Inbox, live: LiveTrouble | None = None) -> None:
        """*live* is shared with the page of this process: on a full disk nothing can be written here."""
        self._inbox, self._live = inbox, live or LiveTrouble()
        self._failed = float("-inf")
        before = read(inbox.connection)
        self._since: datetime | None = None
        self._heard_at, self._error, self._doubt = before.heard_at, before.error, before.doubt
        self._written = 0.0

    def connected(self) -> None:
        """The subscription stands."""
        self._since = self._heard_at = datetime.now(UTC)
        self._error = None
        self._write()

    def heard(self) -> None:
        """The broker sent something."""
        self._heard_at = datetime.now(UTC)

    def keep(self, doubt: str | None) -> None:
        """The connection is open and the clock has this doubt; written from time to time."""
        self._doubt = doubt
        if time.monotonic() - self._written > _WRITE_S:
            self._write()
            if time.monotonic() - self._failed > _STEADY_S:
                self._live.error = None

    def committed(self) -> None:
        """What came is in the inbox."""
        self._live.error = None

    def unwritten(self, error: InboxError) -> None:
        """The inbox could not be written, so the line is closed for a while."""
        self._live.error, self._failed = error, time.monotonic()
        self.lost(str(error))

    def lost(self, error: str) -> None:
        """The line ended or could not be opened.  Raises nothing: on a full disk nothing is written, and the last entry
        becomes stale."""
        self._since, self._error = None, error
        with suppress(sqlite3.OperationalError):
            self._write()

    def _write(self) -> None:
        said = (datetime.now(UTC), self._since, self._heard_at)
        with self._inbox.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO receiver VALUES (1, ?, ?, ?, ?, ?)",
                (*(at.isoformat(timespec="milliseconds") if at else None for at in said), self._error, self._doubt),
            )
        self._written = time.monotonic()

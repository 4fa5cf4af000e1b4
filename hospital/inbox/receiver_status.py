"""The receiver's state: its connection to the broker, and why the inbox cannot be written.

The receiver records its state; the page and `/healthz` read it.  Without the broker nothing is known about any box.
The state is kept in inbox.db, so it outlives the receiver; an old entry shows that the receiver does not run.

Why the inbox cannot be written is asked of the file system at once, since a full disk has no room for the answer.
`InboxProblem` carries it from the receiver to the page within the process of `serve`.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from hospital.errors import HOSPITAL_DISK_FULL, HOSPITAL_DISK_READ_ONLY, InboxError, InboxUnwritten
from hospital.inbox.inbox_db import Inbox

log = logging.getLogger("lantern.hospital")

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
    """Why it signs no time; None while it does."""

    def list_codes(self, now: datetime) -> list[str]:
        """Codes of what is wrong, for `/healthz`; empty when the broker is connected and receipts carry the time."""
        if not _is_recent(self.written_at, now, _OLD):
            return ["hospital.receiver_silent"]
        if self.since is None or not _is_recent(self.heard_at, now, _SILENCE):
            return ["hospital.broker_silent"]
        return [CLOCK_DOUBTFUL] if self.doubt else []


def _is_recent(at: datetime | None, now: datetime, within: timedelta) -> bool:
    return at is not None and -_AHEAD <= now - at <= within


def read_receiver_status(connection: sqlite3.Connection) -> ReceiverStatus:
    """The receiver's last entry."""
    row = connection.execute("SELECT written_at, since, heard_at, error, doubt FROM receiver").fetchone()
    if row is None:
        return ReceiverStatus()
    written_at, since, heard_at = (datetime.fromisoformat(text) if text else None for text in tuple(row)[:3])
    return ReceiverStatus(written_at, since, heard_at, row["error"], row["doubt"])


class ReceiverStatusRecorder:
    """The receiver's side: notes what happens on the connection, and writes it to the inbox every few seconds."""

    def __init__(self, inbox: Inbox, live: InboxProblem | None = None) -> None:
        """*live* is shared with the page of this process: on a full disk nothing can be written here."""
        self._inbox, self._live = inbox, live or InboxProblem()
        self._failed = float("-inf")
        before = read_receiver_status(inbox.connection)
        self._since: datetime | None = None
        self._heard_at, self._error, self._doubt = before.heard_at, before.error, before.doubt
        self._written = 0.0

    def record_connected(self) -> None:
        """The subscription stands."""
        self._since = self._heard_at = datetime.now(UTC)
        self._error = None
        self._write()

    def record_message(self) -> None:
        """The broker sent something."""
        self._heard_at = datetime.now(UTC)

    def refresh(self, *, is_clock_doubtful: bool) -> None:
        """Record from time to time that the connection is open, and whether the clock is in doubt."""
        self._doubt = "boxes" if is_clock_doubtful else None
        if time.monotonic() - self._written > _WRITE_S:
            self._write()
            if time.monotonic() - self._failed > _STEADY_S:
                self._live.error = None

    def record_commit(self) -> None:
        """What came is in the inbox."""
        self._live.error = None

    def record_write_error(self, error: InboxError) -> None:
        """The inbox could not be written, so the line is closed for a while."""
        self._live.error, self._failed = error, time.monotonic()
        self.record_disconnected(str(error))

    def record_disconnected(self, error: str) -> None:
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


_FULL_BYTES: Final = 65_536
"""With less than this SQLite cannot begin a transaction in a new log."""
_FULL_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT)


def explain_write_error(inbox_db: Path, error: OSError | sqlite3.Error) -> InboxError:
    """What the person who looks after this computer must know of *error*, which came when *inbox_db* was written."""
    name, number = getattr(error, "sqlite_errorname", ""), getattr(error, "errno", None)
    try:
        room = os.statvfs(inbox_db.parent)
    except OSError as gone:
        return InboxUnwritten(path=str(inbox_db), detail=gone.strerror or str(gone))
    if room.f_flag & os.ST_RDONLY or number == errno.EROFS:
        return HOSPITAL_DISK_READ_ONLY(path=str(inbox_db.parent))
    no_files = room.f_files > 0 and room.f_favail == 0
    if name == "SQLITE_FULL" or number in _FULL_ERRORS or room.f_bavail * room.f_frsize < _FULL_BYTES or no_files:
        return HOSPITAL_DISK_FULL(path=str(inbox_db.parent))
    return InboxUnwritten(path=str(inbox_db), detail=str(error)[:200])


class InboxProblem:
    """Why nothing can be received just now; None where it can.  Set by the receiver, read by the page's threads."""

    def __init__(self) -> None:
        self.error: InboxError | None = None

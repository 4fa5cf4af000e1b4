"""What clinical.db remembers of exchange.db: its stream, the highest number given out, and the hospital's newest key.

exchange.db may be lost, restored from an old copy, or written by an attacker who controls the uplink.  If it does not
match this row, a new stream begins, and everything without a receipt is sent again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from firmware_app.core.sqlite.database import Database
from firmware_app.uplink.exchange.exchange_db import Counters, Outgoing
from firmware_app.uplink.messages.summary import MOST_SEQ


@dataclass(frozen=True, slots=True)
class KnownStream:
    """The row `line_memory` of one clinical database."""

    database: Database

    def agrees(self, counters: Counters) -> bool:
        """Whether *counters* of exchange.db are of the known stream, have not decreased and have numbers left."""
        row = self.database.connection.execute("SELECT stream, highest, session FROM line_memory").fetchone()
        return (
            row is not None
            and row["stream"] == counters.stream
            and row["highest"] <= counters.highest < MOST_SEQ
            and row["session"] <= counters.session < MOST_SEQ
        )

    def stream(self) -> str | None:
        """The stream that is known."""
        row = self.database.connection.execute("SELECT stream FROM line_memory").fetchone()
        return row["stream"] if row else None

    def begin(self, counters: Counters) -> None:
        """Use this stream from now on; inside the caller's transaction."""
        self.database.connection.execute(
            "INSERT INTO line_memory (id, stream, highest, session) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET stream = excluded.stream, highest = excluded.highest, session = excluded.session",
            (counters.stream, counters.highest, counters.session),
        )

    def gave(self, rows: Collection[Outgoing]) -> None:
        """Record that these numbers were used; inside the caller's transaction."""
        highest = max(row.seq for row in rows)
        self.database.connection.execute("UPDATE line_memory SET highest = MAX(highest, ?)", (highest,))

    def connected(self, session: int) -> None:
        """Record the number of the uplink's latest connection; written only when it has changed."""
        connection = self.database.connection
        if connection.execute("SELECT session FROM line_memory").fetchone()[0] < session:
            connection.execute("UPDATE line_memory SET session = ?", (session,))

    def keep_keys(self, hospital: str, signed: bytes) -> None:
        """The newest keys message of *hospital*, as it was signed."""
        self.database.connection.execute("UPDATE line_memory SET hospital = ?, keys = ?", (hospital, signed))

    def keys(self, hospital: str) -> bytes | None:
        """The newest keys message of *hospital*; None before the first."""
        row = self.database.connection.execute(
            "SELECT keys FROM line_memory WHERE hospital = ?", (hospital,)
        ).fetchone()
        return bytes(row[0]) if row and row[0] is not None else None

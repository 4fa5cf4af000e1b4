"""When each box was last heard, and whether it is offline: one row a box, updated with every message.

The newest message counts, whatever stream it belongs to.  A goodbye counts only for the newest stream. The last will of
an older stream (`exchange.db` was lost or restored since) says nothing about the box as it is now.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from firmware_app.uplink.messages.summary import FirstPresence, PresenceKind


@dataclass(frozen=True, slots=True)
class BoxRow:
    """One enrolled box.  Times are ISO 8601, UTC; None: never."""

    box: str
    last_at: str | None
    """When it last said anything new."""
    gone: bool
    """Its last word was a goodbye, its own or its last will."""
    older: bool
    """Since its last new word on itself it has said older ones only."""
    presence: dict[str, Any] | None
    """Its last new word on itself, as `summary.Presence` writes it."""

    @property
    def state(self) -> str | None:
        """Its last presence message; see `summary.PresenceKind`."""
        return str(self.presence["state"]) if self.presence else None


# --- inside the transaction that keeps the message --------------------------------------------------------------------


def spoke(connection: sqlite3.Connection, box: str, now: str) -> None:
    """A new summary of *box* has come: the box is online, even after a goodbye."""
    connection.execute(
        "INSERT INTO heard (box, at, gone) VALUES (?, ?, 0) ON CONFLICT (box) DO UPDATE SET at = excluded.at, gone = 0",
        (box, now),
    )


def said(connection: sqlite3.Connection, presence: FirstPresence, now: str) -> None:
    """Keep a presence message that is the newest of its stream."""
    connection.execute(
        "INSERT INTO heard (box, at, said_at, stream, gone) VALUES (?, ?, ?, ?, ?) ON CONFLICT (box) DO UPDATE SET"
        " at = excluded.at, said_at = excluded.said_at, stream = excluded.stream, gone = excluded.gone, older_at = NULL"
        " WHERE NOT excluded.gone OR stream IS NULL OR stream = excluded.stream",
        (presence.origin.box, now, now, presence.origin.stream, presence.state is PresenceKind.DEATH),
    )


def said_older(connection: sqlite3.Connection, box: str, now: str) -> None:
    """Note a message of *box* that is older than its last: `exchange.db` was restored, or somebody repeats messages."""
    connection.execute("UPDATE heard SET older_at = ? WHERE box = ?", (now, box))


# --- questions --------------------------------------------------------------------------------------------------------


def boxes(connection: sqlite3.Connection) -> list[BoxRow]:
    """Every enrolled box that was not revoked, by name."""
    rows = connection.execute(
        "SELECT b.box, h.at, h.gone, h.older_at, p.body FROM boxes b LEFT JOIN heard h ON h.box = b.box"
        " LEFT JOIN presence p ON p.box = b.box AND p.stream = h.stream WHERE b.revoked_at IS NULL ORDER BY b.box"
    )
    return [
        BoxRow(
            row["box"],
            row["at"],
            bool(row["gone"]),
            row["older_at"] is not None,
            json.loads(row["body"]) if row["body"] else None,
        )
        for row in rows
    ]

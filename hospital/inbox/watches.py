"""Whether the films of each machine of each box have changed: the last word of each week, for half a year."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any, Final

from firmware_app.core.errors import Outdated
from firmware_app.uplink.messages.summary import DriftWatch

WEEKS: Final = 26
MOST_ROWS: Final = 16 * WEEKS
"""Rows of one box, the newest: as many machines as a box tells of."""


def keep(connection: sqlite3.Connection, watch: DriftWatch, now: str, *, again: bool = False) -> bool:
    """Keep *watch*, received at *now*; False when it is known already.  Raises `Outdated` when a later word of the same
    stream is here.  *again*: the broker itself says that it delivers this once more."""
    origin, place, body = watch.origin, watch.place, json.dumps(watch.to_object())
    last = connection.execute(
        "SELECT * FROM watches WHERE box = ? AND pack = ? AND machine = ? ORDER BY received_at DESC, week DESC LIMIT 1",
        (origin.box, place.pack, place.machine),
    ).fetchone()
    if last is not None and last["stream"] == origin.stream:
        if again or last["body"] == body:
            return False
        if (origin.seq, watch.beat) <= (last["session"], last["beat"]):
            raise Outdated
    week = "{:04d}-W{:02d}".format(*datetime.fromisoformat(now).isocalendar()[:2])
    connection.execute(
        "INSERT OR REPLACE INTO watches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (origin.box, place.pack, place.machine, week, origin.stream, origin.seq, watch.beat, body, now),
    )
    connection.execute(
        "DELETE FROM watches WHERE box = ?1 AND rowid NOT IN"
        " (SELECT rowid FROM watches WHERE box = ?1 ORDER BY received_at DESC LIMIT ?2)",
        (origin.box, MOST_ROWS),
    )
    return True


def weeks(connection: sqlite3.Connection, box: str) -> list[dict[str, Any]]:
    """Every kept week of *box*, the newest first."""
    rows = connection.execute("SELECT * FROM watches WHERE box = ? ORDER BY week DESC, pack, machine", (box,))
    return [_row(row) for row in rows]


def latest(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The last word on each machine of each box that is not revoked; those with a change first."""
    rows = connection.execute(
        "SELECT w.*, MAX(w.received_at) FROM watches w JOIN boxes b ON b.box = w.box AND b.revoked_at IS NULL"
        " GROUP BY w.box, w.pack, w.machine ORDER BY w.box, w.pack, w.machine"
    )
    return sorted((_row(row) for row in rows), key=lambda one: not one["changed"])


def _row(row: sqlite3.Row) -> dict[str, Any]:
    place = json.loads(row["body"])["place"]
    changed = [one["measure"] for one in place["measures"] if one["state"] == "changed"]
    return {"box": row["box"], "week": row["week"], "received_at": row["received_at"], **place, "changed": changed}

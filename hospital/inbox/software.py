"""What software each box runs and which version it left: the last word of each, for a person to go on by."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Any

from firmware_app.core.errors import Outdated
from firmware_app.uplink.messages.summary import SoftwareState


@dataclass(frozen=True, slots=True)
class VersionCount:
    """How many boxes run a version now, and how many have left it."""

    machine: str
    version: str
    runs: int
    left: int


def keep(connection: sqlite3.Connection, said: SoftwareState, now: str, *, again: bool = False) -> bool:
    """Keep *said*, received at *now*; False when it is known already.  Raises `Outdated` when a later word of the same
    stream is here.  *again*: the broker itself says that it delivers this once more."""
    origin, body = said.origin, json.dumps(said.to_object())
    changed = connection.execute(
        "INSERT INTO software VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (box) DO UPDATE SET stream = excluded.stream,"
        " session = excluded.session, beat = excluded.beat, body = excluded.body, received_at = excluded.received_at"
        " WHERE stream <> excluded.stream OR (excluded.session, excluded.beat) > (session, beat)",
        (origin.box, origin.stream, origin.seq, said.beat, body, now),
    ).rowcount
    if changed:
        return True
    row = connection.execute("SELECT body FROM software WHERE box = ?", (origin.box,)).fetchone()
    if again or row["body"] == body:
        return False
    raise Outdated


def latest(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The last word of each box that is not revoked, by name; those that left a slot first."""
    rows = connection.execute(
        "SELECT s.box, s.received_at, s.body FROM software s JOIN boxes b ON b.box = s.box AND b.revoked_at IS NULL"
        " ORDER BY s.box"
    )
    said = [
        {"box": row["box"], "received_at": row["received_at"], **json.loads(row["body"])["software"]} for row in rows
    ]
    return sorted(said, key=lambda one: one["left"] is None)


def counted(said: list[dict[str, Any]]) -> list[VersionCount]:
    """Each version of each kind of machine, the latest first."""
    runs = Counter((one["machine"] or "", one["version"]) for one in said)
    left = Counter((one["machine"] or "", one["left"]["version"] or "") for one in said if one["left"])
    every = sorted({*runs, *left}, key=lambda one: (one[0], _order(one[1])), reverse=True)
    return [VersionCount(*one, runs[one], left[one]) for one in every]


def _order(version: str) -> list[tuple[int, int, str]]:
    """Numbers as numbers, so that 0.10 comes after 0.9; a tilde before everything, as Debian sorts."""
    parts = re.findall(r"\d+|[^\d]+", version)
    return [(1, int(one), "") if one.isdigit() else (-1 if one[0] == "~" else 2, 0, one) for one in parts] + [
        (0, 0, "")
    ]

"""When the inbox was lost, rebuilt or put back: rows of the inbox itself, an alarm until a person has seen them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from firmware_app.core.errors import HospitalError
from firmware_app.core.language import say


@dataclass(frozen=True, slots=True)
class Loss:
    """What happened to the inbox, as an error said it, and when (ISO 8601, UTC)."""

    at: str
    code: str
    details: Mapping[str, Any]

    def text(self, language: str = "en") -> str:
        """The sentence a person reads."""
        return say(self.code, self.details, language)


def note(connection: sqlite3.Connection, what: HospitalError) -> None:
    """Keep *what*, inside the caller's transaction."""
    connection.execute(
        "INSERT INTO losses (at, code, details) VALUES (?, ?, ?)", (_now(), what.code, json.dumps(dict(what.details)))
    )


def known(connection: sqlite3.Connection) -> bool:
    """Whether anything has ever happened to this inbox."""
    return connection.execute("SELECT 1 FROM losses").fetchone() is not None


def unseen(connection: sqlite3.Connection) -> list[Loss]:
    """What nobody has seen yet, the oldest first."""
    rows = connection.execute("SELECT at, code, details FROM losses WHERE seen_at IS NULL ORDER BY id")
    return [Loss(row["at"], row["code"], json.loads(row["details"])) for row in rows]


def see(connection: sqlite3.Connection) -> None:
    """A person has seen all of them; inside the caller's transaction."""
    connection.execute("UPDATE losses SET seen_at = ? WHERE seen_at IS NULL", (_now(),))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

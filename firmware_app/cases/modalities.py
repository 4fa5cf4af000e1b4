"""Machines that a technician entered to test the line to them: what is asked for, and what came of it.

A person asks; the gateway sends the C-ECHO, because the page's own process may dial nothing (`ingest.line_test`).
"""

from __future__ import annotations

import ipaddress
import re
import sqlite3
from dataclasses import dataclass
from typing import Final

from firmware_app.cases.accounts import audit
from firmware_app.cases.forms import reason_in, reason_text
from firmware_app.core import clock
from firmware_app.core.errors import (
    MachineHostUnusable,
    MachinePortUnusable,
    MachinesTooMany,
    MachineTitleUnusable,
    MachineUnknown,
)
from firmware_app.core.records import Reason
from firmware_app.core.sqlite.database import Database

ADDED: Final = "modality.added"
REMOVED: Final = "modality.removed"
TESTED: Final = "modality.tested"
MOST: Final = 32
_TITLE: Final = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?", re.ASCII)  # PS3.5 AE: no backslash
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine answers: its AE title, host and port.  Raises a `MachineError` for what cannot be one."""

    title: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if not _TITLE.fullmatch(self.title):
            raise MachineTitleUnusable
        if not _is_host(self.host):
            raise MachineHostUnusable
        if not 0 < self.port < 65536:
            raise MachinePortUnusable


@dataclass(frozen=True, slots=True)
class Modality:
    """One machine, since when a test is to be done (None: none is), and what came of the last one, if there was one."""

    sequence: int
    place: Place
    asked_at: clock.Stamp | None
    reached: bool
    reason: Reason | None
    tested_at: clock.Stamp | None


class Modalities:
    """The machines of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, place: Place, actor: str) -> int:
        """Keep a machine and have the line to it tested; its number.  One that is there is only tested again."""
        with self._database.transaction() as connection:
            if connection.execute("SELECT COUNT(*) FROM modalities").fetchone()[0] >= MOST:
                raise MachinesTooMany(most=MOST)
            before = connection.total_changes
            connection.execute(
                "INSERT INTO modalities (title, host, port) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (place.title, place.host, place.port),
            )
            if connection.total_changes > before:
                audit.append(connection, actor, ADDED, "", {"machine": place.title})
            number = int(
                connection.execute(
                    "SELECT sequence FROM modalities WHERE title = ? AND host = ? AND port = ?",
                    (place.title, place.host, place.port),
                ).fetchone()[0]
            )
            _ask(connection, number, actor)
        return number

    def ask(self, number: int, actor: str) -> None:
        """Have the line tested again; raises `MachineUnknown`."""
        with self._database.transaction() as connection:
            _ask(connection, number, actor)

    def remove(self, number: int, actor: str) -> None:
        """Forget a machine; raises `MachineUnknown`."""
        with self._database.transaction() as connection:
            row = connection.execute("DELETE FROM modalities WHERE sequence = ? RETURNING title", (number,)).fetchone()
            if row is None:
                raise MachineUnknown
            audit.append(connection, actor, REMOVED, "", {"machine": row[0]})

    def all(self) -> list[Modality]:
        """Every machine, in the order in which they were entered."""
        return [_modality(row) for row in self._database.connection.execute("SELECT * FROM modalities ORDER BY 1")]

    def asked(self) -> list[Modality]:
        """Those whose line is still to be tested."""
        rows = self._database.connection.execute("SELECT * FROM modalities WHERE asked = 1 ORDER BY sequence")
        return [_modality(row) for row in rows]

    def tested(self, number: int, reason: Reason, *, reached: bool) -> None:
        """The test is over; of a machine that was removed meanwhile nothing is kept."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE modalities SET asked = 0, reached = ?, reason = ?, tested_at = ? WHERE sequence = ?",
                (reached, reason_text(reason), clock.text("seconds"), number),
            )


def _ask(connection: sqlite3.Connection, number: int, actor: str) -> None:
    row = connection.execute(
        "UPDATE modalities SET asked = 1, asked_at = ? WHERE sequence = ? RETURNING title",
        (clock.text("seconds"), number),
    ).fetchone()
    if row is None:
        raise MachineUnknown
    audit.append(connection, actor, TESTED, "", {"machine": row[0]})


def _modality(row: sqlite3.Row) -> Modality:
    return Modality(
        row["sequence"],
        Place(row["title"], row["host"], row["port"]),
        clock.parse(row["asked_at"]) if row["asked"] else None,
        bool(row["reached"]),
        reason_in(row["reason"]),
        clock.parse(row["tested_at"]) if row["tested_at"] else None,
    )


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.split(".")
        return 0 < len(text) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return True

"""The shape of inbox.db, as the ordered list of steps that lead to it.

`PRAGMA user_version` is the number of steps that a file has seen.  A released step is never changed: a new shape is a
new step at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib import resources
from typing import Final

from hospital.errors import (
    INBOX_NEWER,
)

STEPS: Final[tuple[str, ...]] = (
    resources.files(__package__).joinpath("schema.sql").read_text("utf-8"),
    # A box that was revoked; and what was kept aside, by box, because each has a share of it.
    """
    ALTER TABLE boxes ADD COLUMN revoked_at TEXT;
    CREATE INDEX aside_of_box ON aside (box, id);
    """,
    resources.files(__package__).joinpath("schema_heard.sql").read_text("utf-8"),
    # A person's word that the clock is right, at that moment: the cases before it may have come under a wrong one.
    """
    CREATE TABLE clock_word (
        id INTEGER PRIMARY KEY CHECK (id = 1), said_at TEXT NOT NULL, cases INTEGER NOT NULL  -- their last rowid
    ) STRICT;
    """,
    # Why the receiver doubts this machine's clock, a value of `receiver_clock.ClockDoubt`; NULL: it does not.
    "ALTER TABLE receiver ADD COLUMN doubt TEXT;",
    # How the packs do at each clinic: the latest word of each box.
    """
    CREATE TABLE figures (
        box        TEXT PRIMARY KEY,
        stream     TEXT NOT NULL,
        session    INTEGER NOT NULL,
        beat       INTEGER NOT NULL,
        body       TEXT NOT NULL,                 -- JSON of summary.ClinicFigures
        received_at TEXT NOT NULL
    ) STRICT;
    """,
    # Whether the films of each machine have changed: the last word of each week.
    """
    CREATE TABLE watches (
        box        TEXT NOT NULL,
        pack       TEXT NOT NULL,
        machine    TEXT NOT NULL,
        week       TEXT NOT NULL,                 -- ISO 8601, of its arrival
        stream     TEXT NOT NULL,
        session    INTEGER NOT NULL,
        beat       INTEGER NOT NULL,
        body       TEXT NOT NULL,                 -- JSON of summary.DriftWatch
        received_at TEXT NOT NULL,
        PRIMARY KEY (box, pack, machine, week)
    ) STRICT;
    """,
    resources.files(__package__).joinpath("schema_enrolling.sql").read_text("utf-8"),
    # What software each box runs, and which slot it left: the latest word of each box.
    """
    CREATE TABLE software (
        box        TEXT PRIMARY KEY,
        stream     TEXT NOT NULL,
        session    INTEGER NOT NULL,
        beat       INTEGER NOT NULL,
        body       TEXT NOT NULL,                 -- JSON of summary.SoftwareState
        received_at TEXT NOT NULL
    ) STRICT;
    """,
    # When the inbox was lost, rebuilt or put back, until a person has seen it.
    """
    CREATE TABLE losses (
        id         INTEGER PRIMARY KEY,
        at         TEXT NOT NULL,
        code       TEXT NOT NULL,                 -- of the error that says what happened
        details    TEXT NOT NULL,                 -- JSON
        seen_at    TEXT
    ) STRICT;
    """,
    # From which address a label's code was typed; empty at the console and for what came over the line.
    "ALTER TABLE enrol_audit ADD COLUMN source TEXT NOT NULL DEFAULT '';",
)


def migrate(connection: sqlite3.Connection) -> None:
    """Run the steps that this file has not seen, inside the caller's transaction; raises `INBOX_NEWER`."""
    seen: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if seen > len(STEPS):
        raise INBOX_NEWER(version=seen, known=len(STEPS))
    for step in STEPS[seen:]:
        for statement in _statements(step):
            connection.execute(statement)
    if seen < len(STEPS):
        connection.execute(f"PRAGMA user_version={len(STEPS)}")


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""

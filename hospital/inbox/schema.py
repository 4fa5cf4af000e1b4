"""The schema of inbox.db and its named steps (`core.schema`)."""

from __future__ import annotations

import sqlite3
from typing import Final

from firmware_app.core.schema import read_schema
from hospital.errors import INBOX_NEWER, INBOX_TOO_OLD

SCHEMA: Final = read_schema("hospital.inbox", "2026-11-latest-reports", first=11, first_written_by="0.2.0+gc59301e3d")


def migrate(connection: sqlite3.Connection) -> None:
    """Make the tables, or upgrade those of an earlier version, inside the caller's transaction.

    Raises `INBOX_NEWER` or `INBOX_TOO_OLD`.
    """
    stored: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if stored > SCHEMA.version:
        raise INBOX_NEWER(version=stored, known=SCHEMA.version)
    if 0 < stored < SCHEMA.first:
        raise INBOX_TOO_OLD(version=SCHEMA.first_written_by)
    if stored < SCHEMA.version:
        SCHEMA.upgrade(connection, stored)
        connection.execute(f"PRAGMA user_version={SCHEMA.version}")

"""What goes into a rebuilt exchange.db and accounts.db; the clinical one has a file of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_app.store.accounts.accounts_db import Accounts
from firmware_app.store.disk.layout import StateDir
from firmware_app.store.exchange.exchange_db import Exchange
from firmware_app.store.rescue import refill
from firmware_app.store.rescue.pages import Value
from firmware_app.store.rescue.rescue import Report
from firmware_app.store.rescue.salvage import Source, Wreck

Check = Callable[[Sequence[Value]], object]
"""Raises `ValueError` for values that SQLite would take and the box could not use."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The numbers of the rows of one table that were kept, and whether the table may have had others."""

    kept: set[int]
    damaged: bool


def carry(
    connection: sqlite3.Connection, wreck: Wreck, name: str, report: Report, check: Check | None = None
) -> Carried:
    """Copy what is left of table *name*, row by row under the same numbers, and count."""
    columns = wreck.shared(name)
    places = [wreck.columns(name).index(column) for column in columns]
    numbered = [] if wreck.has_rowid_column(name) else ["rowid"]
    statement = insertion(name, [*numbered, *columns])
    rows = wreck.rows(name)
    kept: set[int] = set()
    for rowid, values in rows:
        try:
            if check is not None:
                check(values)
            row = [values[place] for place in places]
            if connection.execute(statement, [rowid, *row] if numbered else row).rowcount:
                kept.add(rowid)
        except (ValueError, TypeError, OverflowError, sqlite3.IntegrityError):  # half of it was overwritten
            continue
    known = rows.seen | wreck.indexed(name)
    report.kept[name], report.lost[name] = len(kept), len(known) - len(kept)
    return Carried(kept, not rows.whole or len(known) > len(kept))


def insertion(name: str, columns: Sequence[str]) -> str:
    """The statement that puts a row into table *name*, unless the table has it or does not take it."""
    return f'INSERT OR IGNORE INTO "{name}" ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})'


def rebuild_exchange(source: Source, path: Path, state: StateDir, report: Report) -> None:
    """A new stream: the clinic's side hands on again what the hospital has not signed for.

    The hospital's newest key is kept; it is signed, so the uplink sees for itself whether it is whole.
    """
    fresh = Exchange(path)
    fresh.create()
    wreck = Wreck(source, fresh.database.connection)
    try:
        with fresh.database.transaction() as connection:
            keys = carry(connection, wreck, "hospital_keys", report)
            report.doubtful = source.doubtful
            if keys.damaged:
                refill.exchange(connection, state, report)
    finally:
        wreck.close()
        fresh.database.close()


def rebuild_accounts(source: Source, path: Path, state: StateDir, report: Report) -> None:
    """People and their passwords, as far as they can be trusted; whoever was logged in logs in again.

    A file without any account lets nobody in: the first account needs the code that `lantern` shows at the box.  Where
    the people's own rows are damaged or a part of the log is doubtful, a password or a lock may be an older one, so
    every account needs a new code; and whoever any row calls disabled is.  Lost accounts come back from the newest
    backup, without a password too.
    """
    fresh = Accounts(path)
    fresh.create()
    wreck = Wreck(source, fresh.database.connection)
    try:
        with fresh.database.transaction() as connection:
            people = carry(connection, wreck, "users", report)
            if people.damaged or source.doubtful:
                refill.accounts(connection, state, report)
            carry(connection, wreck, "secrets", report)
            report.doubtful = source.doubtful
            if people.damaged or source.doubtful:
                connection.execute("UPDATE users SET password = NULL")
                name, disabled = (wreck.columns("users").index(column) for column in ("name", "disabled"))
                for _, row in wreck.scanned("users"):
                    if row[disabled]:
                        connection.execute("UPDATE users SET disabled = 1 WHERE name = ?", (row[name],))
    finally:
        wreck.close()
        fresh.database.close()

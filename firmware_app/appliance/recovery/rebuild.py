"""Rebuilds exchange.db and accounts.db; `rebuild_clinical` does clinical.db."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from firmware_app.appliance.recovery import refill
from firmware_app.appliance.recovery.rescue import RescueReport
from firmware_app.cases.accounts.accounts_db import Accounts
from firmware_app.core.sqlite.salvage.wreck import Carried, Check, DamagedCopy, Wreck, carry
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange


def carried(
    connection: sqlite3.Connection, wreck: Wreck, name: str, report: RescueReport, check: Check | None = None
) -> Carried:
    """Copy the remaining rows of table *name*, and count them in *report*."""
    done = carry(wreck, name, connection, check)
    report.kept[name], report.lost[name] = done.count, done.known - done.count
    return done


def rebuild_exchange(damaged: DamagedCopy, path: Path, state: StateDir, report: RescueReport) -> None:
    """A new stream: the relay sends again everything that the hospital has not signed for.

    The hospital's newest key is kept; it is signed, so the uplink can check that it is whole.
    """
    fresh = Exchange(path)
    fresh.create()
    wreck = Wreck(damaged, fresh.database.connection)
    try:
        with fresh.database.transaction() as connection:
            keys = carried(connection, wreck, "hospital_keys", report)
            report.doubtful = damaged.unused_commits
            if keys.is_damaged:
                refill.exchange(connection, state, report)
    finally:
        wreck.close()
        fresh.database.close()


def rebuild_accounts(damaged: DamagedCopy, path: Path, state: StateDir, report: RescueReport) -> None:
    """People and their passwords, as far as they can be trusted; all sessions end.

    A file without any account lets nobody in: the first account needs the code that `lantern` shows at the box.  If the
    people's rows are damaged or part of the log is doubtful, a password or a lock may be out of date: then every
    account needs a new code, and an account that any row shows as disabled is disabled.  Lost accounts come back from
    the newest backup, also without a password.
    """
    fresh = Accounts(path)
    fresh.create()
    wreck = Wreck(damaged, fresh.database.connection)
    try:
        with fresh.database.transaction() as connection:
            people = carried(connection, wreck, "users", report)
            if people.is_damaged or damaged.unused_commits:
                refill.accounts(connection, state, report)
            carried(connection, wreck, "secrets", report)
            report.doubtful = damaged.unused_commits
            if people.is_damaged or damaged.unused_commits:
                connection.execute("UPDATE users SET password = NULL")
                name, disabled = (wreck.columns("users").index(column) for column in ("name", "disabled"))
                for _, row in wreck.scanned("users"):
                    if row[disabled]:
                        connection.execute("UPDATE users SET disabled = 1 WHERE name = ?", (row[name],))
    finally:
        wreck.close()
        fresh.database.close()

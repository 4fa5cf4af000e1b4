"""Rebuild exchange.db and accounts.db, and add rows of the newest whole backup to any rebuilt database.

`rebuild_clinical` rebuilds clinical.db.  From a backup come only rows that no image file can give.  A row of the
damaged file has precedence over the same row of the backup.  A person's entry is not restored if the audit shows a
later entry that is now lost: the older one may have been withdrawn.  Images, readings and cases are never taken from
a backup, because they may have been deleted since.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firmware_app.appliance import backup_ring
from firmware_app.appliance.rescue import RescueReport
from firmware_app.cases import audit
from firmware_app.cases.accounts import Accounts
from firmware_app.core.salvage import CopiedTable, DamagedCopy, DamagedDatabase, RowCheck, copy_table
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange


def carry_rows(
    connection: sqlite3.Connection,
    wreck: DamagedDatabase,
    name: str,
    report: RescueReport,
    check: RowCheck | None = None,
) -> CopiedTable:
    """Copy the remaining rows of table *name*, and count them in *report*."""
    done = copy_table(wreck, name, connection, check)
    report.kept[name], report.lost[name] = done.count, done.known - done.count
    return done


def rebuild_exchange(damaged: DamagedCopy, path: Path, state: StateDir, report: RescueReport) -> None:
    """A new stream: the relay sends again everything that the hospital has not signed for.

    The hospital's newest key is kept; it is signed, so the uplink can check that it is whole.
    """
    fresh = Exchange(path)
    fresh.create()
    wreck = DamagedDatabase(damaged, fresh.database.connection)
    try:
        with fresh.database.transaction() as connection:
            keys = carry_rows(connection, wreck, "hospital_keys", report)
            report.doubtful = damaged.unused_commits
            if keys.is_damaged:
                refill_exchange(connection, state, report)
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
    wreck = DamagedDatabase(damaged, fresh.database.connection)
    try:
        with fresh.database.transaction() as connection:
            people = carry_rows(connection, wreck, "users", report)
            if people.is_damaged or damaged.unused_commits:
                refill_accounts(connection, state, report)
            carry_rows(connection, wreck, "secrets", report)
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


# Table -> the audit's actions that write or end a row, and what identifies the row besides the case: the actor, or a
# value of the action's details.
_PEOPLE: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "identities": (("patient.corrected",), ()),
    "entered": (("image.described",), ()),
    "verdicts": (("finding.judged", "finding.withdrawn"), ("finding", "actor")),
    "reviews": (("case.done", "case.reopened"), ()),
    "background": (("background.entered",), ("fact",)),
}
_KEPT_FOR_GOOD: Final = ("superseded", "remarks", "feedback_consents", "feedback_given")
"""Tables whose rows no later one replaces; a film given before only counts as given in the state of then."""
CALIBRATION: Final = (
    "machines",
    "scored",
    "confirmations",
    "shown",
    "standings",
    "agreements",
    "watched",
    "machine_scores",
)
"""Tables of local calibration; their rows stay when a case is deleted."""
_BEYOND_THE_CASE: Final = ("retired", *CALIBRATION)


def refill_clinical(connection: sqlite3.Connection, state: StateDir, report: RescueReport, damaged: set[str]) -> None:
    """Restore missing rows of the *damaged* tables of clinical.db, inside the caller's transaction."""
    wanted = [name for name in ("audit", *_PEOPLE, *_KEPT_FOR_GOOD, "retired", *CALIBRATION) if name in damaged]
    newest = backup_ring.find_newest_whole(state, state.clinical_db.name) if wanted else None
    if newest is None:
        return
    copy, path = newest
    with backup_ring.open_copy(path) as backup:
        for name in wanted:
            if not _columns(backup, name):  # an older version without this table
                continue
            count = _refill_audit(connection, backup) if name == "audit" else _refill_rows(connection, backup, name)
            report.kept[name] = report.kept.get(name, 0) + count
            report.lost[name] = max(0, report.lost.get(name, 0) - count)
            report.restored += count if name in ("audit", "remarks", *_PEOPLE) else 0
    report.backup = copy.at if report.restored else ""


def refill_accounts(connection: sqlite3.Connection, state: StateDir, report: RescueReport) -> None:
    """Restore lost accounts with their roles; the caller voids every password, which may be out of date."""
    newest = backup_ring.find_newest_whole(state, state.accounts_db.name)
    if newest is None:
        return
    copy, path = newest
    with backup_ring.open_copy(path) as backup:
        count = _insert(connection, backup, "users", None)
    report.kept["users"] = report.kept.get("users", 0) + count
    report.lost["users"] = max(0, report.lost.get("users", 0) - count)
    report.restored += count
    report.backup = copy.at if count else report.backup


def refill_exchange(connection: sqlite3.Connection, state: StateDir, report: RescueReport) -> None:
    """Restore the hospital's signed key; the stream itself begins again."""
    newest = backup_ring.find_newest_whole(state, state.exchange_db.name)
    if newest is not None:
        with backup_ring.open_copy(newest[1]) as backup:
            report.kept["hospital_keys"] += _insert(connection, backup, "hospital_keys", None)


def _refill_audit(connection: sqlite3.Connection, backup: sqlite3.Connection) -> int:
    copied: dict[int, audit.AuditEntry] = {}
    for row in backup.execute("SELECT * FROM audit ORDER BY sequence"):
        try:
            copied[row["sequence"]] = audit.parse_entry(row)
        except ValueError:
            continue
    return audit.fill_gaps(connection, copied)


def _refill_rows(connection: sqlite3.Connection, backup: sqlite3.Connection, name: str) -> int:
    followed = _cases_with_later_entries(connection, backup, name) if name in _PEOPLE else None
    return _insert(connection, backup, name, followed)


def _cases_with_later_entries(
    connection: sqlite3.Connection, backup: sqlite3.Connection, name: str
) -> set[Sequence[object]]:
    """The cases (with findings and doctors) for which the audit has an entry newer than the backup."""
    actions, columns = _PEOPLE[name]
    (head,) = backup.execute("SELECT COALESCE(MAX(sequence), 0) FROM audit").fetchone()
    rows = connection.execute(
        "SELECT case_reference, actor, details FROM audit WHERE sequence > ?"
        f" AND action IN ({', '.join('?' * len(actions))})",
        (head, *actions),
    )
    judged = [(row["case_reference"], {**json.loads(row["details"]), "actor": row["actor"]}) for row in rows]
    return {(case, *(values.get(column) for column in columns)) for case, values in judged}


def _insert(
    connection: sqlite3.Connection, backup: sqlite3.Connection, name: str, followed: set[Sequence[object]] | None
) -> int:
    """Insert the rows of table *name* of *backup* whose key does not exist yet; returns how many."""
    mine = _columns(connection, name)
    columns = [column for column in _columns(backup, name) if column in mine]
    names = ", ".join(columns)
    statement = f"INSERT OR IGNORE INTO {name} ({names}) VALUES ({', '.join('?' * len(columns))})"
    of_case = "case_reference" in columns and name not in _BEYOND_THE_CASE
    key = ["case_reference", *(_PEOPLE[name][1] if name in _PEOPLE else ())]
    count = 0
    for row in backup.execute(f"SELECT {names} FROM {name}"):
        if of_case and not _is_here(connection, row["case_reference"]):
            continue
        if followed and tuple(row[column] for column in key) in followed:
            continue
        count += connection.execute(statement, list(row)).rowcount
    return count


def _is_here(connection: sqlite3.Connection, case: str) -> bool:
    return connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is not None


def _columns(connection: sqlite3.Connection, name: str) -> list[str]:
    return [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]

"""What replaces a damaged database: its newest whole copy, or an empty one, and what the rest of the box knows since.

- clinical.db: the copy, and every image file that it does not know.
- accounts.db: the copy, without sessions and one-time codes; passwords and locks that changed after it are void.
- exchange.db: always a new stream, in which the relay sends again what the hospital has not signed for.  Of the copy
  only the hospital's newest key is kept; it is signed, so the uplink can check that it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from firmware_app.appliance import backup_ring
from firmware_app.appliance.backup_ring import BackupCopy
from firmware_app.appliance.image_readmission import admit_files
from firmware_app.appliance.rescue_report import RescueReport
from firmware_app.cases import audit
from firmware_app.cases.accounts import Accounts, normalise_name
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.verdicts import DONE
from firmware_app.core import database_health
from firmware_app.core.state_dir import StateDir
from firmware_app.uplink.exchange.exchange_db import Exchange

ACTOR: Final = "box"
_ACCOUNT_NAMED: Final = ("user.added", "user.renewed", "user.disabled")  # the account is in the details
_ACCOUNT_ACTING: Final = ("password.changed", "claim.used")  # the account is the actor

Restore = Callable[[Path, StateDir, RescueReport], None]
"""Makes the new database at the given path, and fills in the report."""


def restore_clinical(path: Path, state: StateDir, report: RescueReport) -> None:
    """The newest copy, or the present file where that is whole and only its log is damaged; then the image files."""
    if database_health.read_schema_version(state.clinical_db) and not database_health.find_damage(state.clinical_db):
        _restore_file(path, state.clinical_db)
    else:
        _restore_copy(path, state, state.clinical_db.name, report)
    fresh = ClinicalDatabase(path, state.clinical_db.parent)
    fresh.create()
    try:
        with fresh.database.transaction() as connection:
            connection.execute("PRAGMA defer_foreign_keys=ON")
            (known,) = connection.execute("SELECT COALESCE(MAX(number), 0) FROM rescues").fetchone()
            report.raise_number(known)
            if report.since is None:
                row = connection.execute("SELECT at FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()
                report.since = row[0] if row else ""
            admit_files(connection, state, report)
            _reopen_cases(connection, report)
            report.again = fresh.count_unread()
            _record(connection, report)
    finally:
        fresh.database.close()


def restore_accounts(path: Path, state: StateDir, report: RescueReport) -> None:
    """Accounts with their passwords, as far as they can be trusted; all sessions end.

    Without a copy nobody gets in: the first account needs the code that `lantern` shows at the box.
    """
    copy = _restore_copy(path, state, state.accounts_db.name, report)
    fresh = Accounts(path)
    fresh.create()
    try:
        with fresh.database.transaction() as connection:
            connection.execute("DELETE FROM sessions")
            connection.execute("DELETE FROM claims")  # one that was used after the copy would be good again
            changes = _list_account_changes(copy, state) if copy is not None else []
            if changes is None:
                connection.execute("UPDATE users SET password = NULL")
            for action, account in changes or ():
                connection.execute("UPDATE users SET password = NULL WHERE name = ?", (account,))
                if action == "user.disabled":
                    connection.execute("UPDATE users SET disabled = 1 WHERE name = ?", (account,))
    finally:
        fresh.database.close()


def restore_exchange(path: Path, state: StateDir, report: RescueReport) -> None:
    """A new stream with the hospital's newest key that a copy has."""
    fresh = Exchange(path)
    fresh.create()
    report.since = ""
    newest = backup_ring.find_newest_whole(state, state.exchange_db.name)
    try:
        if newest is None:
            return
        with backup_ring.open_copy(newest[1]) as copy, fresh.database.transaction() as connection:
            for row in copy.execute("SELECT id, hospital, serial, signed FROM hospital_keys"):
                connection.execute("INSERT INTO hospital_keys (id, hospital, serial, signed) VALUES (?, ?, ?, ?)", row)
    finally:
        fresh.database.close()


def _restore_copy(path: Path, state: StateDir, name: str, report: RescueReport) -> BackupCopy | None:
    """Put the newest whole copy of database *name* at *path*; nothing where there is none."""
    newest = backup_ring.find_newest_whole(state, name)
    if newest is None:
        report.since = ""
        return None
    copy, file = newest
    _make_file(path)
    shutil.copyfile(file, path)
    report.since = copy.at
    return copy


def _restore_file(path: Path, database: Path) -> None:
    """Put what SQLite reads of *database* and its log at *path*; the originals stay as they are."""
    _make_file(path)
    with (
        closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(path)) as target,
    ):
        source.backup(target)


def _make_file(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    try:
        os.fchmod(descriptor, 0o660)
    finally:
        os.close(descriptor)


def _reopen_cases(connection: sqlite3.Connection, report: RescueReport) -> None:
    """Let every case with a new image, and every one that waits for a doctor, get another revision.

    It has a higher number than any before, so the hospital, which counts cases, treats it as a repeat.  A case that a
    doctor is done with stays done.
    """
    connection.execute("UPDATE associations SET closed_at = ? WHERE closed_at IS NULL", (report.at,))
    report.repeated = connection.execute(
        "UPDATE cases SET fresh = 1 WHERE revision > 0 AND reference NOT IN (SELECT c.reference FROM cases c"
        f" JOIN reviews r ON r.case_reference = c.reference WHERE {DONE})"
    ).rowcount
    connection.execute(
        "UPDATE cases SET fresh = 1, touched = ? WHERE EXISTS"
        " (SELECT 1 FROM instances i WHERE i.case_reference = cases.reference AND i.state = 'waiting')",
        (time.monotonic(),),
    )
    connection.execute(
        "UPDATE cases SET fresh = 0 WHERE revision = 0"
        " AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.case_reference = cases.reference AND i.kind IS NULL)"
    )


def _record(connection: sqlite3.Connection, report: RescueReport) -> None:
    """Record the rescue in the new database: the floor of future revisions, and an entry in the audit."""
    said = json.dumps({"cause": report.cause, "since": report.since})
    connection.execute(
        "INSERT OR REPLACE INTO rescues (number, at, revision_floor, report) VALUES (?, ?, ?, ?)",
        (report.number, report.at, report.revision_floor, said),
    )
    audit.append_rescue(connection, ACTOR, report.number)


def _list_account_changes(copy: BackupCopy, state: StateDir) -> list[tuple[str, str]] | None:
    """(action, account) of every change after *copy*, by the audit; None where the audit cannot tell.

    It cannot where clinical.db is damaged, or was itself replaced by a copy since.
    """
    if database_health.has_damage_note(state.clinical_db):
        return None
    changes: list[tuple[str, str]] = []
    with suppress(sqlite3.Error, OSError, ValueError, KeyError):
        with backup_ring.open_copy(copy.folder / state.clinical_db.name) as before:
            (head,) = before.execute("SELECT COALESCE(MAX(sequence), 0) FROM audit").fetchone()
        with closing(sqlite3.connect(f"{state.clinical_db.absolute().as_uri()}?mode=ro", uri=True)) as now:
            rows = now.execute("SELECT action, actor, details FROM audit WHERE sequence > ?", (head,)).fetchall()
            (newest,) = now.execute("SELECT COALESCE(MAX(sequence), 0) FROM audit").fetchone()
        if newest < head:
            return None
        for action, actor, details in rows:
            if action == audit.RESCUED:
                return None
            if action in _ACCOUNT_NAMED:
                changes.append((action, normalise_name(str(json.loads(details)["account"]))))
            elif action in _ACCOUNT_ACTING:
                changes.append((action, normalise_name(actor)))
        return changes
    return None

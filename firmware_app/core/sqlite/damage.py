"""Whether a database file is damaged: checked at start, and noticed whenever SQLite reports it.

The process that notices damage leaves a note, the empty file ``….db-damaged``, beside the database.  Every process ends
when it sees the note, none opens the database any more, and the next start rebuilds it (`appliance.recovery`).
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from firmware_app.core.sqlite import wal
from firmware_app.core.state_dir import StateDir

log = logging.getLogger("lantern.store")

_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MOST_TORN: Final = 1  # a power cut may tear the last commit, which was then never acknowledged
BROKEN: Final = ".damaged"
"""The suffix of an incomplete file in images/, so that the same image can be sent again."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether *error* means that the file itself is damaged, and not a fault of the disk, a lock or a statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CODES


def noted(database: Path) -> bool:
    """Whether damage has been noticed since the last rescue."""
    return os.path.exists(_note(database))  # also where this process may not look  # noqa: PTH110


def noted_in(databases: Iterable[Path]) -> bool:
    """Whether damage was noticed in one of *databases*: processes that have it open should end."""
    return any(noted(database) for database in databases)


def note(database: Path) -> None:
    """Leave the note that *database* is damaged, for every process, now and after the next start."""
    if not noted(database):
        log.error("the database %s is damaged; it is closed, set aside and rebuilt", database.name)
        with suppress(OSError):  # a disk that cannot take the note cannot take a rebuilt database either
            os.close(os.open(_note(database), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660))


def forget(database: Path) -> None:
    """Delete the note: the database is whole again."""
    _note(database).unlink(missing_ok=True)


def find(database: Path) -> str | None:
    """What is wrong with *database*, a file that nobody has open; None when it is whole.  Changes nothing.

    If there is a note, the thorough check is made, which also compares every index with its table.
    """
    check = "integrity_check" if noted(database) else "quick_check"
    try:
        # Opened read-only, SQLite does not write the log into the file on close: the damaged files stay unchanged.
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        try:
            answer: str = connection.execute(f"PRAGMA {check}(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return str(error)
    return None if answer == "ok" else answer.splitlines()[-1]


def find_lost_images(state: StateDir, database: Path) -> str | None:
    """What SQLite silently lost at a damaged frame of the log; None without a sign of it.

    Unused commits alone are no damage: a writer that was killed before its commit was durable leaves them too.
    Together with images that have no row they count as lost.
    """
    log_file = database.with_name(f"{database.name}-wal")
    if not log_file.exists():
        return None
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # the read creates the wal-index
        behind = wal.commits_behind(database, log_file)
        if behind <= _MOST_TORN:
            return None
        log.warning("%d transactions behind the end of %s's log are not used", behind, database.name)
        if database != state.clinical_db:
            return None
        known = {row[0] for row in connection.execute("SELECT file FROM instances")}
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'leaving'").fetchone():
            known |= {row[0] for row in connection.execute("SELECT name FROM leaving")}
    finally:
        connection.close()
    images = (path for path in state.images.glob("*/*") if not path.name.endswith(BROKEN))
    lost = sum(str(path.relative_to(state.root)) not in known for path in images)
    return f"{behind} transactions in the write-ahead log cannot be read, {lost} images have no row" if lost else None


def _note(database: Path) -> Path:
    return database.with_name(database.name + "-damaged")

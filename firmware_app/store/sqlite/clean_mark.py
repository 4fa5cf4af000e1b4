"""What is known of a database without opening it: its schema version, and whether it was closed cleanly.

A clean end of the box leaves ``….db-clean`` beside the database, with a description of the file.  Opening the database
deletes it first.  After a power cut or a foreign change, it is missing or does not match; only then is the whole
database checked at start (`store.rescue`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from firmware_app.store.disk.layout import sync_directory
from firmware_app.store.sqlite import damage

_MAGIC: Final = b"SQLite format 3\0"


def version(database: Path) -> int:
    """The schema version, as SQLite reads it from the file and its log; 0 where there is none or it is damaged."""
    if not database.exists():
        return 0
    if not database.is_file():  # SQLite would call that a failing disk
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            known: int = connection.execute("PRAGMA user_version").fetchone()[0]
            return known
    except sqlite3.DatabaseError as error:
        if not damage.is_damage(error):
            raise
        return 0


def is_clean(database: Path) -> bool:
    """Whether *database* has not changed since the box ended cleanly, and still begins like a database."""
    try:
        if _mark(database).read_text("ascii") != _description(database):
            return False
        with database.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, UnicodeDecodeError):
        return False


def mark_clean(database: Path) -> None:
    """Mark *database*, which nobody has open, as cleanly closed, if all its data is in the file itself; durable."""
    try:
        text = _description(database)
        descriptor = os.open(
            _mark(database), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660
        )
        try:
            os.write(descriptor, text.encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(database.parent)
    except OSError:  # then the next start reads the whole database
        return


def unmark(database: Path) -> None:
    """Remove the mark before *database* is opened: from now on a power cut may damage it."""
    try:
        _mark(database).unlink()
        sync_directory(database.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EROFS:
            raise


def _mark(database: Path) -> Path:
    return database.with_name(database.name + "-clean")


def _description(database: Path) -> str:
    status = database.stat()
    log = database.with_name(database.name + "-wal")
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {log.stat().st_size if log.exists() else 0}\n"

"""What is known of a database without opening it: its schema version, and whether it was closed cleanly.

A clean end of the box leaves ``….db-clean`` beside the database, with a description of the file.  Opening the database
deletes it first.  After a power cut or a foreign change, it is missing or does not match; only then is the whole
database checked at start (`appliance.recovery`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from firmware_app.core.sqlite import damage
from firmware_app.core.state_dir import sync_directory

_MAGIC: Final = b"SQLite format 3\0"
_VERSION: Final = slice(60, 64)  # user_version, big-endian: https://www.sqlite.org/fileformat2.html, section 1.3
_LEAST: Final = slice(68, 72)  # application_id
_MOST_VERSIONS: Final = 9999
"""A higher number in a header is damage."""


def version(database: Path) -> int:
    """The schema version; 0 where there is none, or it is damaged."""
    return versions(database)[0]


def versions(database: Path) -> tuple[int, int]:
    """The schema version, and the lowest one whose code may use the file; 0 where there is none, or it is damaged.

    SQLite is asked only where there is a log, because it leaves files beside a database that it opens.  Where it cannot
    read the database, and where there is no log, the file's own header tells.
    """
    if not database.exists():
        return 0, 0
    if not database.is_file():  # SQLite would call that a failing disk
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    if _log_bytes(database):
        try:
            with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                known: int = connection.execute("PRAGMA user_version").fetchone()[0]
                least: int = connection.execute("PRAGMA application_id").fetchone()[0]
                return known, least
        except sqlite3.DatabaseError as error:
            if not damage.is_damage(error):
                raise
    with database.open("rb") as file:
        header = file.read(_LEAST.stop)
    if not header.startswith(_MAGIC):
        return 0, 0
    written, least = (int.from_bytes(header[place], "big") for place in (_VERSION, _LEAST))
    return written if written <= _MOST_VERSIONS else 0, least if least <= _MOST_VERSIONS else 0


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
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {_log_bytes(database)}\n"


def _log_bytes(database: Path) -> int:
    log = database.with_name(database.name + "-wal")
    return log.stat().st_size if log.exists() else 0

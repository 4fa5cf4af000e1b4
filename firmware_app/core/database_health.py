"""Whether a database file is damaged, what schema it has, and whether it was closed cleanly.

Damage is looked for at start, and noticed whenever SQLite reports it.  The process that notices damage leaves a note,
the empty file ``….db-damaged``, beside the database.  Every process ends when it sees the note, none opens the database
any more, and the next start replaces it (`appliance.rescue`).

A clean end of the box leaves ``….db-clean`` beside the database, with a description of the file.  Opening the database
deletes it first.  After a power cut or a foreign change, it is missing or does not match; only then is the whole
database checked at start.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from struct import Struct
from struct import error as struct_error
from typing import Final

from firmware_app.core.state_dir import StateDir, sync_directory, write_atomically

log = logging.getLogger("lantern.store")

_DAMAGE_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MOST_TORN: Final = 1  # a power cut may tear the last commit, which was then never acknowledged
DAMAGED_SUFFIX: Final = ".damaged"
"""The suffix of an incomplete file in images/, so that the same image can be sent again."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether *error* means that the file itself is damaged, and not a fault of the disk, a lock or a statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE_CODES


def has_damage_note(database: Path) -> bool:
    """Whether damage has been noticed since the last rescue."""
    return os.path.exists(_note_path(database))  # also where this process may not look  # noqa: PTH110


def has_any_damage_note(databases: Iterable[Path]) -> bool:
    """Whether damage was noticed in one of *databases*: processes that have it open should end."""
    return any(has_damage_note(database) for database in databases)


def write_damage_note(database: Path) -> None:
    """Leave the note that *database* is damaged, for every process, now and after the next start."""
    if not has_damage_note(database):
        log.error("the database %s is damaged; it is closed, set aside and replaced", database.name)
        with suppress(OSError):  # a disk that cannot take the note cannot take another database either
            os.close(os.open(_note_path(database), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660))


def remove_damage_note(database: Path) -> None:
    """Delete the note: the database is whole again."""
    _note_path(database).unlink(missing_ok=True)


def find_damage(database: Path) -> str | None:
    """What is wrong with *database*, a file that nobody has open; None when it is whole.  Changes nothing.

    If there is a note, the thorough check is made, which also compares every index with its table.
    """
    check = "integrity_check" if has_damage_note(database) else "quick_check"
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
        behind = count_ignored_commits(database, log_file)
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
    images = (path for path in state.images.glob("*/*") if not path.name.endswith(DAMAGED_SUFFIX))
    lost = sum(str(path.relative_to(state.root)) not in known for path in images)
    return f"{behind} transactions in the write-ahead log cannot be read, {lost} images have no row" if lost else None


def _note_path(database: Path) -> Path:
    return database.with_name(database.name + "-damaged")


_MAGIC: Final = b"SQLite format 3\0"
_VERSION: Final = slice(60, 64)  # user_version, big-endian: https://www.sqlite.org/fileformat2.html, section 1.3
_LEAST: Final = slice(68, 72)  # application_id
_MOST_VERSIONS: Final = 9999
"""A higher number in a header is damage."""


def read_schema_version(database: Path) -> int:
    """The schema version; 0 where there is none, or it is damaged."""
    return read_schema_versions(database)[0]


def read_schema_versions(database: Path) -> tuple[int, int]:
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
            if not is_damage(error):
                raise
    with database.open("rb") as file:
        header = file.read(_LEAST.stop)
    if not header.startswith(_MAGIC):
        return 0, 0
    written, least = (int.from_bytes(header[place], "big") for place in (_VERSION, _LEAST))
    return written if written <= _MOST_VERSIONS else 0, least if least <= _MOST_VERSIONS else 0


def was_closed_cleanly(database: Path) -> bool:
    """Whether *database* has not changed since the box ended cleanly, and still begins like a database."""
    try:
        if _clean_mark_path(database).read_text("ascii") != _describe_file(database):
            return False
        with database.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, UnicodeDecodeError):
        return False


def write_clean_mark(database: Path) -> None:
    """Mark *database*, which nobody has open, as cleanly closed, if all its data is in the file itself; durable."""
    try:
        write_atomically(_clean_mark_path(database), _describe_file(database).encode("ascii"), 0o660)
        sync_directory(database.parent)
    except OSError:  # then the next start reads the whole database
        return


def remove_clean_mark(database: Path) -> None:
    """Remove the mark before *database* is opened: from now on a power cut may damage it."""
    try:
        _clean_mark_path(database).unlink()
        sync_directory(database.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EROFS:
            raise


def _clean_mark_path(database: Path) -> Path:
    return database.with_name(database.name + "-clean")


def _describe_file(database: Path) -> str:
    status = database.stat()
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {_log_bytes(database)}\n"


def _log_bytes(database: Path) -> int:
    log = database.with_name(database.name + "-wal")
    return log.stat().st_size if log.exists() else 0


# The write-ahead log, https://www.sqlite.org/fileformat2.html, section 4.
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_DEFAULT_PAGE: Final = 4096
_LOG_HEADER: Final = Struct(">8L")  # magic, version, page size, number of the checkpoint, two salts, two checksums
_FRAME: Final = Struct(">6L")  # page, size of the database after a commit or 0, two salts, two checksums
_LAST_FRAME: Final = Struct("=L")  # in the wal-index, at 16, in the machine's own byte order
_LOG_MAGIC: Final = (0x377F0682, 0x377F0683)


def count_ignored_commits(database: Path, log_file: Path) -> int:
    """How many commits of the log follow the frames that SQLite uses.  *database* must be open in some connection.

    SQLite reads a log up to the first frame with wrong salts or a wrong checksum, and ignores all later commits.  The
    last frame that it uses is read from its wal-index.  If the log's header is damaged, every commit counts.
    """
    try:
        with log_file.open("rb") as file:
            data = file.read(_LOG_HEADER.size)
            if len(data) < _LOG_HEADER.size:
                return 0
            magic, _, size, _, *rest = _LOG_HEADER.unpack(data)
            salts = rest[:2] if magic in _LOG_MAGIC and size in _PAGE_SIZES else None
            step = _FRAME.size + (size if size in _PAGE_SIZES else _DEFAULT_PAGE)
            count, end = 0, file.seek(0, 2)
            for place in range(_LOG_HEADER.size + _count_used_frames(database) * step, end - step + 1, step):
                file.seek(place)
                _, committed, *rest = _FRAME.unpack(file.read(_FRAME.size))
                count += bool(committed) and salts in (None, rest[:2])
            return count
    except FileNotFoundError:
        return 0


def _count_used_frames(database: Path) -> int:
    try:
        with database.with_name(database.name + "-shm").open("rb") as index:
            index.seek(16)
            return int(_LAST_FRAME.unpack(index.read(_LAST_FRAME.size))[0])
    except (OSError, struct_error):
        return 0

"""What can be known of a database without opening it: the version that wrote it, and whether it was left in order.

Whoever ends the box in order leaves ``….db-clean`` beside the database, which says how the file looked then; whoever
opens the database takes it away first.  After a power cut, and after anybody else has touched the file, it is not there
or no longer true, and only then is the whole database read at start (`store.rescue`).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from firmware_app.store.disk.layout import sync_directory

_MAGIC: Final = b"SQLite format 3\0"
_VERSION: Final = slice(60, 64)  # https://www.sqlite.org/fileformat2.html#user_version_number
_WAL_HEADER: Final = 32
_FRAME: Final = 24
_MOST: Final = 9999  # a larger one is damage, and not a version


def version(database: Path) -> int:
    """The newest schema version that the file or its log tells of; 0 where neither can tell."""
    try:
        with database.open("rb") as file:
            found = _version_of(file.read(64))
    except FileNotFoundError:
        return 0
    return max(found, _version_in_log(database.with_name(database.name + "-wal")))


def left_in_order(database: Path) -> bool:
    """Whether nothing has touched *database* since the box was ended in order, and it still begins like a database."""
    try:
        if _mark(database).read_text("ascii") != _looks(database):
            return False
        with database.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, UnicodeDecodeError):
        return False


def in_order(database: Path) -> None:
    """The box ends, and nobody has *database* open: say so durably, if everything is in the file itself."""
    try:
        told = _looks(database)
        descriptor = os.open(
            _mark(database), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660
        )
        try:
            os.write(descriptor, told.encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(database.parent)
    except OSError:  # then the next start reads the whole database
        return


def not_in_order(database: Path) -> None:
    """Somebody opens *database*: from now on a power cut may leave it anyhow."""
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


def _looks(database: Path) -> str:
    found = database.stat()
    log = database.with_name(database.name + "-wal")
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {log.stat().st_size if log.exists() else 0}\n"


def _version_of(page: bytes) -> int:
    found = int.from_bytes(page[_VERSION], "big") if page.startswith(_MAGIC) and len(page) >= 64 else 0
    return found if found <= _MOST else 0


def _version_in_log(log: Path) -> int:
    """The newest version on any first page in the log's present generation."""
    newest = 0
    try:
        with log.open("rb") as file:
            header = file.read(_WAL_HEADER)
            page_bytes = int.from_bytes(header[8:12], "big")
            if len(header) < _WAL_HEADER or not 512 <= page_bytes <= 65536:
                return 0
            while len(frame := file.read(_FRAME)) == _FRAME:
                if frame[:4] == b"\0\0\0\1" and frame[8:16] == header[16:24]:
                    newest = max(newest, _version_of(file.read(64)))
                    file.seek(page_bytes - 64, os.SEEK_CUR)
                else:
                    file.seek(page_bytes, os.SEEK_CUR)
    except FileNotFoundError:
        pass
    return newest

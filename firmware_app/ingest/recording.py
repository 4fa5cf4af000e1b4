"""Database errors while an image is recorded: the answer to the sender, and whether the row may exist all the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_app.cases.clinical_db import Clinical
from firmware_app.core.errors import SpaceShort, StoreError
from firmware_app.core.state_dir import free_bytes
from firmware_app.dicom.spool import not_kept


@contextmanager
def database_errors(root: Path, reserve_bytes: int) -> Iterator[None]:
    """When the database cannot be written the object is not accepted: raises the error from `not_kept`."""
    try:
        yield
    except sqlite3.Error as error:
        free = free_bytes(root)
        if _primary(error) == sqlite3.SQLITE_IOERR and free < reserve_bytes:
            raise SpaceShort(free_mb=free // 1_000_000) from None
        raise not_kept(root, error) from None
    except StoreError as error:
        raise not_kept(root, error) from None


def surely_unrecorded(clinical: Clinical, error: sqlite3.Error | StoreError, sop_uid: str | None, sha256: str) -> bool:
    """Whether it is certain that the row whose write failed with *error* does not exist and will not appear.

    A COMMIT that reports an error may have taken effect, so a new connection looks for the row.  After an I/O error
    even that is not enough: a commit that is complete in the WAL but failed in its fsync comes back with the next
    recovery.  A file without a row only costs space; a row without its file is a lost image.
    """
    if _primary(error) == sqlite3.SQLITE_IOERR:
        return False
    try:
        clinical.database.close_thread()
        return clinical.find(sop_uid, sha256) is None
    except (sqlite3.Error, StoreError):
        return False


def _primary(error: sqlite3.Error | StoreError) -> int:
    """The primary result code; the higher bits of SQLite's extended code only refine it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

"""When the database fails under an image: what the sender is told, and whether the image may already be recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_app.errors import SpaceShort, StoreError
from firmware_app.intake.spool import not_kept
from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.disk.layout import free_bytes


@contextmanager
def database_errors(root: Path, reserve_bytes: int) -> Iterator[None]:
    """A database that cannot be written means the object is not ours: raises what `not_kept` tells."""
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
    """Whether the row whose writing ended with *error* is not there and never will be.

    A COMMIT that reports an error may have taken effect.  So a new connection is asked; and after an I/O error not
    even its no is believed, because a commit that is whole in the log but failed in its fsync is found again by the
    next recovery.  A file without a row costs its space; a row without a file, an image.
    """
    if _primary(error) == sqlite3.SQLITE_IOERR:
        return False
    try:
        clinical.database.close_thread()
        return clinical.find(sop_uid, sha256) is None
    except (sqlite3.Error, StoreError):
        return False


def _primary(error: sqlite3.Error | StoreError) -> int:
    """The error's class; the higher bits of the code only refine it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF

"""Copies of inbox.db beside it in ``copies/``: one an hour while `serve` runs, each whole, the newest few kept.

A copy gets its number by one rename, after it was read back completely; before that it does not exist.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hospital import keyring
from hospital.errors import COPY_NOT_MADE
from hospital.hospital_site import HospitalSite

KEPT: Final = 3
DUE_S: Final = 3300.0
"""A little less than an hour: `serve` looks every ten minutes."""
_NEW: Final = "new.db"
_RESERVE_BYTES: Final = 64_000_000
"""What stays free beside a copy, so that no copy keeps the hospital from receiving."""


def find_damage(inbox_db: Path) -> str | None:
    """What `PRAGMA quick_check` finds wrong; None when the file is sound or not there yet."""
    if not inbox_db.exists():
        return None
    try:
        with closing(sqlite3.connect(inbox_db, isolation_level=None)) as connection:
            answer: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else answer.splitlines()[-1]


def write_snapshot(inbox_db: Path, snapshot: Path) -> None:
    """Write the inbox, as it is between two of its transactions, to the empty file *snapshot*; durable on return.

    Raises OSError or sqlite3.Error, also where the result is not whole.
    """
    there = f"{inbox_db.absolute().as_uri()}?mode=rw"  # an inbox that was lost is not made here
    with closing(sqlite3.connect(there, uri=True)) as inbox, closing(sqlite3.connect(snapshot)) as copy:
        inbox.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").fetchone()
    if defect := find_damage(snapshot):
        raise sqlite3.DatabaseError(defect)
    with snapshot.open("rb") as file:
        os.fsync(file.fileno())


def list_copies(site: HospitalSite) -> list[Path]:
    """Every copy, the newest first."""
    return sorted((site.root / "copies").glob("inbox-[0-9]*.db"), reverse=True)


def format_copy_time(copy: Path) -> str:
    """When *copy* was made, by this machine's clock of then, for a sentence."""
    return f"{datetime.fromtimestamp(copy.stat().st_mtime, UTC):%Y-%m-%d %H:%M}"


def make_due_copy(site: HospitalSite) -> Path | None:
    """Make a copy unless the newest is younger than `DUE_S`.  Raises `COPY_NOT_MADE`."""
    copies = list_copies(site)
    if copies and 0 <= time.time() - copies[0].stat().st_mtime < DUE_S:
        return None
    folder = site.root / "copies"
    number = int(copies[0].stem.removeprefix("inbox-")) + 1 if copies else 1
    made, new = folder / f"inbox-{number:06d}.db", folder / _NEW
    try:
        keyring.make_folder(folder, 0o700)
        _make_room(site.inbox_db, copies)
        for ending in ("", "-journal", "-wal", "-shm"):  # of a run that was killed
            new.with_name(new.name + ending).unlink(missing_ok=True)
        keyring.write_private(new, b"")
        write_snapshot(site.inbox_db, new)
        new.rename(made)
        keyring.sync(folder)
        for old in list_copies(site)[KEPT:]:
            old.unlink()
    except (OSError, sqlite3.Error) as error:
        new.unlink(missing_ok=True)
        raise COPY_NOT_MADE(path=str(made), detail=str(error)[:200]) from None
    return made


def _make_room(inbox_db: Path, copies: list[Path]) -> None:
    """Remove old copies where the disk is short, but never the newest."""
    parts = [path for path in (inbox_db, inbox_db.with_name(inbox_db.name + "-wal")) if path.exists()]
    needed = sum(path.stat().st_size for path in parts) + _RESERVE_BYTES
    while (missing := needed - shutil.disk_usage(inbox_db.parent).free) > 0:
        if len(copies) < 2:
            raise OSError(errno.ENOSPC, f"{missing // 1_000_000 + 1} MB of disk are missing")
        copies.pop().unlink()

"""Checks before a rescue: the database is not of a newer version, and the disk has enough space."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from firmware_app.core.errors import RescueNeedsRoom, StoreTooNew
from firmware_app.core.sqlite import clean_mark
from firmware_app.core.sqlite.database import may_use
from firmware_app.core.state_dir import StateDir, free_bytes

_SPARE_BYTES: Final = 4_000_000


def check_version(state: StateDir, database: Path, *, rebuilding: bool = False) -> None:
    """Refuse the database of a newer version that this one may not use, and when *rebuilding* that of any newer one: a
    rebuild would lose what this version does not know.
    """
    from firmware_app.cases import clinical_db  # they are rebuilt with this module
    from firmware_app.cases.accounts import accounts_db  # they are rebuilt with this module
    from firmware_app.uplink.exchange import exchange_db  # they are rebuilt with this module

    known = {
        state.clinical_db: clinical_db.SCHEMA_VERSION,
        state.exchange_db: exchange_db.SCHEMA_VERSION,
        state.accounts_db: accounts_db.SCHEMA_VERSION,
    }[database]
    version, least = clean_mark.versions(database)
    if version > known and (rebuilding or not may_use(known, least)):
        raise StoreTooNew(database=database.name, found=version, known=known)


def check_room(state: StateDir, database: Path) -> None:
    """Check the space for a copy to read from and for the new file; the ballast is released for them."""
    parts = [path for path in (database, database.with_name(database.name + "-wal")) if path.exists()]
    needed = 3 * sum(path.stat().st_size for path in parts) + _SPARE_BYTES
    missing = needed - state.ballast_bytes - free_bytes(database.parent)
    if missing > 0:
        raise RescueNeedsRoom(database=database.name, missing_mb=missing // 1_000_000 + 1)

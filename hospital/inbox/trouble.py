"""Why the inbox cannot be written: asked of the file system at once, since a full disk has no room for the answer.

`LiveTrouble` carries it from the receiver to the page within the process of `serve`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from firmware_app.core.errors import HospitalDiskFull, HospitalDiskReadOnly, InboxError, InboxUnwritten

_FULL_BYTES: Final = 65_536
"""With less than this SQLite cannot begin a transaction in a new log."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def cause(inbox_db: Path, error: OSError | sqlite3.Error) -> InboxError:
    """What the person who looks after this computer must know of *error*, which came when *inbox_db* was written."""
    name, number = getattr(error, "sqlite_errorname", ""), getattr(error, "errno", None)
    try:
        room = os.statvfs(inbox_db.parent)
    except OSError as gone:
        return InboxUnwritten(path=str(inbox_db), detail=gone.strerror or str(gone))
    if room.f_flag & os.ST_RDONLY or number == errno.EROFS:
        return HospitalDiskReadOnly(path=str(inbox_db.parent))
    no_files = room.f_files > 0 and room.f_favail == 0
    if name == "SQLITE_FULL" or number in _FULL or room.f_bavail * room.f_frsize < _FULL_BYTES or no_files:
        return HospitalDiskFull(path=str(inbox_db.parent))
    return InboxUnwritten(path=str(inbox_db), detail=str(error)[:200])


class LiveTrouble:
    """Why nothing can be received just now; None where it can.  Set by the receiver, read by the page's threads."""

    def __init__(self) -> None:
        self.error: InboxError | None = None

"""Whether the file of every image on record is still on the disk, as it came.

Databases that were put back without their images, or a disk that lost files, look whole from inside the database.
"""

from __future__ import annotations

from pathlib import Path

from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.disk.layout import StateDir


def lost(clinical: Clinical, state: StateDir) -> int:
    """How many images on record have no file, or one of another length.  Only looks; a file that may not be looked at
    counts as there."""
    rows = clinical.database.connection.execute("SELECT reference, file, bytes FROM instances").fetchall()
    gone = [row["reference"] for row in rows if not is_there(state.root / row["file"], row["bytes"])]
    known = "SELECT 1 FROM instances WHERE reference = ?"  # what retention deletes meanwhile has no row any more
    return sum(clinical.database.connection.execute(known, (one,)).fetchone() is not None for one in gone)


def is_there(path: Path, size: int) -> bool:
    """Whether *path* is a file of *size* bytes, or may not be looked at."""
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True

"""Whether every recorded image still has its file on the disk, with its original size.

The database alone does not show that it was restored without its images, or that the disk lost files.
"""

from __future__ import annotations

from pathlib import Path

from firmware_app.cases.clinical_db import Clinical
from firmware_app.core.state_dir import StateDir


def lost(clinical: Clinical, state: StateDir) -> int:
    """How many recorded images have no file, or one of another size.  A file that this process may not see counts as
    present."""
    rows = clinical.database.connection.execute("SELECT reference, file, bytes FROM instances").fetchall()
    gone = [row["reference"] for row in rows if not is_there(state.root / row["file"], row["bytes"])]
    known = "SELECT 1 FROM instances WHERE reference = ?"  # retention may have deleted it meanwhile, with its row
    return sum(clinical.database.connection.execute(known, (one,)).fetchone() is not None for one in gone)


def is_there(path: Path, size: int) -> bool:
    """Whether *path* is a file of *size* bytes, or this process may not see it."""
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True

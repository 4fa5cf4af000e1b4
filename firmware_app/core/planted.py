"""Writes under a name where another user of the folder may have planted something, such as a link or a folder: it is
moved out of the way, and never opened or followed."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

log = logging.getLogger("lantern.state")


def clear_away(path: Path) -> None:
    """Free the name *path*, whatever has it.  A folder that is not empty is renamed, not deleted: that could take as
    long as whoever made it likes."""
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        try:
            path.rmdir()
        except OSError:
            path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}"))


def put_in_place(fresh: Path, path: Path) -> None:
    """Give the file *fresh* the name *path* in one step, also where a folder stands there.  Raises `OSError`."""
    try:
        fresh.replace(path)
    except IsADirectoryError:
        clear_away(path)
        log.warning("%s was not a file; it was moved out of the way", path.name)
        fresh.replace(path)

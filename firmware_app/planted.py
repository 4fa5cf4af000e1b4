"""What stands under a name that the box will write, put there by whoever else may write that folder: it is put out of
the way, and never opened or followed."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

log = logging.getLogger("lantern.state")


def clear_away(path: Path) -> None:
    """Free this name, whatever it stands for.  A folder with something in it is put aside as it is: whoever made it
    decides how long it would take to delete."""
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
        log.warning("%s was no file, and was put out of the way", path.name)
        fresh.replace(path)

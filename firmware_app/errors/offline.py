"""`lantern read` lacks something that is nobody's image."""

from __future__ import annotations

from firmware_app.errors.base import LanternError
from firmware_app.language import N_


class OfflineError(LanternError):
    """Files cannot be read here and now."""


class NothingToRead(OfflineError):
    code = "read.nothing"
    sentence = N_(
        "There is no file to read in what was named. Check the path, and that the stick is plugged in and mounted."
    )


class TemporaryUnusable(OfflineError):
    code = "read.temporary"
    sentence = N_(
        "The folder for temporary files, {folder}, cannot be used: {detail}. Name another one in front of the command: "
        "TMPDIR=/path/to/folder lantern read …"
    )
    folder: str
    detail: str


class TemporaryFull(OfflineError):
    code = "read.temporary_full"
    sentence = N_(
        "The folder for temporary files, {folder}, is too small: it has {free_mb} MB left, and {kept_mb} MB must stay "
        "free. Name a larger one in front of the command: TMPDIR=/path/to/folder lantern read …"
    )
    folder: str
    free_mb: int
    kept_mb: int

"""The reports that a doctor has signed, as they were first printed: the same bytes whenever they are asked for again.

They lie in ``clinical/reports/CASE/``, and leave the box with their case.  A file's name holds the version, what was
signed and the language, so that a file that belongs to anything else is never taken for it.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_app.core.state_dir import StateDir, make_directory, sync_directory
from firmware_app.core.whole_files import read_plain, write_whole

log = logging.getLogger("lantern.reports")

FOLDER: Final = "clinical/reports"
LARGEST_BYTES: Final = 4_000_000
_DIGITS: Final = 16
_BEGINS: Final = b"%PDF-"
_ENDS: Final = b"%%EOF"


@dataclass(frozen=True, slots=True)
class SignedReport:
    """The place of one signed report; `signed_state` is the digest of what was signed."""

    state: StateDir
    case: str
    version: int
    signed_state: str
    language: str

    @property
    def path(self) -> Path:
        name = f"{self.version:04}-{self.signed_state[:_DIGITS]}.{self.language}.pdf"
        return self.state.root / FOLDER / self.case / name

    def read(self) -> bytes | None:
        """Its bytes; None where it was never printed, or where the disk lost a part of it."""
        with suppress(OSError):
            data, _ = read_plain(self.path, LARGEST_BYTES)
            if data.startswith(_BEGINS) and data.rstrip().endswith(_ENDS):
                return data
        return None

    def keep(self, data: bytes) -> None:
        """Write it durably; a disk that takes no more only means that it is made again next time."""
        folder = self.path.parent
        try:
            make_directory(folder.parent)
            make_directory(folder)
            write_whole(self.path, data, 0o660)
            sync_directory(folder)
        except OSError as error:
            log.warning("a signed report could not be kept: %s", os.strerror(error.errno or 0))

"""The newest of the images that come to the box over DICOM, for `lantern watch dicom`."""

from __future__ import annotations

import time
from typing import Final

from firmware_app.cases import newcomers
from firmware_app.cases.clinical_db import Clinical
from firmware_app.core.state_dir import StateDir
from firmware_app.reading.bedside.watching import Arrival

POLL_S: Final = 0.025


class Newest:
    """The images of *modality* that come from now on; the reader reads each of them besides."""

    def __init__(self, clinical: Clinical, state: StateDir, modality: str) -> None:
        self._database, self._root, self._modality = clinical.database, state.root, modality
        self._seen = newcomers.last(clinical.database)
        self._mark: object = None
        self._came = self._dropped = 0

    def newest(self) -> Arrival | None:
        """The newest that has come since the last call; None, after `POLL_S`, where none has."""
        now = self._database.change_mark()
        fresh = newcomers.since(self._database, self._seen, self._modality) if now != self._mark else []
        self._mark = now
        if not fresh:
            time.sleep(POLL_S)
            return None
        self._came, self._dropped = self._came + len(fresh), self._dropped + len(fresh) - 1
        self._seen = fresh[-1].sequence
        return Arrival(self._root / fresh[-1].file, time.monotonic(), self._came, self._dropped)

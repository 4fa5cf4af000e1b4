"""Lays the objects of a case into ``results/``, from where the gateway gives them to viewers over DICOMweb.

A file lies there, with its description beside it, before its row exists, and is removed after its row.  So a kill
leaves files without rows at most, which the next start removes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from firmware_app.core.settings import DicomwebSection
from firmware_app.core.sqlite.database import Database
from firmware_app.core.state_dir import StateDir, make_directory, sync_directory
from firmware_app.dicom.web.offered import OfferedResult
from firmware_app.results.dicom_objects.description import SUFFIX
from firmware_app.results.queue.offered import QUEUE, OfferedResults

_MB = 1_000_000


class Offering:
    """What one box offers.  Used by one thread."""

    def __init__(self, state: StateDir, database: Database, settings: DicomwebSection) -> None:
        self._root, self._offered, self._settings = state.results, OfferedResults(database), settings

    @property
    def names(self) -> tuple[str, ...]:
        """Its name in the queue; none where viewers are given nothing."""
        return (QUEUE,) if self._settings.gives else ()

    def offer(self, case: str, version: int, files: Sequence[Path]) -> None:
        """Offer the objects in *files*, each with its description beside it, instead of the case's earlier ones."""
        folder = self._root / case
        make_directory(folder)
        made = [_laid(path, folder) for path in files]
        for changed in (folder, self._root):
            sync_directory(changed)
        self._offered.put(case, version, made)
        self._offered.bound(self._settings.results_mb * _MB)
        self.tidy()

    def tidy(self) -> None:
        """Remove the files of what is offered no more."""
        if not self._settings.gives and self._offered.files():
            self._offered.withdraw_all()
        there = {str(path.relative_to(self._root)) for path in self._root.glob("*/*.dcm")}
        for name in there - self._offered.files():
            clear(self._root / name)


def clear(path: Path) -> None:
    """Remove an object, its description, and its folder when nothing else is in it."""
    path.unlink(missing_ok=True)
    path.with_suffix(SUFFIX).unlink(missing_ok=True)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()


def _laid(path: Path, folder: Path) -> OfferedResult:
    described = path.with_suffix(SUFFIX)
    said = json.loads(described.read_text("utf-8"))
    attributes = said["attributes"]
    study, series, sop = (attributes[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    target = folder / f"{sop}{path.suffix}"
    for source in (path, described):
        with suppress(FileExistsError):  # under one UID are the same bytes always
            os.link(source, target.with_suffix(source.suffix))
    size = target.stat().st_size + target.with_suffix(SUFFIX).stat().st_size
    return OfferedResult(
        folder.name, study, series, sop, f"{folder.name}/{target.name}", size, attributes, said["bulk"]
    )

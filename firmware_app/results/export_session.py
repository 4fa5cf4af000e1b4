"""The frame of every export: its checks, its beginning and its end, in whatever form the case leaves the appliance.

Before any file is opened, the session checks that exports are enabled and that the target is free, and the audit
records who exports what. At the end the audit records the result: done, stopped, or unknown.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from firmware_app.cases.exports import DONE, STOPPED, UNKNOWN, ExportAudit, ExportImage, Exports, remove_stale_stages
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, retry_with_ballast
from firmware_app.results.errors import (
    EXPORT_FOLDER_MISSING,
    EXPORT_FOLDER_OWN,
    EXPORT_NOT_A_FOLDER,
    EXPORT_OFF,
    EXPORT_UNSURE,
    ExportFolderUnusable,
    ExportThere,
    ExportUnrecorded,
)

log = logging.getLogger("lantern.export")

_BY_HAND: Final = "Ctrl-C"  # or a closed terminal


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """The result for one image: the name of its file, or why it was not exported."""

    instance: str
    file: str | None
    facts: Mapping[str, Any]
    reason: Reason | None = None


@dataclass(slots=True)
class ExportSession:
    """An export that is under way."""

    images: tuple[ExportImage, ...]
    final: Path
    outcomes: tuple[ExportOutcome, ...] = ()
    is_named: bool = False
    """Whether the final rename was begun: from then on the export may exist."""
    is_whole: bool = False
    """Whether everything is done except the audit's last entry."""

    @property
    def left(self) -> int:
        """The number of exported images."""
        return sum(one.file is not None for one in self.outcomes)

    @property
    def written(self) -> Path | None:
        return self.final if self.left else None


@contextmanager
def start_export(
    config: Config, exports: Exports, case: str, folder: Path, name: str, *, person: str, looked: bool, **marks: int
) -> Iterator[ExportSession]:
    """The frame of every export: checks that it is allowed, and records its beginning and its end in the audit.

    Raises `EXPORT_OFF`, `CaseUnknown`, `ExportThere`, `ExportFolderUnusable`, `EXPORT_HELD` or `StateUnusable` before
    the block, `ExportUnrecorded` after it, and `EXPORT_UNSURE` if it was stopped during the final rename.
    """
    if not config.export.enabled:
        raise EXPORT_OFF()
    images = exports.images(case)
    export = ExportSession(images, check_target(folder, name, config.state.dir))
    exports.close_left()
    remove_stale_stages(StateDir(config.state.dir))
    with exports.under_way():
        telling = exports.telling(case, person, **marks)
        try:
            telling.begin(images=len(images), looked=int(looked))
            yield export
            export.is_whole = True
            _record_done(config, telling, export)
        except ExportUnrecorded:
            raise
        except BaseException as error:  # also KeyboardInterrupt: the audit must record it
            if export.is_whole and isinstance(error, KeyboardInterrupt):  # too late: the export is complete
                _record_done(config, telling, export)
                return
            is_unsure = export.is_named and not isinstance(error, ExportThere)
            try:
                telling.end(UNKNOWN if is_unsure else STOPPED)
            except sqlite3.Error as unkept:  # the first error is the one reported; the audit entry stays open
                log.error("the audit could not be told how an export ended: %s", str(unkept))
            if is_unsure and isinstance(error, ExportFolderUnusable | KeyboardInterrupt):
                detail = error.detail if isinstance(error, ExportFolderUnusable) else _BY_HAND
                raise EXPORT_UNSURE(path=str(export.final), detail=detail) from None
            raise


def _record_done(config: Config, telling: ExportAudit, export: ExportSession) -> None:
    counts = {"exported": export.left, "refused": len(export.outcomes) - export.left}
    try:
        retry_with_ballast(StateDir(config.state.dir), lambda: telling.end(DONE, **counts))
    except sqlite3.Error as error:
        if not export.left:
            raise
        raise ExportUnrecorded(
            left=export.left, total=len(export.outcomes), path=str(export.final), detail=str(error)
        ) from None


def check_target(folder: Path, name: str, state: Path) -> Path:
    """The path of *name* in *folder*; raises before any work where nothing can be written there."""
    try:
        if not os.path.lexists(folder):
            raise EXPORT_FOLDER_MISSING(path=str(folder))
        if folder.is_symlink() or not folder.is_dir():
            raise EXPORT_NOT_A_FOLDER(path=str(folder))
        if folder.resolve().is_relative_to(state.resolve()):
            raise EXPORT_FOLDER_OWN(path=str(folder))
        if os.path.lexists(folder / name):
            raise ExportThere(path=str(folder / name))
    except OSError as error:
        raise ExportFolderUnusable(path=str(folder), detail=error.strerror or str(error)) from None
    return folder / name

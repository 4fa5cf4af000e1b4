"""How a case leaves the box: every export has this beginning and this end, whatever it is written as between them.

Before anything is opened it is allowed, its place is free, and the audit knows who takes what.  At the end the audit is
told what came of it: it is done, it was stopped, or nobody can know.
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

from firmware_app.config import Config
from firmware_app.errors import ExportFolderUnusable, ExportOff, ExportThere, ExportUnrecorded, ExportUnsure
from firmware_app.records import Reason
from firmware_app.store.clinical.exports import DONE, STOPPED, UNKNOWN, ExportImage, Exports, Telling, sweep_stages
from firmware_app.store.disk.ballast import with_ballast
from firmware_app.store.disk.layout import StateDir

log = logging.getLogger("lantern.export")

_BY_HAND: Final = "Ctrl-C"  # or a closed terminal


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """What became of one image: the name of its file, or why it stayed."""

    instance: str
    file: str | None
    facts: Mapping[str, Any]
    reason: Reason | None = None


@dataclass(slots=True)
class Leaving:
    """An export while it is made."""

    images: tuple[ExportImage, ...]
    final: Path
    outcomes: tuple[ExportOutcome, ...] = ()
    is_named: bool = False
    """Whether it was about to get its name: from then on nobody can say that nothing left."""
    is_whole: bool = False
    """Whether all is done but the last line of the audit."""

    @property
    def left(self) -> int:
        """How many images."""
        return sum(one.file is not None for one in self.outcomes)

    @property
    def written(self) -> Path | None:
        return self.final if self.left else None


@contextmanager
def leaving(
    config: Config, exports: Exports, case: str, folder: Path, name: str, *, person: str, looked: bool, **marks: int
) -> Iterator[Leaving]:
    """Around every export: it is allowed, its place is free, and the audit is told of its beginning and its end.

    Raises `ExportOff`, `CaseUnknown`, `ExportThere`, `ExportFolderUnusable`, `ExportHeld` or `StateUnusable` before,
    `ExportUnrecorded` after it, and `ExportUnsure` in between.
    """
    if not config.export.enabled:
        raise ExportOff
    images = exports.images(case)
    export = Leaving(images, place(folder, name, config.state.dir))
    exports.close_left()
    sweep_stages(StateDir(config.state.dir))
    with exports.under_way():
        telling = exports.telling(case, person, **marks)
        try:
            telling.begin(images=len(images), looked=int(looked))
            yield export
            export.is_whole = True
            _tell_done(config, telling, export)
        except ExportUnrecorded:
            raise
        except BaseException as error:  # also KeyboardInterrupt: the audit must not stay silent about it
            if export.is_whole and isinstance(error, KeyboardInterrupt):  # too late: there is nothing left to stop
                _tell_done(config, telling, export)
                return
            is_unsure = export.is_named and not isinstance(error, ExportThere)
            try:
                telling.end(UNKNOWN if is_unsure else STOPPED)
            except sqlite3.Error as unkept:  # what went wrong before is what is told; the beginning stays open
                log.error("the audit could not be told how an export ended: %s", str(unkept))
            if is_unsure and isinstance(error, ExportFolderUnusable | KeyboardInterrupt):
                detail = error.detail if isinstance(error, ExportFolderUnusable) else _BY_HAND
                raise ExportUnsure(path=str(export.final), detail=detail) from None
            raise


def _tell_done(config: Config, telling: Telling, export: Leaving) -> None:
    counts = {"exported": export.left, "refused": len(export.outcomes) - export.left}
    try:
        with_ballast(StateDir(config.state.dir), lambda: telling.end(DONE, **counts))
    except sqlite3.Error as error:
        if not export.left:
            raise
        raise ExportUnrecorded(
            left=export.left, total=len(export.outcomes), path=str(export.final), detail=str(error)
        ) from None


def place(folder: Path, name: str, state: Path) -> Path:
    """Where what is called *name* goes; refused before any work where that cannot be."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            raise ExportFolderUnusable(path=str(folder), detail="it is not a folder")
        if folder.resolve().is_relative_to(state.resolve()):
            raise ExportFolderUnusable(path=str(folder), detail="it is the box's own")
        if os.path.lexists(folder / name):
            raise ExportThere(path=str(folder / name))
    except OSError as error:
        raise ExportFolderUnusable(path=str(folder), detail=error.strerror or str(error)) from None
    return folder / name

"""The one way in which a case leaves the box, whatever its form and destination.

Before any image is opened, the session checks that exports are enabled and that nothing lies at the target, and the
audit records who exports what. A destination writes into a fresh folder; `ExportSession.publish` gives the finished
file or folder its final name when it is durable, so an interrupted export leaves nothing that looks complete. At the
end the audit records the result: done, stopped, or unknown.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.exports import DONE, STOPPED, UNKNOWN, ExportAudit, ExportImage, Exports, lock_exports
from firmware_app.core.records import Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes, retry_with_ballast, sync_directory
from firmware_app.results.errors import (
    EXPORT_CASE_TOO_LARGE,
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
_STAGE: Final = ".exporting-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What a person asks for: *case* to the folder or file *to* (None: to a server).

    *looked*: the person has looked at every image, and no text in the pictures names anybody.
    """

    config: Config
    clinical: ClinicalDatabase
    case: str
    person: str
    to: Path | None = None
    looked: bool = False
    on_progress: Callable[[int, int], object] = lambda _done, _total: None

    @property
    def state(self) -> StateDir:
        return StateDir(self.config.state.dir)

    @property
    def folder(self) -> Path:
        """The folder *to*; raises `ValueError` for a destination that is none."""
        if self.to is None:
            raise ValueError("this destination needs a folder")
        return self.to


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """The result for one image or object: the name of its file, or why it was not exported."""

    instance: str
    file: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    reason: Reason | None = None


@dataclass(slots=True)
class ExportSession:
    """An export that is under way, to the path *final* (None: to a server)."""

    request: ExportRequest
    exports: Exports
    images: tuple[ExportImage, ...]
    final: Path | None
    outcomes: list[ExportOutcome] = field(default_factory=list)
    is_named: bool = False
    """Whether the final rename was begun: from then on the export may exist."""

    @property
    def left(self) -> int:
        """The number of exported images or objects."""
        return sum(outcome.file is not None for outcome in self.outcomes)

    @property
    def written(self) -> Path | None:
        """The path of what was exported, if anything was."""
        return self.final if self.left else None

    @property
    def target(self) -> Path:
        assert self.final is not None  # only a destination with a path writes files
        return self.final

    @contextmanager
    def open_fresh_folder(self) -> Iterator[Path]:
        """A new folder beside the target, deleted at the end with all that is still in it."""
        path = self.target.parent / f".lantern-export-{secrets.token_hex(4)}"
        try:  # entered before the folder exists, so that no signal comes in between
            path.mkdir(mode=0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):  # the stick was pulled out
                sync_directory(self.target.parent)

    def publish(self, made: Path) -> None:
        """Give the durable file or folder *made* its final name; what already has that name is kept."""
        self.is_named = True
        if os.path.lexists(self.target):
            raise ExportThere(path=str(self.target))
        made.rename(self.target)
        sync_directory(self.target.parent)

    def publish_file(self, data: bytes, kind: str) -> None:
        """Write the whole export, one file."""
        with self.open_fresh_folder() as fresh:
            write_durably(fresh / self.target.name, data)
            self.publish(fresh / self.target.name)
        self.outcomes.append(ExportOutcome(kind, self.target.name))


@contextmanager
def start_export(request: ExportRequest, final: Path | None, **marks: int) -> Iterator[ExportSession]:
    """The frame of every export: checks that it is allowed, and records its beginning and its end in the audit.

    Raises `EXPORT_OFF`, `CaseUnknown`, `ExportThere` or `ExportFolderUnusable` before the block, `ExportUnrecorded`
    after it, and `EXPORT_UNSURE` if it was stopped during the final rename.
    """
    if not request.config.export.enabled:
        raise EXPORT_OFF()
    exports = Exports(request.clinical.database)
    images = exports.list_images(request.case)
    if final is not None:
        _check_target(final, request.config.state.dir)
    session = ExportSession(request, exports, images, final)
    exports.close_abandoned()
    remove_stages(request.state)
    with exports.mark_in_progress():
        entries, is_whole = exports.create_audit(request.case, request.person, **marks), False
        try:
            entries.begin(images=len(images), looked=int(request.looked))
            with convert_target_errors(final.parent if final is not None else None):
                yield session
            is_whole = True
            _record_done(entries, session)
        except ExportUnrecorded:
            raise
        except BaseException as error:  # also Ctrl-C and signals: the audit must record them
            if is_whole and isinstance(error, KeyboardInterrupt | SystemExit):  # too late: the export is complete
                _record_done(entries, session)
                return
            is_unsure = session.is_named and not isinstance(error, ExportThere)
            try:
                entries.end(UNKNOWN if is_unsure else STOPPED)
            except sqlite3.Error as unkept:  # the first error is the one reported; the audit entry stays open
                log.error("the audit could not be told how an export ended: %s", str(unkept))
            if is_unsure and isinstance(error, ExportFolderUnusable | KeyboardInterrupt | SystemExit):
                detail = error.detail if isinstance(error, ExportFolderUnusable) else _BY_HAND
                raise EXPORT_UNSURE(path=str(final), detail=detail) from None
            raise


def _record_done(entries: ExportAudit, session: ExportSession) -> None:
    counts = {"exported": session.left, "refused": len(session.outcomes) - session.left}
    try:
        retry_with_ballast(session.request.state, lambda: entries.end(DONE, **counts))
    except sqlite3.Error as error:
        if not session.left:
            raise
        raise ExportUnrecorded(
            left=session.left, total=len(session.outcomes), path=str(session.final), detail=str(error)
        ) from None


def _check_target(final: Path, state: Path) -> None:
    """Raise before any work where nothing can be written at *final*."""
    folder = final.parent
    with convert_target_errors(folder):
        if not os.path.lexists(folder):
            raise EXPORT_FOLDER_MISSING(path=str(folder))
        if folder.is_symlink() or not folder.is_dir():
            raise EXPORT_NOT_A_FOLDER(path=str(folder))
        if folder.resolve().is_relative_to(state.resolve()):
            raise EXPORT_FOLDER_OWN(path=str(folder))
        if os.path.lexists(final):
            raise ExportThere(path=str(final))


@contextmanager
def convert_target_errors(folder: Path | None) -> Iterator[None]:
    """Report a file error in the block as one of the target's *folder*, if there is one."""
    try:
        yield
    except OSError as error:
        if folder is None:
            raise
        if error.errno == errno.EFBIG:
            raise EXPORT_CASE_TOO_LARGE(path=str(folder)) from None
        raise ExportFolderUnusable(path=str(folder), detail=error.strerror or str(error)) from None


def write_durably(path: Path, data: bytes) -> None:
    """Write the new file *path*; its content is durable on return, its name not yet."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# --- the box's own disk ---------------------------------------------------------------------------------------------


@contextmanager
def create_stage(state: StateDir) -> Iterator[Path]:
    """A private folder on the box's own disk for one object at a time, deleted at the end.

    It is in the root of the state directory, where on an installed box only root may write: in a folder of the clinical
    group another user could replace an object before it is sealed.
    """
    folder = Path(tempfile.mkdtemp(prefix=_STAGE, dir=state.root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stages(state: StateDir) -> None:
    """Remove the stages that killed exports left, unless an export is under way."""
    with suppress(OSError), lock_exports(state.clinical_db, exclusive=True) as alone:
        for folder in state.root.glob(f"{_STAGE}*") if alone else ():
            shutil.rmtree(folder, ignore_errors=True)


def limit_objects(request: ExportRequest, folders: Sequence[Path]) -> Callable[[], int | None]:
    """How many bytes the next object may have, asked before each, where it is written into each of *folders*; None
    where none of them is on the box's own disk.

    What stays, in the last folder, must leave the space that images need.  What is gone in seconds leaves only the
    ballast, so that a case can be exported when the disk is too full for new images.
    """
    root, retention = request.state.root, request.config.retention
    is_own = [folder.stat().st_dev == root.stat().st_dev for folder in folders]
    kept_mb = retention.high_water_free_mb if is_own[-1] else retention.ballast_mb
    return lambda: max(0, free_bytes(root) - kept_mb * 1_000_000) // sum(is_own) if any(is_own) else None

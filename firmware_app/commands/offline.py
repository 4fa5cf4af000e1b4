"""`lantern read`: runs the box's own door and reader on files, in a private state that is removed afterwards.

The same code does the same steps in the same order as on a clinic's box; only nothing is kept.  All files go through
the door first, because only then is it known which belong together; then one case after another is read and printed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.config import Config
from firmware_app.errors import (
    BackgroundUnknown,
    IntakeError,
    NotKept,
    OutputUnusable,
    SpaceShort,
    StateUnusable,
    TemporaryFull,
    TemporaryUnusable,
)
from firmware_app.intake.accept import Door
from firmware_app.intake.given_file import percent_encoded, readable
from firmware_app.intake.given_paths import Given, given
from firmware_app.reading.reader import Reader
from firmware_app.records import Case, FileRecord, FileStatus, Reason
from firmware_app.reports import case_line, overlay
from firmware_app.store.clinical import revisions
from firmware_app.store.clinical.clinical_db import Clinical
from firmware_app.store.disk.layout import StateDir, free_bytes, sync_directory

Progress = Callable[[int, int], None]
_SOURCE: Final = "read"
_NO_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)


def read_paths(
    paths: Sequence[Path],
    config: Config,
    pack: str | None = None,
    out: Path | None = None,
    on_progress: Progress | None = None,
    background: Mapping[str, bool] = MappingProxyType({}),
) -> Generator[Case, None, None]:
    """Read every regular file among and below *paths*; yields each case once, when it is final.

    Files that belong to no case come last, as one case without a reference.  *pack* names the model for images that do
    not say what they show (`PackUnknown` when there is none of that name).  *out* gets a folder per case with pictures
    and ``case.json`` (`OutputUnusable` when it cannot be written).  *on_progress* is called with (done, total) files,
    first with (0, total).  *background* holds of every patient, by the facts that the packs' rules ask for
    (`BackgroundUnknown` for another).  Raises `TemporaryUnusable` and `TemporaryFull` for the folder of the private
    state.
    """
    if out is not None:
        with _output_errors(out):  # before the work is done, not after it
            out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=out).close()
    files = list(given(paths))
    tell = on_progress or (lambda _done, _total: None)
    tell(0, len(files))
    with _signals_leave_tidily() as deaf, _private_state(config) as state, ExitStack() as tidying:
        clinical = Clinical(state.clinical_db, keeps_every_line=True)
        tidying.callback(clinical.database.close)
        clinical.create()
        reader = Reader(config, state, clinical, pack)  # its children start while the door works
        tidying.callback(reader.close)
        tidying.callback(deaf)
        door = Door(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
        refused = _take_in(files, door, config)
        reader.warm()
        _enter(background, clinical, reader.facts())
        loose: dict[int, FileRecord] = {}  # objects without an image, of studies without any
        for reference in clinical.references():
            while reader.step(reference):
                tell(len(files) - clinical.counts().waiting, len(files))
            clinical.close_revisions(0.0, advise=reader.advise)
            read = clinical.case(reference)
            if read.priority is None:
                loose |= {int(record.path): record for record in read.files}
                continue
            case = _named(read, files, refused)
            if out is not None:
                with _output_errors(out):
                    _write_case(case, state, out, config.box.language)
            yield case
            _forget_pictures(case, state)
        tell(len(files), len(files))
        if refused or loose:
            yield _homeless(files, refused, loose)


# --- the private state ----------------------------------------------------------------------------------------------


@contextmanager
def _signals_leave_tidily() -> Iterator[Callable[[], None]]:
    """Ctrl-C, SIGTERM and a closed terminal end the work but do not interrupt the clean-up.  In the main thread only.

    Yields a function that makes the process ignore all of them, for the clean-up after finished work.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def deaf() -> None:
        for one in handlers:
            signal.signal(one, signal.SIG_IGN)

    def leave(number: int, _frame: object) -> None:
        deaf()  # a second signal must not interrupt the clean-up
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    # A signal that is already ignored stays ignored: Ctrl-C for a script's background job, SIGHUP under nohup.
    present = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handlers = {one: before for one, before in present.items() if before is not signal.SIG_IGN}
    for one in handlers:
        signal.signal(one, leave)
    try:
        yield deaf
    finally:
        for one, before in handlers.items():
            signal.signal(one, before or signal.SIG_DFL)


@contextmanager
def _private_state(config: Config) -> Iterator[StateDir]:
    """A state in the folder for temporary files; raises `TemporaryUnusable` and `TemporaryFull` with its path."""
    place = _temporary_folder()
    try:
        made = tempfile.TemporaryDirectory(prefix="lantern-read-", dir=place, ignore_cleanup_errors=True)
    except OSError as error:
        raise TemporaryUnusable(folder=place, detail=error.strerror or str(error)) from None
    with made as folder:
        try:
            state = StateDir(Path(folder) / "state")
            state.prepare()
            yield state
        except StateUnusable as error:
            raise TemporaryUnusable(folder=place, detail=error.detail) from None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in _NO_ROOM:
                raise
            raise _full(place, config.retention.high_water_free_mb) from None


def _temporary_folder() -> str:
    """Where temporary files go.  A TMPDIR that cannot be used is an error; Python would silently use another folder."""
    named = os.environ.get("TMPDIR")
    if named and tempfile.tempdir is None:
        return str(Path(named).absolute())
    try:
        return tempfile.gettempdir()
    except OSError as error:  # no folder at all can be written
        raise TemporaryUnusable(folder="/tmp", detail=error.strerror or str(error)) from None


def _full(place: str, kept_mb: int) -> TemporaryFull:
    return TemporaryFull(folder=place, free_mb=free_bytes(Path(place)) // 1_000_000, kept_mb=kept_mb)


def _enter(background: Mapping[str, bool], clinical: Clinical, facts: Sequence[str]) -> None:
    """Note of every case what is known of its patient; a fact that no rule asks for is more likely a slip."""
    if unknown := [fact for fact in background if fact not in facts]:
        raise BackgroundUnknown(fact=unknown[0][:40], facts=", ".join(facts) or "-")
    for reference in clinical.references() if background else ():
        revisions.enter(clinical.database, reference, background, _SOURCE)


def _take_in(files: Sequence[Given], door: Door, config: Config) -> dict[int, Reason]:
    """Put all files through the door as one sender, each under its number; returns the refusals by number.

    The door's errors about the box's disk are replaced by those about the folder for temporary files.
    """
    refused: dict[int, Reason] = {}
    place, kept_mb = str(door.state.root.parent.parent), config.retention.high_water_free_mb
    association = door.clinical.open_association(_SOURCE)
    for number, one in enumerate(files):
        if one.reason is not None:
            refused[number] = one.reason
            continue
        try:
            door.accept_file(one.path, str(number), association)
        except SpaceShort as error:
            refused[number] = Reason.of(TemporaryFull(folder=place, free_mb=error.free_mb, kept_mb=kept_mb))
        except NotKept as error:
            refused[number] = Reason.of(TemporaryUnusable(folder=place, detail=error.detail))
        except IntakeError as error:
            refused[number] = Reason.of(error)
    door.clinical.close_association(association)
    return refused


# --- what became of them --------------------------------------------------------------------------------------------


def _named(case: Case, files: Sequence[Given], refused: dict[int, Reason]) -> Case:
    """*case* with file names in place of numbers; entries of *refused* that belong to it are moved into it."""
    records = []
    for record in case.files:
        number = int(record.path)
        refused.pop(number, None)
        records.append(_record(files[number].path, record))
    return replace(case, files=tuple(records))


def _homeless(files: Sequence[Given], refused: Mapping[int, Reason], loose: Mapping[int, FileRecord]) -> Case:
    """A case without a reference, of refused files that belong to no case and the *loose* objects without an image.

    It is complete even when the disk was too full for the door's journal."""
    records_of = {
        number: FileRecord("", None, FileStatus.REFUSED, reason) for number, reason in refused.items()
    } | dict(loose)
    records = tuple(_record(files[number].path, record) for number, record in sorted(records_of.items()))
    return Case(None, None, None, 0, None, records, (), (), ())


def _record(path: Path, record: FileRecord) -> FileRecord:
    return replace(record, path=readable(str(path)), path_bytes=percent_encoded(str(path)))


@contextmanager
def _output_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputUnusable(path=str(out), detail=error.strerror or str(error)) from None


def _write_case(case: Case, state: StateDir, out: Path, language: str) -> None:
    """A folder in *out* for the case: its frames as the viewer shows them, each heat map laid over its frame.

    ``case.json`` is written last: where it exists, the folder is complete and on the disk.
    """
    folder = out / str(case.reference)
    folder.mkdir(parents=True, exist_ok=True)
    for reading in case.readings:
        for instance in reading.instances:
            shown = state.display / instance
            for frame in sorted(int(path.stem.removeprefix("frame-")) for path in shown.glob("frame-*.json")):
                lesions = [one for one in reading.lesions if (one.instance, one.frame) == (instance, frame)]
                _save(overlay.marked_film_of(shown, frame, lesions), folder / f"{instance}-frame-{frame:03d}.png")
            strongest = reading.frames.strongest if reading.frames else {}
            for finding in reading.findings:
                code = finding.code
                _write_overlay(shown, code, strongest.get(code, 0), folder / f"{instance}-{code}.png")
    text = json.dumps(case_line.case_object(case, language), ensure_ascii=False, indent=2)
    _write_last(folder / "case.json", text + "\n")


def _write_last(path: Path, text: str) -> None:
    """Write *path* completely or not at all, also when the disk is full or the power fails; everything saved before it
    is on the disk by then.  Its mode follows the person's umask, like that of the pictures."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # after the rename there is nothing to remove
    for folder in (path.parent, path.parent.parent):
        sync_directory(folder)


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    with path.open("wb") as file:
        Image.fromarray(pixels).save(file, "PNG")
        file.flush()
        os.fsync(file.fileno())


def _write_overlay(shown: Path, code: str, frame: int, target: Path) -> None:
    heat = shown / f"{code}.png"
    if heat.exists() and (shown / f"frame-{frame:03d}.json").exists():
        _save(overlay.blend(overlay.film_of(shown, frame), overlay.heat_of(heat)), target)


def _forget_pictures(case: Case, state: StateDir) -> None:
    """Remove the rendered frames: they take more room than the images and are not needed again."""
    for reading in case.readings:
        for instance in reading.instances:
            shutil.rmtree(state.display / instance, ignore_errors=True)

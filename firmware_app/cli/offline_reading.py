"""`lantern read`: runs the box's own door and reader on files, in a private state that is removed afterwards.

The same code does the same steps in the same order as on a clinic's box; only nothing is kept.  All files go through
the door first, because only then is it known which belong together; then one case after another is read and printed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from firmware_app.cases import follow_up
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cli import output_folder
from firmware_app.cli.errors import BACKGROUND_UNKNOWN, TEMPORARY_UNUSABLE, OutputUnusable, TemporaryFull
from firmware_app.cli.output_folder import KeptResults, OutputFolder
from firmware_app.cli.terminal import stop_on_signals
from firmware_app.core.errors import StateUnusable
from firmware_app.core.records import Case, FileRecord, FileStatus, Reason
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, free_bytes
from firmware_app.dicom.errors import IntakeError, NotKept, SpaceShort
from firmware_app.ingest.input_files import InputFile, find_input_files, percent_encode, to_storable_text
from firmware_app.ingest.intake import ImageIntake
from firmware_app.reading.reader import Reader

Progress = Callable[[int, int], None]
_SOURCE: Final = "read"
_NO_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)


@dataclass(frozen=True, slots=True)
class SkippedFiles:
    """How many of the given files need not be read, and how many are read again, with other settings than before."""

    files: int
    outdated: int


def read_paths(
    paths: Sequence[Path],
    config: Config,
    pack: str | None = None,
    out: Path | None = None,
    on_progress: Progress | None = None,
    background: Mapping[str, bool] = MappingProxyType({}),
    on_skipped: Callable[[SkippedFiles], None] | None = None,
) -> Generator[Case, None, None]:
    """Read every regular file among and below *paths*; yields each case once, when it is final.

    Files that belong to no case come last, as one case without a reference.  *pack* names the model for images that do
    not say what they show (`PACK_UNKNOWN` when there is none of that name).  *out* gets a folder per case with pictures
    and ``case.json``, and the tables over all of them (`OutputUnusable` when it cannot be written).  What an earlier
    run with the same *out*, settings, models and version of Lantern has read is not read again: those cases come
    first, as they were, and *on_skipped* is told.  *on_progress* is called with (done, total) files, first with
    (0, total).  *background* holds of every patient, by the facts that the packs' rules ask for (`BACKGROUND_UNKNOWN`
    for another).  Raises `TEMPORARY_UNUSABLE` and `TemporaryFull` for the folder of the private state.
    """
    folder = None
    if out is not None:  # before the work is done, not after it
        folder = OutputFolder(out, output_folder.digest_settings(config, pack, background), config.box.language)
    files = list(find_input_files(paths))
    tell = on_progress or (lambda _done, _total: None)
    tell(0, len(files))
    digests = [output_folder.digest_file(file.path) if file.reason is None else "" for file in files] if folder else []
    kept = folder.match_kept(digests, [file.path for file in files]) if folder else KeptResults()
    unassigned: Case | None = None
    with stop_on_signals() as ignore_signals, _open_private_state(config) as state, ExitStack() as tidying:
        clinical = ClinicalDatabase(state.clinical_db, keeps_every_line=True)
        tidying.callback(clinical.database.close)
        clinical.create()
        if folder is not None:
            tidying.push(lambda kind, _error, _trace: _finish(folder, unassigned, kind))
        known = kept.files()
        # Its children start while the door works.
        reader = Reader(config, state, clinical, pack) if len(known) < len(files) or not known else None
        if reader is not None:
            tidying.callback(reader.close)
        tidying.callback(ignore_signals)
        door = ImageIntake(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
        refused = _admit_files(files, [one for one in range(len(files)) if one not in known], door, config)
        if known:
            studies = {clinical.load_case(reference).study_instance_uid for reference in clinical.list_references()}
            refused |= _admit_files(files, kept.reopen({study for study in studies if study}), door, config)
        if on_skipped is not None and folder is not None:
            on_skipped(SkippedFiles(len(kept.files()), folder.count_outdated(digests)))
        for note in kept.notes:
            assert folder is not None
            folder.keep(note)
            yield note.case
        if reader is None:
            tell(len(files), len(files))
            return
        reader.warm()
        _record_background(background, clinical, reader.list_facts())
        loose: dict[int, FileRecord] = {}  # objects without an image, of studies without any
        for reference in clinical.list_references():
            while reader.step(reference):
                tell(len(files) - clinical.count_queue().waiting, len(files))
            clinical.close_revisions(0.0, advise=reader.advise)
            read = clinical.load_case(reference)
            if read.priority is None:
                loose |= {int(record.path): record for record in read.files}
                continue
            case = _restore_file_names(read, files, refused)
            if folder is not None:
                folder.write(case, [digests[int(record.path)] for record in read.files], state)
            yield case
            _remove_rendered_frames(case, state)
        tell(len(files), len(files))
        if refused or loose:
            unassigned = _make_unassigned_case(files, refused, loose)
            yield unassigned


def _finish(folder: OutputFolder, unassigned: Case | None, kind: type[BaseException] | None) -> None:
    """The tables over all cases, also after Ctrl-C; not where the folder cannot be written."""
    if kind is None or not issubclass(kind, OutputUnusable):
        folder.finish(unassigned)


# --- the private state ----------------------------------------------------------------------------------------------


@contextmanager
def _open_private_state(config: Config) -> Iterator[StateDir]:
    """A state in the folder for temporary files; raises `TEMPORARY_UNUSABLE` and `TemporaryFull` with its path."""
    place = _find_temporary_folder()
    try:
        made = tempfile.TemporaryDirectory(prefix="lantern-read-", dir=place, ignore_cleanup_errors=True)
    except OSError as error:
        raise TEMPORARY_UNUSABLE(folder=place, detail=error.strerror or str(error)) from None
    with made as folder:
        try:
            state = StateDir(Path(folder) / "state")
            state.prepare()
            yield state
        except StateUnusable as error:
            raise TEMPORARY_UNUSABLE(folder=place, detail=error.detail) from None
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in _NO_ROOM:
                raise
            raise _make_temporary_full(place, config.retention.high_water_free_mb) from None


def _find_temporary_folder() -> str:
    """Where temporary files go.  A TMPDIR that cannot be used is an error; Python would silently use another folder."""
    named = os.environ.get("TMPDIR")
    if named and tempfile.tempdir is None:
        return str(Path(named).absolute())
    try:
        return tempfile.gettempdir()
    except OSError as error:  # no folder at all can be written
        raise TEMPORARY_UNUSABLE(folder="/tmp", detail=error.strerror or str(error)) from None


def _make_temporary_full(place: str, kept_mb: int) -> TemporaryFull:
    return TemporaryFull(folder=place, free_mb=free_bytes(Path(place)) // 1_000_000, kept_mb=kept_mb)


def _record_background(background: Mapping[str, bool], clinical: ClinicalDatabase, facts: Sequence[str]) -> None:
    """Note of every case what is known of its patient; a fact that no rule asks for is more likely a slip."""
    if unknown := [fact for fact in background if fact not in facts]:
        raise BACKGROUND_UNKNOWN(fact=unknown[0][:40], facts=", ".join(facts) or "-")
    for reference in clinical.list_references() if background else ():
        follow_up.enter_facts(clinical.database, reference, background, _SOURCE)


def _admit_files(
    files: Sequence[InputFile], numbers: Sequence[int], door: ImageIntake, config: Config
) -> dict[int, Reason]:
    """Put these files through the door as one sender, each under its number; returns the refusals by number.

    The door's errors about the box's disk are replaced by those about the folder for temporary files.
    """
    refused: dict[int, Reason] = {}
    place, kept_mb = str(door.state.root.parent.parent), config.retention.high_water_free_mb
    association = door.clinical.open_association(_SOURCE)
    for number in numbers:
        one = files[number]
        if one.reason is not None:
            refused[number] = one.reason
            continue
        try:
            door.accept_file(one.path, str(number), association)
        except SpaceShort as error:
            refused[number] = Reason.from_error(TemporaryFull(folder=place, free_mb=error.free_mb, kept_mb=kept_mb))
        except NotKept as error:
            refused[number] = Reason.from_error(TEMPORARY_UNUSABLE(folder=place, detail=error.detail))
        except IntakeError as error:
            refused[number] = Reason.from_error(error)
    door.clinical.close_association(association)
    return refused


# --- what became of them --------------------------------------------------------------------------------------------


def _restore_file_names(case: Case, files: Sequence[InputFile], refused: dict[int, Reason]) -> Case:
    """*case* with file names in place of numbers; entries of *refused* that belong to it are moved into it."""
    records = []
    for record in case.files:
        number = int(record.path)
        refused.pop(number, None)
        records.append(_rename_record(files[number].path, record))
    return replace(case, files=tuple(records))


def _make_unassigned_case(
    files: Sequence[InputFile], refused: Mapping[int, Reason], loose: Mapping[int, FileRecord]
) -> Case:
    """A case without a reference, of refused files that belong to no case and the *loose* objects without an image.

    It is complete even when the disk was too full for the door's journal."""
    records_of = {
        number: FileRecord("", None, FileStatus.REFUSED, reason) for number, reason in refused.items()
    } | dict(loose)
    records = tuple(_rename_record(files[number].path, record) for number, record in sorted(records_of.items()))
    return Case(
        reference=None,
        study_instance_uid=None,
        modality=None,
        revision=0,
        priority=None,
        files=records,
        readings=(),
        findings=(),
        lesions=(),
    )


def _rename_record(path: Path, record: FileRecord) -> FileRecord:
    return replace(record, path=to_storable_text(str(path)), path_bytes=percent_encode(str(path)))


def _remove_rendered_frames(case: Case, state: StateDir) -> None:
    """Remove the rendered frames: they take more room than the images and are not needed again."""
    for reading in case.readings:
        for instance in reading.instances:
            shutil.rmtree(state.display / instance, ignore_errors=True)

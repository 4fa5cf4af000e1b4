"""`lantern read`: the box's own door and reader over files, in a private state that is gone afterwards.

Everything that a clinic's box would do to an image is done here in the same order by the same code; only nothing stays.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image

from firmware_app.config import Config
from firmware_app.errors import IntakeError, OutputUnusable
from firmware_app.intake.accept import Door
from firmware_app.reading.reader import Reader
from firmware_app.records import Case
from firmware_app.reports import case_line, overlay
from firmware_app.store.clinical import Clinical
from firmware_app.store.layout import StateDir

Progress = Callable[[int, int], None]
_SOURCE: Final = "read"


def read_paths(
    paths: Sequence[Path],
    config: Config,
    pack: str | None = None,
    out: Path | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Case]:
    """Read every regular file among and below *paths*; yields each case once, then the files that belong to none.

    *pack* names the model for images that do not say what they show (`PackUnknown` when there is none of that name);
    *out* receives per case a folder with pictures and ``case.json`` (`OutputUnusable` when it cannot).  *on_progress*
    is told (done, total) files.
    """
    if out is not None:
        with _output_errors(out):  # before the work, not after it
            out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=out).close()
    files = list(_walk(paths))
    tell = on_progress or (lambda _done, _total: None)
    with (
        _sigterm_leaves_tidily(),
        tempfile.TemporaryDirectory(prefix="lantern-read-", ignore_cleanup_errors=True) as folder,
    ):
        state = StateDir(Path(folder) / "state")
        state.prepare()
        clinical = Clinical(state.clinical_db, keeps_every_line=True)
        clinical.create()
        reader = Reader(config, state, clinical, pack)  # its children start while the door is at work
        try:
            door = Door(state, clinical, config.retention.high_water_free_mb, config.dicom.max_object_mb)
            _take_in(files, door, clinical)
            _read_all(reader, clinical, len(files), tell)
            for case in clinical.cases():
                if out is not None:
                    with _output_errors(out):
                        _write_case(case, state, out, config.box.language)
                yield case
            homeless = clinical.homeless()
            if homeless is not None:
                yield homeless
        finally:
            reader.close()
            clinical.database.close()


def _walk(paths: Sequence[Path]) -> Iterator[Path]:
    """*paths* themselves and, for a directory, every regular file below it in order; links inside are not followed.

    Each file once, by the first path that leads to it.
    """
    seen: set[tuple[str, str]] = set()
    for path in paths:
        if not path.is_dir():
            if _is_new(seen, os.path.realpath(path.parent), path.name):
                yield path
            continue
        for folder, below, names in os.walk(path):
            below.sort()
            real = os.path.realpath(folder)
            for name in sorted(names):
                found = Path(folder, name)
                if stat.S_ISREG(found.lstat().st_mode) and _is_new(seen, real, name):
                    yield found


def not_followed(paths: Sequence[Path]) -> int:
    """How many links, pipes and devices lie in the directories among *paths*, which `read_paths` passes by."""
    found = 0
    for folder, below, names in (one for path in paths if path.is_dir() for one in os.walk(path)):
        found += sum(Path(folder, name).is_symlink() for name in below)
        found += sum(not stat.S_ISREG(Path(folder, name).lstat().st_mode) for name in names)
    return found


def _is_new(seen: set[tuple[str, str]], folder: str, name: str) -> bool:
    """Whether *name* in the real *folder* was not met before.  A link is itself, not what it points to."""
    known = (folder, name) in seen
    seen.add((folder, name))
    return not known


@contextmanager
def _sigterm_leaves_tidily() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does, so that nothing stays behind.  In the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the tidying
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _take_in(files: Sequence[Path], door: Door, clinical: Clinical) -> None:
    """Everything through the door, as one sender; what it refuses it has journalled itself."""
    association = clinical.open_association(_SOURCE)
    for path in files:
        try:
            door.accept_file(path, association=association)
        except IntakeError:
            continue
    clinical.close_association(association)


def _read_all(reader: Reader, clinical: Clinical, total: int, tell: Progress) -> None:
    reader.warm()
    while reader.step():
        tell(total - clinical.counts().waiting, total)
    clinical.close_revisions(0.0)
    tell(total, total)


@contextmanager
def _output_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputUnusable(path=str(out), detail=error.strerror or str(error)) from None


def _write_case(case: Case, state: StateDir, out: Path, language: str) -> None:
    """A folder of *out* for the case: its frames, the one that each heat map is of under it, and the JSON object."""
    folder = out / str(case.reference)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_text(
        json.dumps(case_line.case_object(case, language), ensure_ascii=False, indent=2) + "\n", "utf-8"
    )
    for reading in case.readings:
        for instance in reading.instances:
            shown = state.display / instance
            for frame in sorted(shown.glob("frame-*.png")):
                shutil.copyfile(frame, folder / f"{instance}-{frame.name}")
            strongest = reading.frames.strongest if reading.frames else {}
            for finding in reading.findings:
                code = finding.code
                _write_overlay(shown, code, strongest.get(code, 0), folder / f"{instance}-{code}.png")


def _write_overlay(shown: Path, code: str, frame: int, target: Path) -> None:
    heat = shown / f"{code}.png"
    if heat.exists() and (shown / f"frame-{frame:03d}.png").exists():
        Image.fromarray(overlay.blend(overlay.film_of(shown, frame), overlay.heat_of(heat))).save(target)

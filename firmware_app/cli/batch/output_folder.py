"""The folder of `lantern read --out`: a folder for each case, and over all of them JSON lines, a table and a page."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.cli.batch import resumption
from firmware_app.cli.batch.resumption import Kept, Note
from firmware_app.core.errors import OutputUnusable
from firmware_app.core.records import Case
from firmware_app.core.state_dir import StateDir, sync_directory
from firmware_app.results import case_line, contact_sheet, overlay, pictures, table

LINES: Final = "cases.jsonl"
TABLE: Final = "results.csv"
SHEET: Final = "index.html"
THUMBNAIL: Final = "thumbnail.jpg"
_THUMBNAIL_PX: Final = 480
_REFERENCE: Final = re.compile(r"c-[0-9a-f]+")


class OutputFolder:
    """*path*, made where it is not there; raises `OutputUnusable`, before any work is done.

    *key* says with what the cases are read (`resumption.key`).
    """

    def __init__(self, path: Path, key: str, language: str) -> None:
        self._path, self._key, self._language = path, key, language
        with self._errors():
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        self._notes = {note.reference: note for note in resumption.noted(path)}

    def kept(self, digests: Sequence[str], paths: Sequence[Path]) -> Kept:
        """What of the given files need not be read."""
        return resumption.kept(list(self._notes.values()), self._key, digests, paths)

    def outdated(self, digests: Sequence[str]) -> int:
        """How many of the given files were read with other settings, models or another version of Lantern."""
        old = {digest for note in self._notes.values() if note.key != self._key for digest in note.content}
        new = {digest for note in self._notes.values() if note.key == self._key for digest in note.content}
        return sum(digest in old - new for digest in digests)

    def keep(self, note: Note) -> None:
        """Take a case over as it is; only the names of its files and the language may be others than before."""
        with self._errors():
            path = self._path / note.reference / "case.json"
            text = self._object(note.case)
            if path.read_text("utf-8") != text:
                _write_last(path, text)
                self._note(note)
        self._notes[note.reference] = note

    def write(self, case: Case, digests: Sequence[str], state: StateDir) -> None:
        """A folder for the case: its frames as the viewer shows them, each heat map laid over its frame.

        ``case.json`` is written last: where it exists, the folder is complete and on the disk.  Cases that it replaces,
        since all their files are in it, are removed then.
        """
        with self._errors():
            folder = self._path / str(case.reference)
            folder.mkdir(parents=True, exist_ok=True)
            picture = _write_pictures(case, state, folder)
            _write_last(folder / "case.json", self._object(case))
            note = resumption.note(case, digests, self._key, picture)
            self._note(note)
            for old in [one for one in self._notes.values() if one.content and one.content <= note.content]:
                self._remove(old)
        self._notes[note.reference] = note

    def finish(self, homeless: Case | None) -> None:
        """Write the lines, the table and the page over all cases of the folder; *homeless* come last in them."""
        cases = [note.case for note in self._notes.values()]
        every = [*cases, *([homeless] if homeless is not None else [])]
        sheet = contact_sheet.page(every, self._pictures_of, self._language)
        with self._errors():
            lines = (json.dumps(case_line.case_object(case, self._language), ensure_ascii=False) for case in every)
            _write_last(self._path / LINES, "".join(f"{line}\n" for line in lines))
            _write_last(self._path / TABLE, table.csv(every, self._language), "utf-8-sig")
            _write_last(self._path / SHEET, sheet)

    def _pictures_of(self, case: Case) -> contact_sheet.Pictures | None:
        note = self._notes[str(case.reference)]
        if not note.picture:
            return None
        return contact_sheet.Pictures(f"{note.reference}/{THUMBNAIL}", f"{note.reference}/{quote(note.picture)}")

    def _object(self, case: Case) -> str:
        return json.dumps(case_line.case_object(case, self._language), ensure_ascii=False, indent=2) + "\n"

    def _note(self, note: Note) -> None:
        folder = self._path / resumption.FOLDER
        folder.mkdir(exist_ok=True)
        _write_last(folder / f"{note.reference}.json", resumption.written(note))

    def _remove(self, note: Note) -> None:
        """The case with its note; the note goes first, so that it never speaks of half a folder."""
        assert _REFERENCE.fullmatch(note.reference)
        del self._notes[note.reference]
        (self._path / resumption.FOLDER / f"{note.reference}.json").unlink(missing_ok=True)
        shutil.rmtree(self._path / note.reference)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputUnusable(path=str(self._path), detail=error.strerror or str(error)) from None


def _write_pictures(case: Case, state: StateDir, folder: Path) -> str:
    """Every frame and heat map of the case, and a thumbnail of the most telling; returns the name of that one."""
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
    for one in pictures.telling(case, lambda instance: state.display / instance, 1):
        name = one.heat if one.heat is not None and not one.lesions else f"frame-{one.frame:03d}"
        small = Image.fromarray(pictures.marked(one, state.display / one.instance)).convert("RGB")
        small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
        _keep(small, folder / THUMBNAIL, "JPEG", quality=85)
        return f"{one.instance}-{name}.png"
    return ""


def _write_overlay(shown: Path, code: str, frame: int, target: Path) -> None:
    heat = shown / f"{code}.png"
    if heat.exists() and (shown / f"frame-{frame:03d}.json").exists():
        _save(overlay.blend(overlay.film_of(shown, frame), overlay.heat_of(heat)), target)


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    _keep(Image.fromarray(pixels), path, "PNG")


def _keep(image: Image.Image, path: Path, kind: str, **more: int) -> None:
    with path.open("wb") as file:
        image.save(file, kind, **more)
        file.flush()
        os.fsync(file.fileno())


def _write_last(path: Path, text: str, encoding: str = "utf-8") -> None:
    """Write *path* completely or not at all, also when the disk is full or the power fails; everything saved before it
    is on the disk by then.  Its mode follows the person's umask, like that of the pictures."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding=encoding, newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # after the rename there is nothing to remove
    for folder in (path.parent, path.parent.parent):
        sync_directory(folder)

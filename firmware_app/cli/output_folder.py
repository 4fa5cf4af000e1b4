"""The folder of `lantern read --out`: a folder for each case, and over all of them JSON lines, a table and a page.

A later `lantern read` with the same ``--out`` does not read again what was read already.  Files are recognised by
their content: one note for each case lies in ``OUT/.lantern``, written when the case's folder is complete.  It counts
only for the same settings, models and version of Lantern.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from firmware_app.cli.errors import OutputUnusable
from firmware_app.core.records import Case, FileRecord, FileStatus
from firmware_app.core.settings import Config
from firmware_app.core.state_dir import StateDir, sync_directory
from firmware_app.core.version import version
from firmware_app.dicom.errors import IntakeError
from firmware_app.ingest.input_files import close_quietly, open_regular_file, percent_encode, read_at, to_storable_text
from firmware_app.packs.manifest import MANIFEST_FILE
from firmware_app.packs.pack_store import PackStore
from firmware_app.results import case_json, key_images, overview

LINES: Final = "cases.jsonl"
TABLE: Final = "results.csv"
SHEET: Final = "index.html"
THUMBNAIL: Final = "thumbnail.jpg"
_THUMBNAIL_PX: Final = 480
_REFERENCE: Final = re.compile(r"c-[0-9a-f]+")


class OutputFolder:
    """*path*, made where it is not there; raises `OutputUnusable`, before any work is done.

    *key* says with what the cases are read (`digest_settings`).
    """

    def __init__(self, path: Path, key: str, language: str) -> None:
        self._path, self._key, self._language = path, key, language
        with self._convert_errors():
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        self._notes = {note.reference: note for note in load_notes(path)}

    def match_kept(self, digests: Sequence[str], paths: Sequence[Path]) -> KeptResults:
        """What of the given files need not be read."""
        return match_notes(list(self._notes.values()), self._key, digests, paths)

    def count_outdated(self, digests: Sequence[str]) -> int:
        """How many of the given files were read with other settings, models or another version of Lantern."""
        old = {digest for note in self._notes.values() if note.key != self._key for digest in note.content}
        new = {digest for note in self._notes.values() if note.key == self._key for digest in note.content}
        return sum(digest in old - new for digest in digests)

    def keep(self, note: CaseNote) -> None:
        """Take a case over as it is; only the names of its files and the language may be others than before."""
        with self._convert_errors():
            path = self._path / note.reference / "case.json"
            text = self._format_line(note.case)
            if path.read_text("utf-8") != text:
                _write_durably(path, text)
                self._write_note(note)
        self._notes[note.reference] = note

    def write(self, case: Case, digests: Sequence[str], state: StateDir) -> None:
        """A folder for the case: its frames as the viewer shows them, each heat map laid over its frame.

        ``case.json`` is written last: where it exists, the folder is complete and on the disk.  Cases that it replaces,
        since all their files are in it, are removed then.
        """
        with self._convert_errors():
            folder = self._path / str(case.reference)
            folder.mkdir(parents=True, exist_ok=True)
            picture = _write_pictures(case, state, folder)
            _write_durably(folder / "case.json", self._format_line(case))
            note = make_note(case, digests, self._key, picture)
            self._write_note(note)
            for old in [
                case_note
                for case_note in self._notes.values()
                if case_note.content and case_note.content <= note.content
            ]:
                self._remove(old)
        self._notes[note.reference] = note

    def finish(self, unassigned: Case | None) -> None:
        """Write the lines, the table and the page over all cases of the folder, *unassigned* last."""
        cases = [note.case for note in self._notes.values()]
        every = [*cases, *([unassigned] if unassigned is not None else [])]
        sheet = overview.render_overview(every, self._link_pictures, self._language)
        with self._convert_errors():
            lines = (json.dumps(case_json.case_to_json(case, self._language), ensure_ascii=False) for case in every)
            _write_durably(self._path / LINES, "".join(f"{line}\n" for line in lines))
            _write_durably(self._path / TABLE, overview.format_csv(every, self._language), "utf-8-sig")
            _write_durably(self._path / SHEET, sheet)

    def _link_pictures(self, case: Case) -> overview.PictureLinks | None:
        note = self._notes[str(case.reference)]
        if not note.picture:
            return None
        return overview.PictureLinks(f"{note.reference}/{THUMBNAIL}", f"{note.reference}/{quote(note.picture)}")

    def _format_line(self, case: Case) -> str:
        return json.dumps(case_json.case_to_json(case, self._language), ensure_ascii=False, indent=2) + "\n"

    def _write_note(self, note: CaseNote) -> None:
        folder = self._path / NOTES_FOLDER
        folder.mkdir(exist_ok=True)
        _write_durably(folder / f"{note.reference}.json", format_note(note))

    def _remove(self, note: CaseNote) -> None:
        """The case with its note; the note goes first, so that it never speaks of half a folder."""
        assert _REFERENCE.fullmatch(note.reference)
        del self._notes[note.reference]
        (self._path / NOTES_FOLDER / f"{note.reference}.json").unlink(missing_ok=True)
        shutil.rmtree(self._path / note.reference)

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
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
                lesions = [lesion for lesion in reading.lesions if (lesion.instance, lesion.frame) == (instance, frame)]
                _save(key_images.load_marked_frame(shown, frame, lesions), folder / f"{instance}-frame-{frame:03d}.png")
            strongest = reading.frames.strongest if reading.frames else {}
            for finding in reading.findings:
                code = finding.code
                _write_overlay(shown, code, strongest.get(code, 0), folder / f"{instance}-{code}.png")
    for image in key_images.select_key_images(case, lambda instance: state.display / instance, 1):
        name = image.heat if image.heat is not None and not image.lesions else f"frame-{image.frame:03d}"
        small = Image.fromarray(key_images.render_marked(image, state.display / image.instance)).convert("RGB")
        small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
        _save_image(small, folder / THUMBNAIL, "JPEG", quality=85)
        return f"{image.instance}-{name}.png"
    return ""


def _write_overlay(shown: Path, code: str, frame: int, target: Path) -> None:
    heat = shown / f"{code}.png"
    if heat.exists() and (shown / f"frame-{frame:03d}.json").exists():
        _save(key_images.blend_heat_map(key_images.load_frame(shown, frame), key_images.load_heat_map(heat)), target)


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    _save_image(Image.fromarray(pixels), path, "PNG")


def _save_image(image: Image.Image, path: Path, kind: str, **more: int) -> None:
    with path.open("wb") as file:
        image.save(file, kind, **more)
        file.flush()
        os.fsync(file.fileno())


def _write_durably(path: Path, text: str, encoding: str = "utf-8") -> None:
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


NOTES_FOLDER: Final = ".lantern"
_FORM: Final = 1
_OFFLINE: Final = "read."  # the codes of `OfflineError`
_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CaseNote:
    """A case that was read.  `digests` are of its files' content, in the order of `case.files`; empty: not known.

    `key` says with what it was read.  A case that is not `final` is read again, because something other than the
    images was in the way, such as a full disk.  `picture` is the name of the most telling picture; empty: none.
    """

    key: str
    digests: tuple[str, ...]
    case: Case
    final: bool
    picture: str

    @property
    def reference(self) -> str:
        return str(self.case.reference)

    @property
    def content(self) -> frozenset[str]:
        return frozenset(filter(None, self.digests))


@dataclass(slots=True)
class KeptResults:
    """What need not be read: the notes that hold, and by their digests the numbers of the given files."""

    notes: list[CaseNote] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def files(self) -> set[int]:
        """The numbers of the files that need not be read."""
        return {number for note in self.notes for digest in note.content for number in self.numbers.get(digest, ())}

    def reopen(self, studies: Collection[str]) -> list[int]:
        """Let go of the cases of *studies*, of which there are new files; returns the numbers to be read after all."""
        before = self.files()
        self.notes = [note for note in self.notes if note.case.study_instance_uid not in studies]
        return sorted(before - self.files())


def digest_settings(config: Config, pack: str | None, background: Mapping[str, bool]) -> str:
    """A digest of all that decides what is said of an image beside the image itself."""
    store = PackStore.from_config(config)
    packs = {
        one.name: hashlib.sha256((one.folder / MANIFEST_FILE).read_bytes()).hexdigest() for one in store.survey().packs
    }
    said = {
        "form": _FORM,
        "lantern": version(),
        "packs": packs,
        "population": config.box.usual_population,
        "prefer": config.packs.prefer,
        "reader": config.reader.model_dump(mode="json"),
        "runtimes": config.runtimes,
        "largest": config.dicom.max_object_mb,
        "pack": pack,
        "background": dict(background),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """The sha256 of a regular file's content; empty for what cannot be read."""
    try:
        descriptor, _ = open_regular_file(path)
    except IntakeError:
        return ""
    try:
        made, at = hashlib.sha256(), 0
        while piece := read_at(descriptor, _PIECE_BYTES, at):
            made.update(piece)
            at += len(piece)
    except IntakeError:
        return ""
    finally:
        close_quietly(descriptor)
    return made.hexdigest()


def load_notes(folder: Path) -> list[CaseNote]:
    """Every note in *folder* whose case is there, in the order of their files' names; what cannot be read has none."""
    notes = []
    for path in sorted((folder / NOTES_FOLDER).glob("*.json")):
        try:
            note = _note_adapter().validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        whole = path.stem == note.reference and len(note.digests) == len(note.case.files)
        if whole and (folder / note.reference / "case.json").is_file():
            notes.append(note)
    return sorted(notes, key=lambda note: [record.path for record in note.case.files])


def make_note(case: Case, digests: Sequence[str], key_: str, picture: str) -> CaseNote:
    """The note of a case that was just read."""
    temporary = any(record.reason is not None and record.reason.code.startswith(_OFFLINE) for record in case.files)
    return CaseNote(key_, tuple(digests), case, final=all(digests) and not temporary, picture=picture)


def format_note(one: CaseNote) -> str:
    """The note as a file holds it."""
    return _note_adapter().dump_json(one).decode()


def match_notes(notes: Sequence[CaseNote], key_: str, digests: Sequence[str], paths: Sequence[Path]) -> KeptResults:
    """What of the given files, with these *digests*, was read with the same *key_*; files get their names of today."""
    numbers: dict[str, list[int]] = {}
    for number, one in enumerate(digests):
        if one:
            numbers.setdefault(one, []).append(number)
    found = [note for note in notes if note.final and note.key == key_ and note.content & numbers.keys()]
    return KeptResults([_rename_files(case_note, numbers, paths) for case_note in found], numbers)


def _rename_files(one: CaseNote, numbers: Mapping[str, Sequence[int]], paths: Sequence[Path]) -> CaseNote:
    """*one* with an entry for every given file of its content; a file that is not given keeps its entry."""
    records: list[FileRecord] = []
    digests: list[str] = []
    for content in dict.fromkeys(one.digests):
        old = [record for record, other in zip(one.case.files, one.digests, strict=True) if other == content]
        here = [_encode_name(paths[number]) for number in numbers.get(content, ())]
        gone = [record for record in old if (record.path, record.path_bytes) not in here]
        by_name = {(record.path, record.path_bytes): record for record in old}
        if here:
            spare, again = iter(gone), replace(old[0], status=FileStatus.DUPLICATE, reason=None)
            made = [replace(by_name.get(name) or next(spare, again), path=name[0], path_bytes=name[1]) for name in here]
            if all(record.status is FileStatus.DUPLICATE for record in made):  # the first one is no longer given
                made[0] = replace(old[0], path=here[0][0], path_bytes=here[0][1])
        else:
            made = old
        records += made
        digests += [content] * len(made)
    return replace(one, case=replace(one.case, files=tuple(records)), digests=tuple(digests))


def _encode_name(path: Path) -> tuple[str, str | None]:
    return to_storable_text(str(path)), percent_encode(str(path))


@cache
def _note_adapter() -> TypeAdapter[CaseNote]:
    return TypeAdapter(CaseNote)

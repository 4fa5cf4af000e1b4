"""Which files an earlier `lantern read` with the same ``--out`` has read already, known by their content.

One note for each case lies in ``OUT/.lantern``, written when the case's folder is complete.  It counts only for the
same settings, models and version of Lantern.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from firmware_app.core.errors import IntakeError
from firmware_app.core.records import Case, FileRecord, FileStatus
from firmware_app.core.settings import Config
from firmware_app.core.version import version
from firmware_app.ingest.given_file import let_go, open_regular, percent_encoded, read_at, readable
from firmware_app.packs.installed import PackStore
from firmware_app.packs.manifest import FILE_NAME

FOLDER: Final = ".lantern"
_FORM: Final = 1
_OFFLINE: Final = "read."  # the codes of `OfflineError`
_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Note:
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
class Kept:
    """What need not be read: the notes that hold, and by their digests the numbers of the given files."""

    notes: list[Note] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def files(self) -> set[int]:
        """The numbers of the files that need not be read."""
        return {number for note in self.notes for digest in note.content for number in self.numbers.get(digest, ())}

    def reopen(self, studies: Collection[str]) -> list[int]:
        """Let go of the cases of *studies*, of which there are new files; returns the numbers to be read after all."""
        before = self.files()
        self.notes = [note for note in self.notes if note.case.study_instance_uid not in studies]
        return sorted(before - self.files())


def key(config: Config, pack: str | None, background: Mapping[str, bool]) -> str:
    """A digest of all that decides what is said of an image beside the image itself."""
    store = PackStore.of(config)
    packs = {
        one.name: hashlib.sha256((one.folder / FILE_NAME).read_bytes()).hexdigest() for one in store.survey().packs
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


def digest(path: Path) -> str:
    """The sha256 of a regular file's content; empty for what cannot be read."""
    try:
        descriptor, _ = open_regular(path)
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
        let_go(descriptor)
    return made.hexdigest()


def noted(folder: Path) -> list[Note]:
    """Every note in *folder* whose case is there, in the order of their files' names; what cannot be read has none."""
    notes = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            note = _form().validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        whole = path.stem == note.reference and len(note.digests) == len(note.case.files)
        if whole and (folder / note.reference / "case.json").is_file():
            notes.append(note)
    return sorted(notes, key=lambda note: [record.path for record in note.case.files])


def note(case: Case, digests: Sequence[str], key_: str, picture: str) -> Note:
    """The note of a case that was just read."""
    temporary = any(record.reason is not None and record.reason.code.startswith(_OFFLINE) for record in case.files)
    return Note(key_, tuple(digests), case, final=all(digests) and not temporary, picture=picture)


def written(one: Note) -> str:
    """The note as a file holds it."""
    return _form().dump_json(one).decode()


def kept(notes: Sequence[Note], key_: str, digests: Sequence[str], paths: Sequence[Path]) -> Kept:
    """What of the given files, with these *digests*, was read with the same *key_*; files get their names of today."""
    numbers: dict[str, list[int]] = {}
    for number, one in enumerate(digests):
        if one:
            numbers.setdefault(one, []).append(number)
    found = [one for one in notes if one.final and one.key == key_ and one.content & numbers.keys()]
    return Kept([_renamed(one, numbers, paths) for one in found], numbers)


def _renamed(one: Note, numbers: Mapping[str, Sequence[int]], paths: Sequence[Path]) -> Note:
    """*one* with an entry for every given file of its content; a file that is not given keeps its entry."""
    records: list[FileRecord] = []
    digests: list[str] = []
    for content in dict.fromkeys(one.digests):
        old = [record for record, other in zip(one.case.files, one.digests, strict=True) if other == content]
        here = [_name(paths[number]) for number in numbers.get(content, ())]
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


def _name(path: Path) -> tuple[str, str | None]:
    return readable(str(path)), percent_encoded(str(path))


@cache
def _form() -> TypeAdapter[Note]:
    return TypeAdapter(Note)

"""The sets that judge a pack elsewhere: how a person names one, and which of their films are truly strangers."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters import tasks
from converters.data import merged_sets, readers, recipe_data
from converters.data.datasets import Film, FilmSet
from converters.failures import DataUnreadable, NoOtherPlace
from converters.recipe_tables import ClassWords, Reader
from firmware_app.packs.pack_folder import Pack

HOW_NAMED = "DIR[:PART][=NAME]"


@dataclass(frozen=True, slots=True)
class External:
    """The path of a set, its name, and one of its parts (``under-18``).

    Without ``reader`` its form is recognised, as that of ``--data`` is. ``positive`` and
    ``negative`` are its words for films with and without the finding.
    ``licence`` and ``citation`` stand with its row.
    """

    path: Path
    name: str
    part: str | None = None
    reader: Reader | None = None
    positive: ClassWords | None = None
    negative: ClassWords | None = None
    licence: str | None = None
    citation: str | None = None

    @classmethod
    def parse(cls, text: str) -> "External":
        """What ``DIR[:PART][=NAME]`` names; without NAME it is called as its folder and part are."""
        where, _, name = text.rpartition("=") if "/" not in text.rpartition("=")[2] else (text, "", "")
        if not where:
            where, name = text, ""
        folder, _, part = where.rpartition(":")
        if not folder or "/" in part or Path(where).exists():
            folder, part = where, ""
        path = Path(folder)
        return cls(path, name or "-".join(word for word in (path.resolve().stem, part) if word), part or None)

    @property
    def option(self) -> str:
        """The option that means it, on a card: there its folder is called ``EXTERNAL``."""
        part = f":{self.part}" if self.part else ""
        return f"--external {shlex.quote(f'EXTERNAL{part}={self.name}')}"

    def open_set(self, pack: Pack) -> FilmSet:
        """Its films, with the labels that the pack's task makes of them. Raises :class:`DataUnreadable`."""
        section = pack.manifest.section
        task = tasks.get(pack.manifest.task).configure_for_pack(section)
        if self.reader is not None and self.part is None:
            films = recipe_data.read_by(self.reader, self.path, self.positive, self.negative)
        else:
            if self.part is not None and not readers.has_split(self.path, self.part):
                raise DataUnreadable(str(self.path), f"it has no part {self.part}")
            code = None if task.reads_labels else section.findings[0].code
            word = self.positive if isinstance(self.positive, str) else None  # several need a reader
            films = readers.open_set(self.path, code, word, self.part)
        return replace(task.aim(films), name=self.name)


def strangers(films: FilmSet, home: FilmSet) -> FilmSet:
    """``films`` without those of a patient of ``home`` and without copies of its films; a line tells how many.

    A patient's name counts within one folder, and everywhere where it stands in the file's name
    (:func:`converters.data.merged_sets.patient`). Raises :class:`NoOtherPlace` where no film is left.
    """
    known = {_patient(film) for film in home.films}
    both = FilmSet(films.name, films.positive, (*home.films, *films.films))
    count = len(home.films)
    copied = {second - count for first, second in recipe_data.copies(both) if first < count <= second}
    left = tuple(film for place, film in enumerate(films.films) if place not in copied and _patient(film) not in known)
    if not left:
        raise NoOtherPlace(films.name)
    if gone := len(films.films) - len(left):
        line = f"{films.name}: {gone} films set aside, of patients of --data or copies of its films"
        print(line, file=sys.stderr, flush=True)
    return replace(films, films=left)


def _patient(film: Film) -> str:
    return merged_sets.patient(film, os.fspath(film.path.resolve().parent))


def refuse_named_twice(sets: Sequence[External]) -> None:
    """Raise :class:`DataUnreadable` where two sets share a name, which identifies their rows."""
    names = [external.name for external in sets]
    for name in names:
        if names.count(name) > 1:
            raise DataUnreadable(name, f"two sets have this name; write {HOW_NAMED}")

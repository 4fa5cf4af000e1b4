"""What people say of a case: remarks with their drawings, every verdict that was ever given, and what an image shows.

Nothing here is changed or taken away while the case exists: a later remark stands beside the earlier ones, each with
its author and time.  Which verdicts on a case count is decided in `cases.verdicts`; of those on one image the last one
of each doctor counts (`select_current`).

A drawing is a box or an outline on an image.  It is kept with the remark that it was drawn for.

A description ("What is this?") fills in what the image itself does not state.  It is a row with its author and time,
and an audit entry with the values before and after; the image is never changed.  The case is read again with it, and a
reading made meanwhile without it is not written (`cases.reading_queue`).
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.reading_queue import NEXT_REVISION
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Detail, EnteredFacts
from firmware_app.core.rows import StoredTime, dump_json, insert, parse_json, parse_row

MOST_POINTS: Final = 400
_MOST_CHARACTERS: Final = 16_000
_LEAST_PX: Final = 2.0
"""A box or an outline that is smaller, or as thin, is a slip of the hand."""
_LARGEST_PX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Drawing:
    """A place on one frame of an image.

    `points` are (x, y) in pixels of the original frame: two opposite corners of a box, or the corners of an outline.
    """

    instance: str
    frame: int
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is no place."""
        if not 2 <= len(self.points) <= MOST_POINTS or self.frame < 0:
            raise ValueError(len(self.points))
        if not all(math.isfinite(side) and 0 <= side <= _LARGEST_PX for point in self.points for side in point):
            raise ValueError("a point lies outside every frame")
        x0, y0, x1, y1 = self.box
        if min(x1 - x0, y1 - y0) < _LEAST_PX:
            raise ValueError("too small")

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the smallest box that holds it."""
        across, down = [x for x, _ in self.points], [y for _, y in self.points]
        return min(across), min(down), max(across), max(down)

    @property
    def outline(self) -> tuple[tuple[float, float], ...]:
        """Its corners; empty where it is a box."""
        return self.points if len(self.points) > 2 else ()

    @classmethod
    def parse(cls, text: str) -> Drawing:
        """A drawing as a row keeps it or a page sent it, to a tenth of a pixel; raises `ValueError`."""
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(len(text))
        drawing = parse_json(cls, text)
        return replace(drawing, points=tuple((round(x, 1), round(y, 1)) for x, y in drawing.points))

    def describe_for_audit(self) -> dict[str, Detail]:
        """What the audit keeps of it: its box, and a digest of all of it."""
        return {
            "image": self.instance,
            "frame": self.frame,
            "box": " ".join(f"{side:.0f}" for side in self.box),
            "corners": len(self.outline),
            "sha256": hashlib.sha256(dump_json(self).encode()).hexdigest()[:16],
        }


LONGEST_REMARK: Final = 2000
"""Characters of one remark."""
SHOWN: Final = f"CASE c.fresh WHEN 1 THEN {NEXT_REVISION.format(revision='c.revision')} ELSE c.revision END"
"""In SQL, the revision of case *c* that a page shows: an open revision already shows its future number."""
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


class RemarkKind(StrEnum):
    """What sort of word it is."""

    IMPRESSION = "impression"
    MISSED = "missed"
    NOTE = "note"
    VERDICT = "verdict"


@dataclass(frozen=True, slots=True)
class Remark:
    """One word of one doctor; *earlier*: on a state of the case that has been replaced since.

    `instance` is the image that it is of, empty for the whole case; `drawing` is what was drawn for it.
    """

    kind: RemarkKind
    text: str
    finding: str
    instance: str
    actor: str
    at: StoredTime
    earlier: bool = False
    drawing: Drawing | None = None


@dataclass(frozen=True, slots=True)
class DoctorFigures:
    """How often one doctor said what of a finding that the box had found, or had not."""

    finding: str
    positive: bool | None
    verdict: str
    count: int


def clean_remark(text: str) -> str:
    """*text* without control and direction characters, its lines kept; at most `LONGEST_REMARK` characters."""
    lines = (" ".join(line.split()) for line in _CONTROL.sub(" ", text.replace("\r\n", "\n")).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:LONGEST_REMARK]


class Remarks:
    """The remarks of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_for_case(self, case: str) -> tuple[Remark, ...]:
        """Every word on *case*, the first one first."""
        rows = self._database.connection.execute(
            f"SELECT r.*, r.revision < {SHOWN} AS earlier FROM remarks r JOIN cases c ON c.reference = r.case_reference"
            " WHERE c.reference = ? ORDER BY r.sequence",
            (case,),
        )
        return tuple(_parse_remark(row) for row in rows)

    def add(
        self, case: str, kind: RemarkKind, text: str, actor: str, instance: str = "", drawing: Drawing | None = None
    ) -> None:
        """Keep a remark.  Raises `CaseUnknown`, and `ValueError` for an empty one or an image of another case."""
        text = clean_remark(text)
        if not text or kind is RemarkKind.VERDICT:
            raise ValueError(kind)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
                raise CaseUnknown(case=case[:40])
            for one in filter(None, (instance, drawing.instance if drawing else "")):
                require_image(connection, case, one)
            insert_remark(connection, case, kind, text, actor, instance=instance, drawing=drawing)
            details: dict[str, Detail] = {"kind": kind.value, **(drawing.describe_for_audit() if drawing else {})}
            audit.append(connection, actor, "case.remarked", case, details)

    def count_own_verdicts(self, actor: str) -> tuple[DoctorFigures, ...]:
        """The last verdicts of *actor* on each finding of each case that is still here, counted."""
        rows = self._database.connection.execute(
            "SELECT finding, positive, text, COUNT(*) AS count FROM remarks WHERE sequence IN (SELECT MAX(sequence)"
            " FROM remarks WHERE kind = 'verdict' AND instance = '' AND actor = ? GROUP BY case_reference, finding)"
            " AND text <> '' GROUP BY finding, positive, text ORDER BY finding, positive DESC, text",
            (actor,),
        )
        return tuple(parse_row(DoctorFigures, row, verdict=row["text"]) for row in rows)

    def list_missed(self, limit: int = 50) -> tuple[tuple[str, Remark], ...]:
        """(case, what the box missed there) as doctors said it, the newest first."""
        rows = self._database.connection.execute(
            "SELECT r.*, 0 AS earlier FROM remarks r WHERE kind = 'missed' ORDER BY sequence DESC LIMIT ?", (limit,)
        )
        return tuple((row["case_reference"], _parse_remark(row)) for row in rows)


def select_current(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Those that nobody has replaced: of the verdicts the last of each doctor on a finding of the case or of an image,
    unless it took the one before back; and everything that is no verdict."""
    everything = tuple(remarks)
    last = {
        (remark.actor, remark.finding, remark.instance): remark
        for remark in everything
        if remark.kind is RemarkKind.VERDICT
    }
    return tuple(
        remark
        for remark in everything
        if remark.kind is not RemarkKind.VERDICT
        or (remark.text and last[remark.actor, remark.finding, remark.instance] is remark)
    )


def require_image(connection: sqlite3.Connection, case: str, instance: str) -> None:
    """Raise `ValueError` unless *instance* is an image of *case*."""
    of = "SELECT 1 FROM instances WHERE reference = ? AND case_reference = ?"
    if connection.execute(of, (instance, case)).fetchone() is None:
        raise ValueError(instance)


def insert_remark(
    connection: sqlite3.Connection,
    case: str,
    kind: RemarkKind,
    text: str,
    actor: str,
    *,
    instance: str = "",
    finding: str = "",
    positive: bool | None = None,
    drawing: Drawing | None = None,
) -> None:
    """Inside the caller's transaction: keep a word beside the earlier ones; of a verdict "" for one that is taken
    back."""
    connection.execute(
        "INSERT INTO remarks (case_reference, kind, finding, positive, instance, text, drawing, revision, actor, at)"
        f" SELECT c.reference, ?, ?, ?, ?, ?, ?, {SHOWN}, ?, ? FROM cases c WHERE c.reference = ?",
        (
            kind.value,
            finding,
            positive,
            instance,
            text,
            dump_json(drawing) if drawing else None,
            actor,
            clock.stamp_text(),
            case,
        ),
    )


def _parse_remark(row: sqlite3.Row) -> Remark:
    return parse_row(Remark, row, drawing=Drawing.parse(row["drawing"]) if row["drawing"] else None)


IMAGE_DESCRIBED: Final = "image.described"


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """What a person said of one image, by whom and when."""

    said: EnteredFacts
    actor: str
    at: StoredTime


class ImageDescriptions:
    """What people said that images show, in one clinical database."""

    def __init__(self, clinical: ClinicalDatabase) -> None:
        self._clinical = clinical

    def list_for_case(self, case: str) -> dict[str, ImageDescription]:
        """Instance -> what was said of it last; without those that were taken back."""
        rows = self._clinical.database.connection.execute(
            "SELECT * FROM entered WHERE case_reference = ? ORDER BY version", (case,)
        )
        newest = {row["instance"]: parse_row(ImageDescription, row, said=parse_row(EnteredFacts, row)) for row in rows}
        return {instance: entry for instance, entry in newest.items() if entry.said != EnteredFacts()}

    def enter(self, case: str, instances: Iterable[str], said: EnteredFacts, actor: str) -> int:
        """Let *said* hold for *instances* of *case*; returns how many images are read again for it.

        Raises `CaseUnknown`.  Instances of another case, and words that hold already, change nothing.
        """
        self._clinical.load_case(case)
        known = {image.reference for image in self._clinical.list_images(case)}
        with self._clinical.database.transaction() as connection:
            held = {instance: entry.said for instance, entry in self.list_for_case(case).items()}
            before = {
                instance: held.get(instance, EnteredFacts())
                for instance in dict.fromkeys(instances)
                if instance in known
            }
            changed = {instance: old for instance, old in before.items() if old != said}
            for instance, old in changed.items():
                (version,) = connection.execute(
                    "SELECT COALESCE(MAX(version), 0) + 1 FROM entered WHERE instance = ?", (instance,)
                ).fetchone()
                insert(
                    connection,
                    "entered",
                    case_reference=case,
                    instance=instance,
                    version=version,
                    modality=said.modality,
                    body_part=said.body_part,
                    view=said.view,
                    population=said.population,
                    actor=actor,
                    at=clock.stamp_text("seconds"),
                )
                details: dict[str, Detail] = {"image": instance, "before": str(old), "after": str(said)}
                audit.append(connection, actor, IMAGE_DESCRIBED, case, details)
            return self._clinical.reopen(case) if changed else 0

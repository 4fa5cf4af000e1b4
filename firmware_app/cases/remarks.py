"""What doctors say of a case: remarks, every verdict that was ever given, drawings, and the rules for two readers.

Nothing here is changed or taken away while the case exists: a later remark stands beside the earlier ones, each with
its author and time.  Which verdicts on a case count is decided in `cases.worklist`; of those on one image the last
one of each doctor counts (`select_current`).

A drawing says where something is on an image: a box, or an outline.  It is kept with the remark that it was drawn for.

Two doctors may read a case without knowing each other's verdicts.  A doctor has read it once they have a verdict on
every finding of the current reading.  Until two have, nobody sees another's verdicts.  Then the verdicts of these two
are final, and where they differ a third doctor, who sees both, decides.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.errors import CaseUnknown
from firmware_app.cases.reading_queue import NEXT_REVISION
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.records import Detail

MOST_POINTS: Final = 400
_MOST_CHARACTERS: Final = 16_000
_LEAST_PX: Final = 2.0
"""A box or an outline that is smaller, or as thin, is a slip of the hand."""
_LARGEST_PX: Final = 100_000


@dataclass(frozen=True, slots=True)
class DoctorVerdict:
    """The verdict of one doctor on one finding; *earlier*: on a reading that has been replaced since."""

    finding: str
    verdict: str
    actor: str
    at: clock.Stamp
    earlier: bool = False


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

    def text(self) -> str:
        """As it is kept."""
        return json.dumps({"instance": self.instance, "frame": self.frame, "points": self.points})

    @classmethod
    def parse(cls, text: str) -> Drawing:
        """What `text` wrote, or a page sent; raises `ValueError`."""
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(len(text))
        try:
            told = json.loads(text)
            points = tuple((round(float(x), 1), round(float(y), 1)) for x, y in told["points"])
            return cls(str(told["instance"]), int(told["frame"]), points)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def audited(self) -> dict[str, Detail]:
        """What the audit keeps of it: its box, and a digest of all of it."""
        digest = hashlib.sha256(self.text().encode()).hexdigest()[:16]
        sides = " ".join(f"{side:.0f}" for side in self.box)
        return {
            "image": self.instance,
            "frame": self.frame,
            "box": sides,
            "corners": len(self.outline),
            "sha256": digest,
        }


@dataclass(frozen=True, slots=True)
class DoubleReading:
    """How far the readers of one case are: the first two who have `spoken`, the findings on which these `differ`, and
    the third doctor who has `settled` them, empty as long as nobody has."""

    spoken: tuple[str, ...]
    differ: tuple[str, ...] = ()
    settled: str = ""

    @property
    def blind(self) -> bool:
        """Whether nobody may see another's words yet."""
        return len(self.spoken) < 2

    @property
    def complete(self) -> bool:
        """Whether no doctor's word is wanted any more."""
        return not self.blind and (not self.differ or bool(self.settled))

    def binds(self, actor: str) -> bool:
        """Whether the words of *actor* stand and can no longer be changed."""
        return not self.blind and (actor in self.spoken or actor == self.settled)

    def wants(self, actor: str) -> bool:
        """Whether the case still needs a word of *actor*."""
        return not self.complete and actor not in self.spoken


def compare_readers(verdicts: Iterable[DoctorVerdict], findings: Collection[str]) -> DoubleReading:
    """The readers of a case with these *findings*; *verdicts* stand in the order in which they were given."""
    words: dict[str, dict[str, str]] = {}
    turns: dict[tuple[str, str], int] = {}
    for turn, one in enumerate(verdicts):
        if not one.earlier and one.finding in findings:
            said = words.pop(one.actor, {})  # who spoke last stands last
            words[one.actor] = {**said, one.finding: one.verdict}
            turns[one.actor, one.finding] = turn
    spoken = tuple(actor for actor, said in words.items() if said.keys() == set(findings))[:2]
    if len(spoken) < 2:
        return DoubleReading(spoken)
    first, second = (words[actor] for actor in spoken)
    differ = tuple(code for code in findings if first[code] != second[code])
    known = max(turns[actor, code] for actor in spoken for code in findings)  # from then on all words can be seen
    third = (
        actor for actor in words if actor not in spoken and all(turns.get((actor, code), -1) > known for code in differ)
    )
    return DoubleReading(spoken, differ, next(third, "") if differ else "")


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
    at: clock.Stamp
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

    def of_case(self, case: str) -> tuple[Remark, ...]:
        """Every word on *case*, the first one first."""
        rows = self._database.connection.execute(
            f"SELECT r.*, r.revision < {SHOWN} AS earlier FROM remarks r JOIN cases c ON c.reference = r.case_reference"
            " WHERE c.reference = ? ORDER BY r.sequence",
            (case,),
        )
        return tuple(_remark(row) for row in rows)

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
            details: dict[str, Detail] = {"kind": kind.value, **(drawing.audited() if drawing else {})}
            audit.append(connection, actor, "case.remarked", case, details)

    def own(self, actor: str) -> tuple[DoctorFigures, ...]:
        """The last verdicts of *actor* on each finding of each case that is still here, counted."""
        rows = self._database.connection.execute(
            "SELECT finding, positive, text, COUNT(*) AS count FROM remarks WHERE sequence IN (SELECT MAX(sequence)"
            " FROM remarks WHERE kind = 'verdict' AND instance = '' AND actor = ? GROUP BY case_reference, finding)"
            " AND text <> '' GROUP BY finding, positive, text ORDER BY finding, positive DESC, text",
            (actor,),
        )
        return tuple(
            DoctorFigures(
                row["finding"], None if row["positive"] is None else bool(row["positive"]), row["text"], row["count"]
            )
            for row in rows
        )

    def missed(self, limit: int = 50) -> tuple[tuple[str, Remark], ...]:
        """(case, what the box missed there) as doctors said it, the newest first."""
        rows = self._database.connection.execute(
            "SELECT r.*, 0 AS earlier FROM remarks r WHERE kind = 'missed' ORDER BY sequence DESC LIMIT ?", (limit,)
        )
        return tuple((row["case_reference"], _remark(row)) for row in rows)


def select_current(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Those that nobody has replaced: of the verdicts the last of each doctor on a finding of the case or of an image,
    unless it took the one before back; and everything that is no verdict."""
    everything = tuple(remarks)
    last = {(one.actor, one.finding, one.instance): one for one in everything if one.kind is RemarkKind.VERDICT}
    return tuple(
        one
        for one in everything
        if one.kind is not RemarkKind.VERDICT or (one.text and last[one.actor, one.finding, one.instance] is one)
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
            drawing.text() if drawing else None,
            actor,
            clock.stamp_text(),
            case,
        ),
    )


def _remark(row: sqlite3.Row) -> Remark:
    return Remark(
        kind=RemarkKind(row["kind"]),
        text=row["text"],
        finding=row["finding"],
        instance=row["instance"],
        actor=row["actor"],
        at=clock.parse_stamp(row["at"]),
        earlier=bool(row["earlier"]),
        drawing=Drawing.parse(row["drawing"]) if row["drawing"] else None,
    )

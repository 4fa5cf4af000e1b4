"""What doctors say of a case in their own words, and every verdict that was ever given on it.

Nothing here is changed or taken away while the case exists: a later word stands beside the earlier ones, each with its
author and time.  What counts of the verdicts on a case is in `clinical.worklist`; of those on one image the last word
of each doctor counts (`current`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases.accounts import audit
from firmware_app.cases.drawings import Drawing
from firmware_app.cases.reading_queue import NEXT_REVISION
from firmware_app.core import clock
from firmware_app.core.errors import CaseUnknown
from firmware_app.core.records import Detail
from firmware_app.core.sqlite.database import Database

LONGEST: Final = 2000
"""Characters of one remark."""
SHOWN: Final = f"CASE c.fresh WHEN 1 THEN {NEXT_REVISION.format(revision='c.revision')} ELSE c.revision END"
"""In SQL, the revision of case *c* that a page shows: an open revision already shows its future number."""
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


class Kind(StrEnum):
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

    kind: Kind
    text: str
    finding: str
    instance: str
    actor: str
    at: clock.Stamp
    earlier: bool = False
    drawing: Drawing | None = None


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """How often one doctor said what of a finding that the box had found, or had not."""

    finding: str
    positive: bool | None
    verdict: str
    count: int


def clean(text: str) -> str:
    """*text* without control and direction characters, its lines kept; at most `LONGEST` characters."""
    lines = (" ".join(line.split()) for line in _CONTROL.sub(" ", text.replace("\r\n", "\n")).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:LONGEST]


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
        self, case: str, kind: Kind, text: str, actor: str, instance: str = "", drawing: Drawing | None = None
    ) -> None:
        """Keep a remark.  Raises `CaseUnknown`, and `ValueError` for an empty one or an image of another case."""
        text = clean(text)
        if not text or kind is Kind.VERDICT:
            raise ValueError(kind)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
                raise CaseUnknown(case=case[:40])
            for one in filter(None, (instance, drawing.instance if drawing else "")):
                require_image(connection, case, one)
            insert(connection, case, kind, text, actor, instance=instance, drawing=drawing)
            details: dict[str, Detail] = {"kind": kind.value, **(drawing.audited() if drawing else {})}
            audit.append(connection, actor, "case.remarked", case, details)

    def own(self, actor: str) -> tuple[OwnFigures, ...]:
        """The last verdicts of *actor* on each finding of each case that is still here, counted."""
        rows = self._database.connection.execute(
            "SELECT finding, positive, text, COUNT(*) AS count FROM remarks WHERE sequence IN (SELECT MAX(sequence)"
            " FROM remarks WHERE kind = 'verdict' AND instance = '' AND actor = ? GROUP BY case_reference, finding)"
            " AND text <> '' GROUP BY finding, positive, text ORDER BY finding, positive DESC, text",
            (actor,),
        )
        return tuple(
            OwnFigures(
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


def current(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Those that nobody has replaced: of the verdicts the last of each doctor on a finding of the case or of an image,
    unless it took the one before back; and everything that is no verdict."""
    everything = tuple(remarks)
    last = {(one.actor, one.finding, one.instance): one for one in everything if one.kind is Kind.VERDICT}
    return tuple(
        one
        for one in everything
        if one.kind is not Kind.VERDICT or (one.text and last[one.actor, one.finding, one.instance] is one)
    )


def require_image(connection: sqlite3.Connection, case: str, instance: str) -> None:
    """Raise `ValueError` unless *instance* is an image of *case*."""
    of = "SELECT 1 FROM instances WHERE reference = ? AND case_reference = ?"
    if connection.execute(of, (instance, case)).fetchone() is None:
        raise ValueError(instance)


def insert(
    connection: sqlite3.Connection,
    case: str,
    kind: Kind,
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
            clock.text(),
            case,
        ),
    )


def _remark(row: sqlite3.Row) -> Remark:
    return Remark(
        Kind(row["kind"]),
        row["text"],
        row["finding"],
        row["instance"],
        row["actor"],
        clock.parse(row["at"]),
        bool(row["earlier"]),
        Drawing.parse(row["drawing"]) if row["drawing"] else None,
    )

"""What the clinic confirms: who says of which finding that it is there or not, and from where they know.

Every word is kept.  What counts as the truth of a finding is the last word of the highest source; "unsure" takes back
what that source said before, so that the next one counts.  A word that makes a pack unfit suspends it in the same
transaction (`standings`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from firmware_app.cases import audit, suspensions
from firmware_app.cases.errors import ConfirmationUnknown, ResultShown
from firmware_app.cases.model_scores import ConfirmationReason, ModelSite
from firmware_app.core import clock
from firmware_app.core.clinic_accuracy import ScoredImage
from firmware_app.core.database import Database
from firmware_app.core.rows import StoredTime, insert, parse_row

NEWEST: Final = 5_000
"""Figures rest on so many films at most, the newest: older ones say less of today, and a page must not take long."""


class Truth(StrEnum):
    """What somebody says of a finding."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    UNSURE = "unsure"


class Source(StrEnum):
    """From where they know it, the highest first."""

    LABORATORY = "laboratory"
    REFERRAL = "referral"
    CSV = "csv"
    OWN_BEFORE = "own_reading_before_shown"
    AFTER = "after_shown"

    @property
    def by_eye(self) -> bool:
        """Whether it is only a doctor's reading of the film."""
        return self in (Source.OWN_BEFORE, Source.AFTER)


_UNREAD: Final = (
    "s.case_reference = {case} AND s.asked = 'before'"
    " AND NOT EXISTS (SELECT 1 FROM shown WHERE case_reference = s.case_reference)"
    " AND NOT EXISTS (SELECT 1 FROM confirmations c WHERE c.case_reference = s.case_reference"
    " AND c.finding = s.finding AND c.source = 'own_reading_before_shown')"
)
HIDDEN: Final = f"EXISTS (SELECT 1 FROM scored s WHERE {_UNREAD})"
"""True in SQL while a doctor is asked to read the case of that reference before its result is shown."""

ConfirmedCounts = Mapping[tuple[ModelSite, str], int]
"""(place, finding) -> how many films are confirmed there."""
RANK: Final = {source: rank for rank, source in enumerate(Source)}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One word on one finding of a case."""

    finding: str
    truth: Truth
    source: Source
    actor: str
    at: StoredTime


@dataclass(frozen=True, slots=True)
class ConfirmationRequest:
    """A finding of a case that is asked for and has no truth yet."""

    case: str
    finding: str
    asked: ConfirmationReason


@dataclass(frozen=True, slots=True)
class SiteImages:
    """The films of a pack on a machine for one finding.

    `aside`: films whose truth is known although they were not asked for.  They are not in the figures: who chose them,
    and why, nobody knows.  By `sources`: how many truths that count come from each.
    """

    films: tuple[ScoredImage, ...]
    aside: int
    sources: dict[Source, int]


class Confirmations:
    """The confirmations of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- the case's page -----------------------------------------------------------------------------------------

    def list_withheld(self, case: str) -> tuple[str, ...]:
        """The findings of *case* that a doctor is asked to read before the result is shown; empty once it was shown.

        While it is not empty, a page shows neither scores nor priority of the case, asks for a reading of each of
        these, and offers to show the result at once.
        """
        rows = self._database.connection.execute(
            f"SELECT DISTINCT finding FROM scored s WHERE {_UNREAD.format(case='?')} ORDER BY finding", (case,)
        )
        return tuple(row[0] for row in rows)

    def record_shown(self, case: str, actor: str) -> None:
        """Note that a person is about to see the result of *case*; call it before the result goes out to them."""
        if self._database.connection.execute("SELECT 1 FROM shown WHERE case_reference = ?", (case,)).fetchone():
            return
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO shown (case_reference, scores, actor, at)"
                " SELECT :case, COUNT(DISTINCT finding), :actor, :at FROM scored WHERE case_reference = :case"
                " ON CONFLICT DO NOTHING",
                {"case": case, "actor": actor, "at": clock.stamp_text()},
            )

    def list_for_case(self, case: str) -> tuple[Confirmation, ...]:
        """Every word on *case*, in the order in which they were given."""
        rows = self._database.connection.execute(
            "SELECT * FROM confirmations WHERE case_reference = ? ORDER BY sequence", (case,)
        )
        return tuple(parse_row(Confirmation, row) for row in rows)

    def find_truth(self, case: str, finding: str) -> Confirmation | None:
        """The word that counts; ``None`` where nobody has said, or the last word of each source is "unsure"."""
        return select_decisive(
            [confirmation for confirmation in self.list_for_case(case) if confirmation.finding == finding]
        )

    def list_scored(self, case: str) -> tuple[str, ...]:
        """The findings of *case* for which a pack gave a score: those that can be confirmed."""
        rows = self._database.connection.execute(
            "SELECT DISTINCT finding FROM scored WHERE case_reference = ? ORDER BY finding", (case,)
        )
        return tuple(row[0] for row in rows)

    def find_requests(self, case: str) -> dict[str, ConfirmationReason]:
        """Why the truth of each finding of *case* is asked for; findings that are not asked for are left out."""
        rows = self._database.connection.execute(
            "SELECT finding, asked FROM scored WHERE case_reference = ? AND asked IS NOT NULL ORDER BY sequence",
            (case,),
        )
        return {row["finding"]: ConfirmationReason(row["asked"]) for row in rows}

    def confirm(
        self, case: str, finding: str, truth: Truth, source: Source, actor: str, *, complete: bool = False
    ) -> tuple[ModelSite, ...]:
        """Store one word, with its entry in the audit; returns where a pack was suspended because of it.

        *complete*: the outcomes of all films of that time were given, not of chosen ones, so that this one counts also
        where it was not asked for.  Raises `ConfirmationUnknown` where no pack gave a score for the finding, and
        `ResultShown` for a reading before the result is shown where that is not asked for, or is too late.
        """
        with self._database.transaction() as connection:
            before = self.count_confirmed(connection, {(case, finding)})
            if not before:
                raise ConfirmationUnknown(finding=finding)
            if source is Source.OWN_BEFORE and finding not in self.list_withheld(case):
                raise ResultShown
            self.write(connection, case, finding, truth=truth, source=source, actor=actor, complete=complete)
            return self.suspend_unfit(connection, before)

    def write(
        self,
        connection: sqlite3.Connection,
        case: str,
        finding: str,
        truth: Truth,
        source: Source,
        actor: str,
        *,
        complete: bool = False,
    ) -> None:
        """Store one word inside the caller's transaction, who asks `count_confirmed` before it and `suspend_unfit`
        after it."""
        said = {"finding": finding, "truth": truth.value, "source": source.value}
        row = {"case_reference": case, **said, "complete": complete, "actor": actor, "at": clock.stamp_text()}
        insert(connection, "confirmations", **row)
        audit.append(connection, actor, "finding.confirmed", case, said)

    def count_confirmed(self, connection: sqlite3.Connection, words: Iterable[tuple[str, str]]) -> ConfirmedCounts:
        """Where packs gave scores for these (case, finding), and how many films are confirmed there."""
        found = {(place, finding) for case, finding in words for place in _find_sites(connection, case, finding)}
        return {(place, finding): self._count_confirmed(connection, place, finding) for place, finding in sorted(found)}

    def suspend_unfit(self, connection: sqlite3.Connection, before: ConfirmedCounts) -> tuple[ModelSite, ...]:
        """Suspend each pack that is unfit now, inside the caller's transaction; returns where.

        *before*: `count_confirmed` from before the words that are to be tested.
        """
        gone = []
        for (place, finding), count in before.items():
            after = suspensions.find_test_start(connection, place)
            if after is not None:
                films = self.load_images(place, finding, after=after).films
                if suspensions.suspend_if_unfit(connection, place, finding, films, count):
                    gone.append(place)
        return tuple(gone)

    def _count_confirmed(self, connection: sqlite3.Connection, place: ModelSite, finding: str) -> int:
        """How many films are confirmed of those that are tested now."""
        after = suspensions.find_test_start(connection, place)
        return (
            0
            if after is None
            else sum(film.truth is not None for film in self.load_images(place, finding, after=after).films)
        )

    # --- the figures ---------------------------------------------------------------------------------------------

    def list_sites(self) -> tuple[tuple[ModelSite, str], ...]:
        """Every (pack, version, machine) with the findings it gave scores for, the latest used first."""
        rows = self._database.connection.execute(
            "SELECT pack, version, machine, finding FROM scored GROUP BY pack, version, machine, finding"
            " ORDER BY MAX(sequence) DESC"
        )
        return tuple((parse_row(ModelSite, row), row["finding"]) for row in rows)

    def load_images(self, place: ModelSite, finding: str, *, after: int = 0) -> SiteImages:
        """The newest `NEWEST` films of *place* for *finding*, of those after the row *after*, with their truths."""
        connection = self._database.connection
        newest = "SELECT * FROM scored WHERE pack = ? AND version = ? AND machine = ? AND finding = ? AND sequence > ?"
        values = (place.pack, place.version, place.machine, finding, after, NEWEST)
        scored = connection.execute(f"{newest} ORDER BY sequence DESC LIMIT ?", values).fetchall()
        said: dict[str, list[Confirmation]] = {}
        complete: set[str] = set()
        rows = connection.execute(
            "SELECT c.* FROM confirmations c WHERE c.finding = ? AND c.case_reference IN"
            f" (SELECT case_reference FROM ({newest} ORDER BY sequence DESC LIMIT ?)) ORDER BY c.sequence",
            (finding, *values),
        )
        for row in rows:
            said.setdefault(row["case_reference"], []).append(parse_row(Confirmation, row))
            if row["complete"]:
                complete.add(row["case_reference"])
        films, aside, sources = [], 0, dict.fromkeys(Source, 0)
        for row in reversed(scored):
            case = row["case_reference"]
            word = select_decisive(said.get(case, ()))
            wanted = row["asked"] is not None or case in complete
            aside += word is not None and not wanted
            truth = word.truth is Truth.POSITIVE if word is not None and wanted else None
            if word is not None and wanted:
                sources[word.source] += 1
            asked, way = (1.0, 1) if case in complete else (row["probability"], 0)
            films.append(ScoredImage(row["score"], asked, truth, word is not None and word.source.by_eye, way))
        return SiteImages(tuple(films), aside, sources)

    def list_pending(self, limit: int = 50) -> tuple[ConfirmationRequest, ...]:
        """Findings that are asked for, of cases that are still here, and have no truth yet; the newest first."""
        rows = self._database.connection.execute(
            "SELECT s.case_reference, s.finding, s.asked FROM scored s WHERE s.asked IS NOT NULL"
            " AND EXISTS (SELECT 1 FROM cases k WHERE k.reference = s.case_reference)"
            " AND NOT EXISTS (SELECT 1 FROM confirmations c WHERE c.case_reference = s.case_reference"
            " AND c.finding = s.finding) GROUP BY s.case_reference, s.finding ORDER BY MAX(s.sequence) DESC LIMIT ?",
            (limit,),
        )
        return tuple(parse_row(ConfirmationRequest, row, case=row["case_reference"]) for row in rows)


def select_decisive(words: Iterable[Confirmation]) -> Confirmation | None:
    """The last word of the highest source that is not unsure."""
    last = {word.source: word for word in words}
    sure = [confirmation for confirmation in last.values() if confirmation.truth is not Truth.UNSURE]
    return min(sure, key=lambda one: RANK[one.source], default=None)


def _find_sites(connection: sqlite3.Connection, case: str, finding: str) -> list[ModelSite]:
    rows = connection.execute(
        "SELECT pack, version, machine FROM scored WHERE case_reference = ? AND finding = ?", (case, finding)
    )
    return [parse_row(ModelSite, row) for row in rows]

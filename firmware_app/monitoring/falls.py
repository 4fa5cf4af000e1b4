"""Versions of packs that do worse at this clinic than their card says, as the test has found them; and its films.

The test itself is `core.statistics.fall`.  What it has found stays found: a row for each version of a pack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from firmware_app.cases.accounts import audit
from firmware_app.cases.confirmations import confirmation_in, counting
from firmware_app.core import clock
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.sqlite.database import Database
from firmware_app.core.statistics.fall import ConfirmedCall, Measure

BOX: Final = "box"
_SAME: Final = 1e-3
"""Two thresholds nearer than this are one."""
_SENTENCES: Final[dict[str, str]] = {
    "sensitivity": register(
        "pack.fell_sensitivity",
        N_(
            "The model “{pack}” {version} misses more at this clinic than its card says: {films} confirmed films show "
            "it. Look at the films that it called clear."
        ),
    ),
    "specificity": register(
        "pack.fell_specificity",
        N_(
            "The model “{pack}” {version} calls more films wrongly at this clinic than its card says: {films} "
            "confirmed films show it. Look at the films that it called positive."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class ClinicalFall:
    """A version of a pack that does worse than its card says; `noted`: a person has seen it."""

    pack: str
    version: str
    measure: str
    films: int
    noted: bool

    @property
    def reason(self) -> Reason:
        """It as a sentence."""
        return Reason(_SENTENCES[self.measure], {"pack": self.pack, "version": self.version, "films": self.films})


class Falls:
    """The falls of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[ClinicalFall]:
        """Every version that was found to have fallen."""
        rows = self._database.connection.execute("SELECT * FROM clinical_falls ORDER BY at")
        return [
            ClinicalFall(row["pack"], row["version"], row["measure"], row["films"], bool(row["noted"])) for row in rows
        ]

    def open(self, packs: Iterable[tuple[str, str]]) -> list[ClinicalFall]:
        """Of *packs*, each a name and the version that serves, those that have fallen and that nobody has noted."""
        wanted = set(packs)
        return [one for one in self.all() if not one.noted and (one.pack, one.version) in wanted]

    def found(self, pack: str, version: str, measure: Measure, films: int) -> None:
        """The test has found it; with its entry in the audit, once."""
        with self._database.transaction() as connection:
            written = connection.execute(
                "INSERT OR IGNORE INTO clinical_falls (pack, version, measure, films, at) VALUES (?, ?, ?, ?, ?)",
                (pack, version, measure, films, clock.text("seconds")),
            ).rowcount
            if written:
                said: dict[str, Detail] = {"pack": pack, "version": version, "measure": measure, "films": films}
                audit.append(connection, BOX, "pack.fell", "", said)

    def note(self, pack: str, actor: str) -> None:
        """A person has seen it."""
        with self._database.transaction() as connection:
            noted = connection.execute(
                "UPDATE clinical_falls SET noted = 1 WHERE pack = ? AND noted = 0", (pack,)
            ).rowcount
            if noted:
                audit.append(connection, actor, "pack.fall_noted", "", {"pack": pack})

    def films(self, pack: str, version: str, finding: str, threshold: float, below: float) -> list[ConfirmedCall]:
        """The films of a version whose truth was asked for and is known, on all machines, in the order in which the
        first word on each came.

        Films that were called by another *threshold* than the pack's own are left out: its card does not speak of
        them.  *below*: the probability with which films below the threshold are asked for.
        """
        rows = self._database.connection.execute(
            "SELECT s.score, s.threshold, s.asked, s.probability, c.* FROM scored s JOIN confirmations c"
            " ON c.case_reference = s.case_reference AND c.finding = s.finding"
            " WHERE s.pack = ? AND s.version = ? AND s.finding = ? AND ABS(s.threshold - ?) < ? ORDER BY c.sequence",
            (pack, version, finding, threshold, _SAME),
        ).fetchall()
        cases: dict[str, list[int]] = {}
        for at, row in enumerate(rows):
            cases.setdefault(row["case_reference"], []).append(at)
        films = []
        for places in cases.values():
            first, words = rows[places[0]], [confirmation_in(rows[at]) for at in places]
            complete = any(rows[at]["complete"] for at in places)
            word = counting(words)
            if word is None or not (first["asked"] is not None or complete):
                continue
            share = 1.0 if complete else first["probability"] if first["score"] < first["threshold"] else below
            called = bool(first["score"] >= first["threshold"])
            films.append(ConfirmedCall(called, word.truth == "positive", share, word.source.by_eye))
        return films

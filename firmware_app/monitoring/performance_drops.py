"""Versions of packs that do worse at this clinic than their card promises, and the test that finds them.

The test itself is `core.drift_tests`.  It runs again as images are confirmed.  What it has found stays found: a row
for each version of a pack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from firmware_app.cases import audit
from firmware_app.cases.clinical_db import ClinicalDatabase
from firmware_app.cases.confirmations import Confirmation, select_decisive
from firmware_app.cases.model_scores import SamplingShares
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.drift_tests import CardAccuracy, ConfirmedCall, Measure, find_alarm
from firmware_app.core.language import N_, register
from firmware_app.core.records import Detail, Reason
from firmware_app.core.rows import parse_row
from firmware_app.core.settings import Config
from firmware_app.packs.manifest import Manifest
from firmware_app.packs.pack_store import PackStore

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
class PerformanceDrop:
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


class PerformanceDrops:
    """The falls of one clinical database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[PerformanceDrop]:
        """Every version that was found to have fallen."""
        rows = self._database.connection.execute("SELECT * FROM clinical_falls ORDER BY at")
        return [
            PerformanceDrop(row["pack"], row["version"], row["measure"], row["films"], bool(row["noted"]))
            for row in rows
        ]

    def list_open(self, packs: Iterable[tuple[str, str]]) -> list[PerformanceDrop]:
        """Of *packs*, each a name and the version that serves, those that have fallen and that nobody has noted."""
        wanted = set(packs)
        return [
            performance_drop
            for performance_drop in self.all()
            if not performance_drop.noted and (performance_drop.pack, performance_drop.version) in wanted
        ]

    def record_drop(self, pack: str, version: str, measure: Measure, films: int) -> None:
        """The test has found it; with its entry in the audit, once."""
        with self._database.transaction() as connection:
            written = connection.execute(
                "INSERT OR IGNORE INTO clinical_falls (pack, version, measure, films, at) VALUES (?, ?, ?, ?, ?)",
                (pack, version, measure, films, clock.stamp_text("seconds")),
            ).rowcount
            if written:
                said: dict[str, Detail] = {"pack": pack, "version": version, "measure": measure, "films": films}
                audit.append(connection, BOX, "pack.fell", "", said)

    def acknowledge(self, pack: str, actor: str) -> None:
        """A person has seen it."""
        with self._database.transaction() as connection:
            noted = connection.execute(
                "UPDATE clinical_falls SET noted = 1 WHERE pack = ? AND noted = 0", (pack,)
            ).rowcount
            if noted:
                audit.append(connection, actor, "pack.fall_noted", "", {"pack": pack})

    def load_confirmed_calls(
        self, pack: str, version: str, finding: str, threshold: float, below: float
    ) -> list[ConfirmedCall]:
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
            first, words = rows[places[0]], [parse_row(Confirmation, rows[at]) for at in places]
            complete = any(rows[at]["complete"] for at in places)
            word = select_decisive(words)
            if word is None or not (first["asked"] is not None or complete):
                continue
            share = 1.0 if complete else first["probability"] if first["score"] < first["threshold"] else below
            called = bool(first["score"] >= first["threshold"])
            films.append(ConfirmedCall(called, word.truth == "positive", share, word.source.by_eye))
        return films


_CHANGES = "SELECT COALESCE(MAX(sequence), 0) FROM confirmations"


class PerformanceDropTest:
    """The test of every version that serves."""

    def __init__(self, clinical: ClinicalDatabase, config: Config) -> None:
        self._clinical, self._config, self._falls = clinical, config, PerformanceDrops(clinical.database)
        self._mark: object = None

    def run_if_changed(self) -> None:
        """Test again where a film was confirmed since the last look."""
        mark = self._clinical.database.connection.execute(_CHANGES).fetchone()[0]
        if mark != self._mark:
            self._test_packs()
            self._mark = mark

    def list_codes(self, packs: Iterable[tuple[str, str]]) -> list[str]:
        """Codes of those of *packs* (name and version) that have fallen and that nobody has noted."""
        return [performance_drop.reason.code for performance_drop in self._falls.list_open(packs)]

    def _test_packs(self) -> None:
        known = {(performance_drop.pack, performance_drop.version) for performance_drop in self._falls.all()}
        below = SamplingShares(self._config.calibration.before, self._config.calibration.low).below
        for pack in PackStore.from_config(self._config).survey().packs:
            manifest, promise = pack.manifest, find_card_accuracy(pack.manifest)
            if promise is None or (manifest.name, manifest.version) in known:
                continue
            first = manifest.findings[0]
            films = self._falls.load_confirmed_calls(
                manifest.name, manifest.version, first.code, first.threshold, below
            )
            if (found := find_alarm(promise, films)) is not None:
                self._falls.record_drop(manifest.name, manifest.version, *found)


def find_card_accuracy(manifest: Manifest) -> CardAccuracy | None:
    """The least that a pack's card says of its first finding, over its files: lower 95 % bounds on its own test part,
    of the films that get a number where that was measured; None where a card says nothing."""
    rows = [measurement for measurement in manifest.measured if measurement.split == "test"]
    pairs = [
        (row.sensitivity_passed_ci or row.sensitivity_ci, row.specificity_passed_ci or row.specificity_ci)
        for row in rows
    ]
    lower = [(one[0], other[0]) for one, other in pairs if one is not None and other is not None]
    return CardAccuracy(min(one for one, _ in lower), min(other for _, other in lower)) if lower else None

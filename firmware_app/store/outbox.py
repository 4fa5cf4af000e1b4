"""The outbox in clinical.db: what the hospital must still hear of, written in the same breath as the case's revision.

A row stays until the hospital's own signed receipt has come, whatever happens to exchange.db on the way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from firmware_app import clock
from firmware_app.records import Case, Priority, ReadingStatus
from firmware_app.store.database import Database
from firmware_app.uplink.summary import (
    Brief,
    FindingBrief,
    Modality,
    Runtime,
    Verdict,
    quality_code,
    size_band,
)

CaseRevision = tuple[str, int]
_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}", re.ASCII)
_MOST_FINDINGS: Final = 32


@dataclass(frozen=True, slots=True)
class Outbox:
    """The rows of one clinical database."""

    database: Database

    def put(self, case: Case) -> None:
        """Inside the caller's transaction: the hospital must hear of this revision of *case*."""
        brief = brief_of(case, clock.stamp())
        self.database.connection.execute(
            "INSERT INTO outbox (case_reference, revision, urgent, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (case_reference, revision) DO NOTHING",
            (brief.case, brief.revision, brief.priority is Priority.URGENT, json.dumps(brief.to_object())),
        )

    def waiting(self, limit: int, *, urgent_only: bool = False) -> list[Brief]:
        """What exchange.db does not have yet, urgent first, then as it came."""
        rows = self.database.connection.execute(
            "SELECT body FROM outbox WHERE relayed = 0 AND urgent >= ? ORDER BY urgent DESC, rowid LIMIT ?",
            (urgent_only, limit),
        )
        return [Brief.from_object(json.loads(row[0])) for row in rows]

    def mark_relayed(self, briefs: Iterable[Brief]) -> None:
        """These are in exchange.db, durably."""
        with self.database.transaction() as connection:
            connection.executemany(
                "UPDATE outbox SET relayed = 1 WHERE case_reference = ? AND revision = ?",
                [(brief.case, brief.revision) for brief in briefs],
            )

    def settle(self, known: Collection[CaseRevision]) -> None:
        """The hospital has these for good."""
        with self.database.transaction() as connection:
            connection.executemany("DELETE FROM outbox WHERE case_reference = ? AND revision = ?", known)

    def relay_again(self, carried: Collection[CaseRevision]) -> int:
        """Hand on once more what was relayed but is not *carried*: exchange.db was lost.  Returns how many."""
        rows = self.database.connection.execute("SELECT case_reference, revision FROM outbox WHERE relayed = 1")
        lost = [tuple(row) for row in rows if tuple(row) not in carried]
        if lost:
            with self.database.transaction() as connection:
                connection.executemany("UPDATE outbox SET relayed = 0 WHERE case_reference = ? AND revision = ?", lost)
        return len(lost)

    def count(self) -> int:
        """How many case revisions the hospital has not acknowledged."""
        return int(self.database.connection.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])


def brief_of(case: Case, taken: clock.Stamp) -> Brief:
    """All that the hospital may know of *case*.  Never raises for a case of this box: whatever does not fit its closed
    form is shortened or becomes "other"."""
    read = [reading for reading in case.readings if reading.status is ReadingStatus.READ]
    pack = read[0].pack if read else None
    reasons = [reading.reason for reading in case.readings if reading.reason and not read]
    hints = [hint for reading in read for hint in reading.quality.hints]
    said = case.incomplete or next(iter(reasons or hints), None)
    findings = sorted(case.findings, key=lambda finding: -finding.probability)[:_MOST_FINDINGS]
    return Brief(
        case=case.reference or "",
        revision=case.revision,
        modality=Modality.told_by(case.modality),
        pack=pack.name[:40] if pack else None,
        pack_version=pack.version if pack and _VERSION.fullmatch(pack.version) else None,
        runtime=Runtime.told_by(pack.runtime) if pack else None,
        priority=case.priority or Priority.CANNOT_JUDGE,
        findings=tuple(FindingBrief(finding.code[:64], round(100 * finding.probability)) for finding in findings),
        lesions=min(len(case.lesions), 9999),
        size_band=size_band([lesion.long_axis_mm for lesion in case.lesions]),
        quality=quality_code(said.code if said else None),
        latency_ms=round(max((reading.timing.total for reading in case.readings), default=0)),
        verdict=Verdict.NONE,
        hour=clock.hour(taken),
    )

"""The conclusion of each revision of a case, and the follow-up that a pack's rules advise for it.

A conclusion is written when the study comes to rest, and never changed.  It keeps the facts of the patient's background
that its follow-up took into account.  A fact that a person enters stands before what the headers say; it gives the case
its next revision, and no image is read again for it.

The advice follows the rules in a pack (`packs.follow_up_rules`); a pack without rules gives no advice.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from firmware_app.cases import audit
from firmware_app.cases.errors import CaseUnknown
from firmware_app.core import clock
from firmware_app.core.database import Database
from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Case, Finding, FollowUp, Priority
from firmware_app.core.rows import dump_json, insert, parse_json
from firmware_app.packs.follow_up_rules import FollowUpRules, RuleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What one revision of a case said, of these images; `background`: the facts known then, by their codes."""

    priority: Priority | None
    findings: tuple[Finding, ...]
    lesions: tuple[Lesion, ...]
    follow_up: FollowUp | None
    background: tuple[str, ...]
    images: tuple[str, ...]


def record_conclusion(connection: sqlite3.Connection, case: Case, background: tuple[str, ...]) -> None:
    """Inside the caller's transaction: keep what this revision of *case* says, with the *background* known then."""
    images = tuple(dict.fromkeys(instance for reading in case.readings for instance in reading.instances))
    said = Conclusion(
        priority=case.priority,
        findings=case.findings,
        lesions=case.lesions,
        follow_up=case.follow_up,
        background=background,
        images=images,
    )
    row = {"case_reference": case.reference, "revision": case.revision, "body": dump_json(said)}
    insert(connection, "conclusions", "INSERT OR IGNORE", **row, at=clock.stamp_text())


def load_conclusion(connection: sqlite3.Connection, case: str, revision: int) -> Conclusion | None:
    """What this revision of *case* said; None for one that was closed by an earlier version, or lost."""
    row = connection.execute(
        "SELECT body FROM conclusions WHERE case_reference = ? AND revision = ?", (case, revision)
    ).fetchone()
    return parse_json(Conclusion, row["body"]) if row is not None else None


def load_entered_facts(connection: sqlite3.Connection, case: str) -> dict[str, bool]:
    """The facts that a person stated or denied."""
    rows = connection.execute("SELECT fact, known FROM background WHERE case_reference = ? ORDER BY rowid", (case,))
    return {row["fact"]: bool(row["known"]) for row in rows}


def list_known_facts(connection: sqlite3.Connection, case: Case) -> tuple[str, ...]:
    """The codes of the facts that are known to be so: those of the headers, and over them those that were entered."""
    said = dict.fromkeys((fact for reading in case.readings for fact in reading.background), True)
    said |= load_entered_facts(connection, case.reference or "")
    return tuple(fact for fact, is_so in said.items() if is_so)


def enter_facts(database: Database, case: str, facts: Mapping[str, bool], actor: str) -> int:
    """Keep what a person says of *facts*; returns how many of them changed.  Raises `CaseUnknown`.

    The case gets its next revision then.
    """
    with database.transaction() as connection:
        if connection.execute("SELECT 1 FROM cases WHERE reference = ?", (case,)).fetchone() is None:
            raise CaseUnknown(case=case[:40])
        before = load_entered_facts(connection, case)
        changed = {fact: is_so for fact, is_so in facts.items() if before.get(fact) is not is_so}
        for fact, is_so in changed.items():
            row = {"case_reference": case, "fact": fact, "known": is_so, "actor": actor}
            insert(connection, "background", "INSERT OR REPLACE", **row, at=clock.stamp_text("seconds"))
            audit.append(connection, actor, "background.entered", case, {"fact": fact})
        if changed:
            connection.execute("UPDATE cases SET fresh = 1, touched = ? WHERE reference = ?", (time.monotonic(), case))
    return len(changed)


def find_advice(
    rules: FollowUpRules | None,
    pack: tuple[str, str],
    findings: Sequence[Finding],
    lesions: Sequence[Lesion],
    background: Collection[str] = (),
    *,
    complete: bool,
) -> FollowUp | None:
    """The advice of *pack* (name, version) for a case with these *findings* and *lesions*; None where no row holds.

    *background*: the codes of the facts that are known to be so.  *complete*: every image was read; of an incomplete
    case nothing is said because nothing was found.  The facts that raised the advice are named in it.
    """
    if rules is None:
        return None
    said = _find_row(rules, findings, lesions, background, complete=complete)
    if said is None:
        return None
    before = _find_row(rules, findings, lesions, (), complete=complete)
    raised = said.background if said is not before else ()
    labels = {fact.code: fact.label.by_language() for fact in rules.background if fact.code in raised}
    name, version = pack
    return FollowUp(
        code=f"follow_up.{said.code}",
        advice=said.advice.by_language(),
        rule=said.rule.by_language(),
        source=said.source,
        pack=name,
        version=version,
        background=labels,
    )


def _find_row(
    rules: FollowUpRules,
    findings: Sequence[Finding],
    lesions: Sequence[Lesion],
    known: Collection[str],
    *,
    complete: bool,
) -> RuleRow | None:
    """The most pressing row that holds."""
    holding = [row for row in rules.rows if _matches(row, findings, lesions, known, complete=complete)]
    return holding[-1] if holding else None


def _matches(
    row: RuleRow, findings: Sequence[Finding], lesions: Sequence[Lesion], known: Collection[str], *, complete: bool
) -> bool:
    positive = {finding.code for finding in findings if finding.positive}
    if not set(row.background) <= set(known) or not set(row.positive) <= positive:
        return False
    if row.nothing:
        return complete and not positive and not lesions
    return row.finding is None or any(_matches_lesion(row, lesion) for lesion in lesions)


def _matches_lesion(row: RuleRow, lesion: Lesion) -> bool:
    """Whether everything that *row* says of a lesion is so of this one."""
    finding = row.finding or ""
    meant = lesion.finding == finding if row.score is None else row.score.contains(lesion.find_probability(finding))
    if not meant or (row.score is not None and lesion.finding != finding and finding not in lesion.chances):
        return False
    if row.long_axis_mm is not None and not row.long_axis_mm.contains(lesion.largest("long_axis_mm")):
        return False
    terms = {feature.name: feature.term for feature in lesion.features}
    return all(terms.get(name) in wanted for name, wanted in row.features.items())

"""What should follow for a case, by the rules in a pack (`packs.follow_up_rules`); a pack without rules gives no
advice."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Finding, FollowUp
from firmware_app.packs.follow_up_rules import FollowUpRules, Row


def advised(
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
    said = _last(rules, findings, lesions, background, complete=complete)
    if said is None:
        return None
    before = _last(rules, findings, lesions, (), complete=complete)
    raised = said.background if said is not before else ()
    labels = {fact.code: fact.label.by_language() for fact in rules.background if fact.code in raised}
    name, version = pack
    return FollowUp(
        f"follow_up.{said.code}", said.advice.by_language(), said.rule.by_language(), said.source, name, version, labels
    )


def _last(
    rules: FollowUpRules,
    findings: Sequence[Finding],
    lesions: Sequence[Lesion],
    known: Collection[str],
    *,
    complete: bool,
) -> Row | None:
    """The most pressing row that holds."""
    holding = [row for row in rules.rows if _holds(row, findings, lesions, known, complete=complete)]
    return holding[-1] if holding else None


def _holds(
    row: Row, findings: Sequence[Finding], lesions: Sequence[Lesion], known: Collection[str], *, complete: bool
) -> bool:
    positive = {finding.code for finding in findings if finding.positive}
    if not set(row.background) <= set(known) or not set(row.positive) <= positive:
        return False
    if row.nothing:
        return complete and not positive and not lesions
    return row.finding is None or any(_fits(row, lesion) for lesion in lesions)


def _fits(row: Row, lesion: Lesion) -> bool:
    """Whether everything that *row* says of a lesion is so of this one."""
    finding = row.finding or ""
    meant = lesion.finding == finding if row.score is None else row.score.holds(lesion.chance(finding))
    if not meant or (row.score is not None and lesion.finding != finding and finding not in lesion.chances):
        return False
    if row.long_axis_mm is not None and not row.long_axis_mm.holds(lesion.largest("long_axis_mm")):
        return False
    terms = {feature.name: feature.term for feature in lesion.features}
    return all(terms.get(name) in wanted for name, wanted in row.features.items())

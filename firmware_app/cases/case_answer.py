"""What a case says: its findings and its lesions, decided once from its readings for every form of it.

A finding is decided by the image or clip in which it is strongest: its threshold was measured on whole pictures.  A
model may also give the probability of that finding in each lesion.  It comes from a part of the picture and has a
calibration of its own, so the two fell on different sides of the threshold in 11 of 210 breast images (Ciudad Real) and
61 of 552 liver images.  Deciding by the lesions instead costs specificity on the liver (0.77 for 0.92) and gains
nothing on the breast.  So the case's finding decides, and its lesions share it: the most suspicious one has the case's
probability, the others as much less as the model gave them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from firmware_app.cases.lesion_tracking import find_lesions_with_marks
from firmware_app.core.lesion import Lesion
from firmware_app.core.records import Finding, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAnswer:
    """The findings of a case; its lesions, the highest score first, and the marks that each was put together from."""

    findings: tuple[Finding, ...]
    lesions: tuple[Lesion, ...]
    marks: tuple[tuple[Lesion, ...], ...]


def decide_answer(readings: Sequence[Reading]) -> CaseAnswer:
    """What *readings* say together."""
    findings, found = select_strongest(readings), find_lesions_with_marks(readings)
    shares = _find_shares(findings, [lesion for lesion, _ in found])
    return CaseAnswer(
        findings=findings,
        lesions=tuple(_share_findings(lesion, marks, findings, shares) for lesion, marks in found),
        marks=tuple(marks for _, marks in found),
    )


def select_strongest(readings: Iterable[Reading]) -> tuple[Finding, ...]:
    """Of each finding the strongest among *readings*, a positive one before all others."""
    best: dict[str, Finding] = {}
    for finding in (finding for reading in readings for finding in reading.findings):
        known = best.get(finding.code)
        if known is None or (finding.positive, finding.probability) > (known.positive, known.probability):
            best[finding.code] = finding
    return tuple(best.values())


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Positive findings first, then by probability, as people see them."""
    return tuple(sorted(findings, key=lambda one: (not one.positive, -one.probability)))


def _find_shares(findings: Iterable[Finding], lesions: Sequence[Lesion]) -> dict[str, float]:
    """By a finding's code: the case's probability over the largest one among the lesions.

    Only of findings of the whole picture; one that is a lesion's own finding has the lesion's score.
    """
    own = {lesion.finding for lesion in lesions}
    shares = {}
    for finding in findings:
        largest = max((lesion.chances.get(finding.code, 0.0) for lesion in lesions), default=0.0)
        if finding.code not in own and largest > 0.0:
            shares[finding.code] = finding.probability / largest
    return shares


def _share_findings(
    lesion: Lesion, marks: Iterable[Lesion], findings: Iterable[Finding], shares: Mapping[str, float]
) -> Lesion:
    """*lesion* with the case's findings in its probabilities, and in the count of the frames that reach a threshold."""
    if not shares.keys() & lesion.chances.keys():
        return lesion
    chances = {code: chance * shares.get(code, 1.0) for code, chance in lesion.chances.items()}
    seen = lesion.seen
    if seen is not None:
        thresholds = {finding.code: finding.threshold for finding in findings if finding.code in shares}
        votes = {
            code: sum(mark.find_probability(code) * shares[code] >= threshold for mark in marks)
            for code, threshold in thresholds.items()
            if code in seen.votes
        }
        seen = replace(seen, votes={**seen.votes, **votes})
    return replace(lesion, chances=chances, seen=seen)

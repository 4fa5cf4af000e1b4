"""What a golden case records of an answer, and how far another answer lies from it: findings alone, or marks too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from firmware_app.core.lesion import box_overlap
from firmware_app.packs.manifest_types import ManifestPart, Probability
from firmware_app.packs.tasks.interface import Answer, Difference, Section

SAME_BOX_OVERLAP: Final = 0.5
"""Boxes that overlap by this much, intersection over union, mark one lesion."""

ScoredBox = tuple[float, float, float, float, float]


class ExpectedAnswer(ManifestPart):
    """What a golden case records: each finding's probability, and x0, y0, x1, y1, score of each lesion."""

    findings: dict[str, Probability]
    lesions: list[ScoredBox]


_FINDINGS: Final = TypeAdapter(dict[str, Probability])
_EXPECTED: Final = TypeAdapter(ExpectedAnswer)


def record_findings(answer: Answer) -> dict[str, float]:
    """Finding code → probability."""
    return {finding.code: round(finding.probability, 4) for finding in answer.findings}


def record_marks(answer: Answer) -> dict[str, Any]:
    """See :class:`ExpectedAnswer`."""
    return {
        "findings": record_findings(answer),
        "lesions": [[*(round(side, 2) for side in lesion.box), round(lesion.score, 4)] for lesion in answer.lesions],
    }


def parse_findings(section: Section, recorded: Any) -> Mapping[str, float]:
    """Finding code → probability; a finding may be left out.  Raises :class:`ValueError`."""
    try:
        expected = _FINDINGS.validate_python(recorded)
    except ValidationError as error:
        raise ValueError("a golden case expects something else than probabilities") from error
    return _check_known(section, expected)


def parse_marks(section: Section, recorded: Any) -> ExpectedAnswer:
    """See :class:`ExpectedAnswer`.  Raises :class:`ValueError`."""
    try:
        expected = _EXPECTED.validate_python(recorded)
    except ValidationError as error:
        raise ValueError("a golden case expects something else than probabilities and boxes") from error
    _check_known(section, expected.findings)
    return expected


def _check_known(section: Section, expected: dict[str, float]) -> dict[str, float]:
    if unknown := set(expected) - {spec.code for spec in section.findings}:
        raise ValueError(f"a golden case expects the unknown finding {min(unknown)}")
    return expected


def compare_findings(expected: Mapping[str, float], answer: Answer) -> Difference:
    """That of the finding whose probability is farthest off."""
    return _largest_difference(_finding_differences(expected, answer))


def compare_marks(expected: ExpectedAnswer, answer: Answer, limit: float) -> Difference:
    """The farthest of the probabilities and of the boxes' scores.

    A box that overlaps none of the other side's by half is as far off as its score lies above ``limit``.
    """
    worst = [*_finding_differences(expected.findings, answer)]
    left = [(lesion.box, lesion.score) for lesion in answer.lesions]
    for *corners, score in expected.lesions:
        twin = max(left, key=lambda one: box_overlap(corners, one[0]), default=None)
        if twin is None or box_overlap(corners, twin[0]) < SAME_BOX_OVERLAP:
            worst.append(Difference("box", limit, score, max(0.0, score - limit)))
        else:
            left.remove(twin)
            worst.append(Difference("box", twin[1], score, abs(twin[1] - score)))
    worst += [Difference("box", score, limit, max(0.0, score - limit)) for _, score in left]
    return _largest_difference(worst)


def _finding_differences(expected: Mapping[str, float], answer: Answer) -> Iterator[Difference]:
    given = {finding.code: finding.probability for finding in answer.findings}
    return (Difference(code, given[code], value, abs(given[code] - value)) for code, value in expected.items())


def _largest_difference(differences: Collection[Difference] | Iterator[Difference]) -> Difference:
    return max(differences, key=lambda one: one.apart, default=Difference("", 0.0, 0.0, 0.0))

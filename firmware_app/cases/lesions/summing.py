"""One lesion from its marks in several frames: means weighted by the frames' quality, medians and ranges of sizes.

What frames say differently is kept in sight: the score is the mean and not the largest, and `Seen.votes` counts the
frames that say each finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from firmware_app.core.lesion import FINDING_TAG, SIZES, Feature, Lesion, Seen


def summed(
    marks: Sequence[Lesion], weights: Sequence[float], of: int, thresholds: Mapping[str, float] | None = None
) -> Lesion:
    """The lesion of these *marks*; *weights* are above 0, one for each mark's frame.

    *of* is how many frames were read where they are.  *thresholds*, by a finding's code, are those of `Seen.votes`.
    Its finding is the one with the largest weighted sum of scores.  Its best frame is the one where weight times the
    probability of that finding is largest.  A single mark of a single frame stays as it is.
    """
    if len(marks) == 1 and of == 1:
        return marks[0]
    finding = _finding(marks, weights)
    chances = {code: round(_mean([mark.chance(code) for mark in marks], weights), 6) for code in _codes(marks)}
    best = max(zip(marks, weights, strict=True), key=lambda one: one[1] * one[0].chance(finding))[0]
    score = chances.pop(finding, None)
    sizes = {name: [size for mark in marks if (size := getattr(mark, name)) is not None] for name in SIZES}
    middles: dict[str, Any] = {name: _middle(name, values) for name, values in sizes.items() if values}
    ranges = {name: (min(values), max(values)) for name, values in sizes.items() if len(values) > 1}
    votes = {
        code: sum(mark.chance(code) >= threshold for mark in marks)
        for code, threshold in (thresholds or {}).items()
        if code in _codes(marks)
    }
    return replace(
        best,
        score=score if score is not None else _mean([mark.score for mark in marks], weights),
        tags={**best.tags, FINDING_TAG: finding} if finding else best.tags,
        chances=chances,
        features=_features(marks, weights),
        seen=Seen(tuple((mark.instance, mark.frame) for mark in marks), of, ranges, votes),
        **middles,
    )


def scores(lesions: Iterable[Lesion]) -> dict[str, float]:
    """The scores of a case: by a finding's code, its probability in the lesion where that is largest."""
    found: dict[str, float] = {}
    for lesion in lesions:
        for code in _codes([lesion]):
            found[code] = max(found.get(code, 0.0), lesion.chance(code))
    return found


def _codes(marks: Iterable[Lesion]) -> list[str]:
    """The codes of all findings of which the marks say something, in order of appearance."""
    return list(dict.fromkeys(code for mark in marks for code in (mark.finding, *mark.chances) if code))


def _finding(marks: Sequence[Lesion], weights: Sequence[float]) -> str:
    """The finding of most marks, each counted by its score and its frame's weight."""
    sums: dict[str, float] = {}
    for mark, weight in zip(marks, weights, strict=True):
        sums[mark.finding] = sums.get(mark.finding, 0.0) + weight * mark.score
    return max(sums, key=sums.__getitem__)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _middle(name: str, values: Sequence[float]) -> float | int:
    return round(median(values)) if name == "area_px" else float(median(values))


def _features(marks: Sequence[Lesion], weights: Sequence[float]) -> tuple[Feature, ...]:
    """Of each feature the term with the most weight; its confidence is shared among all frames that name one."""
    said: dict[str, list[tuple[Feature, float]]] = {}
    for mark, weight in zip(marks, weights, strict=True):
        for feature in mark.features:
            said.setdefault(feature.name, []).append((feature, weight))
    found = []
    for name, votes in said.items():
        terms: dict[str, float] = {}
        for feature, weight in votes:
            terms[feature.term] = terms.get(feature.term, 0.0) + weight * feature.confidence
        term = max(terms, key=terms.__getitem__)
        agreeing = [feature for feature, _ in votes if feature.term == term]
        measures = [feature.measure for feature in agreeing if feature.measure is not None]
        confidence = min(1.0, terms[term] / sum(weight for _, weight in votes))
        learned = any(feature.learned for feature in agreeing)
        found.append(Feature(name, term, confidence, median(measures) if measures else None, learned))
    return tuple(found)

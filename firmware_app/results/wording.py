"""A case in sentences: its lesions with place, size and description, and what should follow.

The same sentences stand in `lantern case report` and on the viewer's pages.  They are a template, so nothing is in them
that is not in the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Final

from firmware_app.core.language import N_, translate
from firmware_app.core.lesion import Feature, Lesion
from firmware_app.core.records import Case, Finding
from firmware_app.results.case_text import finding_text, not_looked_for, priority_name

PLACES: Final = (
    (
        N_("in the upper left of the picture"),
        N_("in the upper middle of the picture"),
        N_("in the upper right of the picture"),
    ),
    (N_("in the left of the picture"), N_("in the middle of the picture"), N_("in the right of the picture")),
    (
        N_("in the lower left of the picture"),
        N_("in the lower middle of the picture"),
        N_("in the lower right of the picture"),
    ),
)
"""The ninths of a picture, row by row."""
FEATURES: Final = {
    "shape": N_("shape"),
    "orientation": N_("orientation"),
    "margin": N_("margin"),
    "echo_pattern": N_("echo pattern"),
    "posterior_features": N_("posterior features"),
}
TERMS: Final = {
    "oval": N_("oval"),
    "round": N_("round"),
    "irregular": N_("irregular"),
    "parallel": N_("parallel"),
    "not_parallel": N_("not parallel"),
    "circumscribed": N_("circumscribed"),
    "not_circumscribed": N_("not circumscribed"),
    "anechoic": N_("anechoic"),
    "hypoechoic": N_("hypoechoic"),
    "isoechoic": N_("isoechoic"),
    "hyperechoic": N_("hyperechoic"),
    "none": N_("unchanged"),
    "enhancement": N_("enhancement"),
    "shadowing": N_("shadowing"),
}
"""The terms of BI-RADS ultrasound (ACR 2013) by their codes; another network's terms are shown as they are."""
_LONGEST: Final = 20
"""Lesions that are told one by one; a longer list is the picture's business."""


def paragraphs(case: Case, language: str) -> list[str]:
    """The whole case in sentences: what was found, what was not looked for, its lesions, the assessment."""
    found = [finding_text(finding, language) for finding in case.findings]
    found += not_looked_for(case.readings, language)
    return [*found, *lesions(case, language), *assessment(case, language)]


def lesions(case: Case, language: str) -> list[str]:
    """How many there are, then one paragraph for each; empty for a case without any."""
    if not case.lesions:
        return []
    count = translate(N_("Lesions marked: {count}."), language).format(count=len(case.lesions))
    told = case.lesions[:_LONGEST]
    more = len(case.lesions) - len(told)
    rest = [translate(N_("{count} more are only marked on the pictures."), language).format(count=more)] if more else []
    return [count, *(lesion(one, number, case.findings, language) for number, one in enumerate(told, 1)), *rest]


def lesion(one: Lesion, number: int, findings: Iterable[Finding], language: str) -> str:
    """One lesion in sentences: finding and score, place, frames, size, description, what speaks for other findings."""
    findings = tuple(findings)
    said = [_head(one, number, findings, language), _source(one, language), _frames(one, language)]
    said.append(_size(one, language))
    said += [_described(one.features, language, learned=learned) for learned in (False, True)]
    said += [_chance(one, code, findings, language) for code in one.chances]
    return _after_another(said, language)


def brief(one: Lesion, number: int, findings: Iterable[Finding], language: str) -> str:
    """One lesion in a line: finding, score and size."""
    name = named(findings, one.finding, language)
    sentence = (
        N_("Lesion {number}, {finding}, score {score:.2f}.") if name else N_("Lesion {number}, score {score:.2f}.")
    )
    said = translate(sentence, language).format(number=number, finding=name, score=one.score)
    return _after_another([said, _size(one, language)], language)


def assessment(case: Case, language: str) -> list[str]:
    """The priority, and the follow-up with its rule where there is one."""
    priority = translate(N_("Priority: {priority}."), language).format(priority=priority_name(case.priority, language))
    return [priority, *([case.follow_up.text(language)] if case.follow_up is not None else [])]


def _head(one: Lesion, number: int, findings: Sequence[Finding], language: str) -> str:
    name = named(findings, one.finding, language)
    x, y = one.middle
    sentence = (
        N_("Lesion {number}, {finding}, score {score:.2f}: {place}, its middle at x {x:.0f}, y {y:.0f}.")
        if name
        else N_("Lesion {number}, score {score:.2f}: {place}, its middle at x {x:.0f}, y {y:.0f}.")
    )
    values = {"number": number, "finding": name, "score": one.score, "place": place(one, language), "x": x, "y": y}
    return translate(sentence, language).format(**values)


def place(one: Lesion, language: str) -> str:
    """In which ninth of the picture its middle lies."""
    if one.picture is None:
        return translate(N_("in the picture"), language)
    (x, y), (columns, rows) = one.middle, one.picture
    row, column = (min(2, max(0, int(3 * at / side))) for at, side in ((y, rows), (x, columns)))
    return translate(PLACES[row][column], language)


def _source(one: Lesion, language: str) -> str:
    if not one.is_candidate:
        return ""
    sentence = N_("The mark is from the heat map: it shows where the model looked, not where a lesion ends.")
    return translate(sentence, language)


def _frames(one: Lesion, language: str) -> str:
    if one.seen is None:
        return ""
    sentence = N_("Seen in {frames} of {of} frames, best in frame {best}.")
    return translate(sentence, language).format(frames=one.seen.frames, of=one.seen.of, best=one.frame + 1)


def described(one: Lesion, language: str) -> str:
    """The terms of its description, computed ones and those of the model apart; empty where it has none."""
    return _after_another((_described(one.features, language, learned=learned) for learned in (False, True)), language)


def axes(one: Lesion) -> str:
    """``12.0 × 8.0 mm``: long and short axis with the ranges of several frames, in pixels where the picture states no
    scale; empty where they are not known."""
    long, short, unit = _spans(one)
    return f"{long} × {short} {unit}" if long and short else ""


def _spans(one: Lesion) -> tuple[str, str, str]:
    unit = "mm" if one.long_axis_mm is not None and one.short_axis_mm is not None else "px"
    digits = 1 if unit == "mm" else 0
    return _span(one, f"long_axis_{unit}", digits), _span(one, f"short_axis_{unit}", digits), unit


def named(findings: Iterable[Finding], code: str, language: str) -> str:
    """The name of the finding with this code; the code itself where there is none."""
    labels = next((finding.label for finding in findings if finding.code == code), {})
    return labels.get(language) or labels.get("en") or code


def _size(one: Lesion, language: str) -> str:
    """Long and short axis, area and volume: in millimetres, or in pixels, which is said."""
    long, short, unit = _spans(one)
    if not (long and short):
        return ""
    if unit == "px":
        sentence = N_("Long axis {long} pixels, short axis {short} pixels; the picture states no scale.")
        return translate(sentence, language).format(long=long, short=short)
    said = [translate(N_("Long axis {long} mm, short axis {short} mm."), language).format(long=long, short=short)]
    if one.area_mm2 is not None:
        said.append(translate(N_("Area {area:.0f} mm²."), language).format(area=one.area_mm2))
    if one.volume_mm3 is not None:
        sentence = N_("Volume about {volume:.1f} ml, as an ellipsoid of these axes.")
        said.append(translate(sentence, language).format(volume=one.volume_mm3 / 1000.0))
    return _after_another(said, language)


def _after_another(sentences: Iterable[str], language: str) -> str:
    """The sentences that are not empty as one paragraph; Chinese has no space between them."""
    joined = translate(N_("{first} {second}"), language)
    told = filter(None, sentences)
    return reduce(lambda first, second: joined.format(first=first, second=second), told, next(told, ""))


def _span(one: Lesion, size: str, digits: int) -> str:
    """A size, and its range where several frames differ: ``12.0 (10.5–13.1)``."""
    value = getattr(one, size)
    if value is None:
        return ""
    least, greatest = one.seen.ranges.get(size, (value, value)) if one.seen is not None else (value, value)
    told, low, high = (f"{number:.{digits}f}" for number in (value, least, greatest))
    return f"{told} ({low}–{high})" if low != high else told


def _described(features: Iterable[Feature], language: str, *, learned: bool) -> str:
    terms = [
        translate(N_("{feature} {term} ({confidence:.0%})"), language).format(
            feature=_word(FEATURES, one.name, language),
            term=_word(TERMS, one.term, language),
            confidence=one.confidence,
        )
        for one in features
        if one.learned is learned
    ]
    if not terms:
        return ""
    sentence = (
        N_("Description by the model (with its confidence): {terms}.")
        if learned
        else N_("Description, computed (with its confidence): {terms}.")
    )
    return translate(sentence, language).format(terms=translate(N_(", "), language).join(terms))


def _chance(one: Lesion, code: str, findings: Sequence[Finding], language: str) -> str:
    """The probability of another finding in this lesion, and how many frames say it."""
    name = named(findings, code, language)
    said = translate(N_("{finding}: {chance:.2f}"), language).format(finding=name, chance=one.chances[code])
    if one.seen is None or code not in one.seen.votes:
        return translate(N_("{sentence}."), language).format(sentence=said)
    sentence = N_("{sentence}, by {votes} of {frames} frames.")
    return translate(sentence, language).format(sentence=said, votes=one.seen.votes[code], frames=one.seen.frames)


def _word(words: Mapping[str, str], code: str, language: str) -> str:
    return translate(words[code], language) if code in words else code

"""A case as plain text: one row in a list, one page for a terminal, or full sentences.

The sentences name each lesion with its place, size and description, and state the follow-up. `lantern case report` and
the viewer's pages show the same ones. They come from templates, so they hold nothing that is not in the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Final

from firmware_app.core.language import N_, escape_controls, translate
from firmware_app.core.lesion import Feature
from firmware_app.core.records import Case, FileStatus, Finding, Lesion, Priority, Reading, Reason
from firmware_app.monitoring import calibration_status

PRIORITY_NAMES: Final[Mapping[Priority | None, str]] = {
    Priority.URGENT: N_("urgent"),
    Priority.SOON: N_("soon"),
    Priority.ROUTINE: N_("routine"),
    Priority.CANNOT_JUDGE: N_("cannot judge"),
    None: N_("not read"),
}
INCOMPLETE = N_("incomplete")
FOUND, NOT_FOUND = N_("found"), N_("not found")
_STATUS_NAMES = {
    FileStatus.READ: N_("read"),
    FileStatus.CANNOT_JUDGE: N_("cannot judge"),
    FileStatus.REFUSED: N_("refused"),
    FileStatus.DUPLICATE: N_("duplicate"),
}


def name_priority(priority: Priority | None, language: str) -> str:
    """*priority* as a word in *language*; a case without one has not been read."""
    return translate(PRIORITY_NAMES[priority], language)


def name_status(status: FileStatus, language: str) -> str:
    """What became of a file, as a word in *language*."""
    return translate(_STATUS_NAMES[status], language)


def format_finding(finding: Finding, language: str) -> str:
    """E.g. ``Pneumonia: found, 0.93 (threshold 0.41)``; what was measured beside it comes first, ``12.5 mm, 0.93``."""
    label = finding.label.get(language) or finding.label["en"]
    verdict = translate(FOUND if finding.positive else NOT_FOUND, language)
    limit = translate(N_("threshold {threshold:.2f}"), language).format(threshold=finding.threshold)
    value = f"{format_value(finding, language)}, " if finding.value is not None else ""
    return f"{label}: {verdict}, {value}{finding.probability:.2f} ({limit})"


def format_value(finding: Finding, language: str) -> str:
    """What was measured or graded, in its unit: ``12.5 mm``; empty where nothing was."""
    unit = finding.unit.get(language) or finding.unit.get("en") or ""
    return "" if finding.value is None else f"{finding.value:.4g} {unit}".rstrip()


def list_not_looked_for(readings: Iterable[Reading], language: str) -> list[str]:
    """What the packs of *readings* leave out: a line for each pack that says so, where there is a result."""
    left_out = [
        reading.not_looked_for.get(language) or reading.not_looked_for.get("en")
        for reading in readings
        if reading.findings
    ]
    sentence = translate(N_("Not looked for: {others}."), language)
    return [sentence.format(others=others) for others in dict.fromkeys(left_out) if others]


def format_heading() -> str:
    """The headings of `format_row`; they are English, as the fixed output of every command is."""
    return (
        f"{'case':<24}{'rev':>3}  {'kind':<10}{'priority':<14}{'images':>6}"
        "  what was found, or why nothing could be said"
    )


def format_row(case: Case, language: str) -> str:
    """One line: reference, revision, modality, priority, number of images, and findings or the first reason.

    An image that was sent twice counts once.  Of files that belong to no case, every file counts.
    """
    # A file that was read and has a reason is no image, but one that lies beside them.
    files = [file for file in case.files if not (file.status is FileStatus.READ and file.reason)]
    count = len({file.instance for file in files if file.instance}) if case.reference else len(case.files)
    result = "; ".join(format_finding(finding, language) for finding in case.findings)
    if not result:
        result = next((file.reason.text(language) for file in files if file.reason), "")
    if case.incomplete:
        result = f"{translate(INCOMPLETE, language)}; {result}"
    return escape_controls(
        f"{case.reference or '-':<24}{case.revision:>3}  {case.modality or '-':<10}"
        f"{name_priority(case.priority, language) if case.reference else '-':<14}{count:>6}  {result}"
    )


def format_page(case: Case, language: str) -> str:
    """The whole case: every file with its status, and every reading, its hints first."""
    title = case.reference or translate(N_("Files that belong to no case"), language)
    lines = [
        f"{title}  {case.modality or ''}  {name_priority(case.priority, language) if case.reference else ''}".rstrip()
    ]
    if case.incomplete:
        lines.append(f"  ! {case.incomplete.text(language)}")
    if (local := calibration_status.explain_calibration(case)) is not None:
        lines.append(f"  ! {local[1].text(language)}")
    for file in case.files:
        reason = f"  {_format_reason(file.reason, language)}" if file.reason else ""
        lines.append(f"  {file.status.value:<13}{file.path}{reason}")
    for reading in case.readings:
        lines += _format_reading(reading, language)
    lines += [f"    {line}" for line in list_not_looked_for(case.readings, language)]
    return "\n".join(escape_controls(line) for line in lines)


def _format_reason(reason: Reason, language: str) -> str:
    """``code: sentence``, and what a sentence leaves to whoever repairs the box."""
    text, detail = reason.text(language), str(reason.details.get("detail", ""))
    return f"{reason.code}: {text} ({detail})" if detail and detail not in text else f"{reason.code}: {text}"


def _format_lesion(lesion: Lesion, language: str) -> str:
    """E.g. ``frame 1, x 48 to 72, y 12 to 24: score 0.93``."""
    x0, y0, x1, y1 = lesion.box
    place = N_("frame {frame}, x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}: score {score:.2f}")
    values = {"frame": lesion.frame + 1, "x0": x0, "x1": x1, "y0": y0, "y1": y1, "score": lesion.score}
    return translate(place, language).format(**values)


def _format_reading(reading: Reading, language: str) -> list[str]:
    lines = [f"    ! {hint.text(language)}" for hint in reading.quality.hints]
    lines += [f"    {format_finding(finding, language)}" for finding in reading.findings]
    lines += [f"      {_format_lesion(lesion, language)}" for lesion in reading.lesions]
    if reading.pack and reading.findings:
        pack = reading.pack
        lines.append(f"    {pack.name} {pack.version}, {pack.runtime} {pack.precision}, {reading.timing.total:.0f} ms")
    return lines


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


def describe_case(case: Case, language: str) -> list[str]:
    """The whole case in sentences: what was found, what was not looked for, its lesions, the assessment."""
    found = [format_finding(finding, language) for finding in case.findings]
    found += list_not_looked_for(case.readings, language)
    return [*found, *describe_lesions(case, language), *describe_assessment(case, language)]


def describe_lesions(case: Case, language: str) -> list[str]:
    """How many there are, then one paragraph for each; empty for a case without any."""
    if not case.lesions:
        return []
    count = translate(N_("Lesions marked: {count}."), language).format(count=len(case.lesions))
    told = case.lesions[:_LONGEST]
    more = len(case.lesions) - len(told)
    rest = [translate(N_("{count} more are only marked on the pictures."), language).format(count=more)] if more else []
    return [
        count,
        *(describe_lesion(one, number, case.findings, language) for number, one in enumerate(told, 1)),
        *rest,
    ]


def describe_lesion(one: Lesion, number: int, findings: Iterable[Finding], language: str) -> str:
    """One lesion in sentences: finding and score, place, frames, size, description, what speaks for other findings."""
    findings = tuple(findings)
    said = [
        _describe_head(one, number, findings, language),
        _describe_source(one, language),
        _describe_frames(one, language),
    ]
    said.append(_describe_size(one, language))
    said += [_list_features(one.features, language, learned=learned) for learned in (False, True)]
    said += [_describe_probability(one, code, findings, language) for code in one.chances]
    return _join_sentences(said, language)


def summarise_lesion(one: Lesion, number: int, findings: Iterable[Finding], language: str) -> str:
    """One lesion in a line: finding, score and size."""
    name = name_finding(findings, one.finding, language)
    sentence = (
        N_("Lesion {number}, {finding}, score {score:.2f}.") if name else N_("Lesion {number}, score {score:.2f}.")
    )
    said = translate(sentence, language).format(number=number, finding=name, score=one.score)
    return _join_sentences([said, _describe_size(one, language)], language)


def describe_assessment(case: Case, language: str) -> list[str]:
    """The priority, and the follow-up with its rule where there is one."""
    priority = translate(N_("Priority: {priority}."), language).format(priority=name_priority(case.priority, language))
    return [priority, *([case.follow_up.text(language)] if case.follow_up is not None else [])]


def _describe_head(one: Lesion, number: int, findings: Sequence[Finding], language: str) -> str:
    name = name_finding(findings, one.finding, language)
    x, y = one.centre
    sentence = (
        N_("Lesion {number}, {finding}, score {score:.2f}: {place}, its middle at x {x:.0f}, y {y:.0f}.")
        if name
        else N_("Lesion {number}, score {score:.2f}: {place}, its middle at x {x:.0f}, y {y:.0f}.")
    )
    values = {
        "number": number,
        "finding": name,
        "score": one.score,
        "place": describe_place(one, language),
        "x": x,
        "y": y,
    }
    return translate(sentence, language).format(**values)


def describe_place(one: Lesion, language: str) -> str:
    """In which ninth of the picture its middle lies."""
    if one.picture is None:
        return translate(N_("in the picture"), language)
    (x, y), (columns, rows) = one.centre, one.picture
    row, column = (min(2, max(0, int(3 * at / side))) for at, side in ((y, rows), (x, columns)))
    return translate(PLACES[row][column], language)


def _describe_source(one: Lesion, language: str) -> str:
    if not one.is_candidate:
        return ""
    sentence = N_("The mark is from the heat map: it shows where the model looked, not where a lesion ends.")
    return translate(sentence, language)


def _describe_frames(one: Lesion, language: str) -> str:
    if one.seen is None:
        return ""
    sentence = N_("Seen in {frames} of {of} frames, best in frame {best}.")
    return translate(sentence, language).format(frames=one.seen.frames, of=one.seen.of, best=one.frame + 1)


def describe_features(one: Lesion, language: str) -> str:
    """The terms of its description, computed ones and those of the model apart; empty where it has none."""
    return _join_sentences(
        (_list_features(one.features, language, learned=learned) for learned in (False, True)), language
    )


def format_axes(one: Lesion) -> str:
    """``12.0 × 8.0 mm``: long and short axis with the ranges of several frames, in pixels where the picture states no
    scale; empty where they are not known."""
    long, short, unit = _format_spans(one)
    return f"{long} × {short} {unit}" if long and short else ""


def _format_spans(one: Lesion) -> tuple[str, str, str]:
    unit = "mm" if one.long_axis_mm is not None and one.short_axis_mm is not None else "px"
    digits = 1 if unit == "mm" else 0
    return _format_span(one, f"long_axis_{unit}", digits), _format_span(one, f"short_axis_{unit}", digits), unit


def name_finding(findings: Iterable[Finding], code: str, language: str) -> str:
    """The name of the finding with this code; the code itself where there is none."""
    labels = next((finding.label for finding in findings if finding.code == code), {})
    return labels.get(language) or labels.get("en") or code


def _describe_size(one: Lesion, language: str) -> str:
    """Long and short axis, area and volume: in millimetres, or in pixels, which is said."""
    long, short, unit = _format_spans(one)
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
    return _join_sentences(said, language)


def _join_sentences(sentences: Iterable[str], language: str) -> str:
    """The sentences that are not empty as one paragraph; Chinese has no space between them."""
    joined = translate(N_("{first} {second}"), language)
    told = filter(None, sentences)
    return reduce(lambda first, second: joined.format(first=first, second=second), told, next(told, ""))


def _format_span(one: Lesion, size: str, digits: int) -> str:
    """A size, and its range where several frames differ: ``12.0 (10.5–13.1)``."""
    value = getattr(one, size)
    if value is None:
        return ""
    least, greatest = one.seen.ranges.get(size, (value, value)) if one.seen is not None else (value, value)
    told, low, high = (f"{number:.{digits}f}" for number in (value, least, greatest))
    return f"{told} ({low}–{high})" if low != high else told


def _list_features(features: Iterable[Feature], language: str, *, learned: bool) -> str:
    terms = [
        translate(N_("{feature} {term} ({confidence:.0%})"), language).format(
            feature=_translate_code(FEATURES, feature.name, language),
            term=_translate_code(TERMS, feature.term, language),
            confidence=feature.confidence,
        )
        for feature in features
        if feature.learned is learned
    ]
    if not terms:
        return ""
    sentence = (
        N_("Description by the model (with its confidence): {terms}.")
        if learned
        else N_("Description, computed (with its confidence): {terms}.")
    )
    return translate(sentence, language).format(terms=translate(N_(", "), language).join(terms))


def _describe_probability(one: Lesion, code: str, findings: Sequence[Finding], language: str) -> str:
    """The probability of another finding in this lesion, and how many frames say it."""
    name = name_finding(findings, code, language)
    said = translate(N_("{finding}: {chance:.2f}"), language).format(finding=name, chance=one.chances[code])
    if one.seen is None or code not in one.seen.votes:
        return translate(N_("{sentence}."), language).format(sentence=said)
    sentence = N_("{sentence}, by {votes} of {frames} frames.")
    return translate(sentence, language).format(sentence=said, votes=one.seen.votes[code], frames=one.seen.frames)


def _translate_code(words: Mapping[str, str], code: str, language: str) -> str:
    return translate(words[code], language) if code in words else code

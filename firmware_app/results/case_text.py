"""A case as plain text for a terminal: one row in a list, or one page."""

from __future__ import annotations

from collections.abc import Iterable

from firmware_app.core.language import N_, translate, visible
from firmware_app.core.records import Case, FileStatus, Finding, Lesion, Priority, Reading, Reason
from firmware_app.monitoring import sentences

_PRIORITY_NAMES = {
    Priority.URGENT: N_("urgent"),
    Priority.SOON: N_("soon"),
    Priority.ROUTINE: N_("routine"),
    Priority.CANNOT_JUDGE: N_("cannot judge"),
}
_NOT_READ = N_("not read")
INCOMPLETE = N_("incomplete")
FOUND, NOT_FOUND = N_("found"), N_("not found")
_STATUS_NAMES = {
    FileStatus.READ: N_("read"),
    FileStatus.CANNOT_JUDGE: N_("cannot judge"),
    FileStatus.REFUSED: N_("refused"),
    FileStatus.DUPLICATE: N_("duplicate"),
}


def priority_name(priority: Priority | None, language: str) -> str:
    """*priority* as a word in *language*; a case without one has not been read."""
    return translate(_PRIORITY_NAMES[priority] if priority else _NOT_READ, language)


def status_name(status: FileStatus, language: str) -> str:
    """What became of a file, as a word in *language*."""
    return translate(_STATUS_NAMES[status], language)


def finding_text(finding: Finding, language: str) -> str:
    """E.g. ``Pneumonia: found, 0.93 (threshold 0.41)``; what was measured beside it comes first, ``12.5 mm, 0.93``."""
    label = finding.label.get(language) or finding.label["en"]
    verdict = translate(FOUND if finding.positive else NOT_FOUND, language)
    limit = translate(N_("threshold {threshold:.2f}"), language).format(threshold=finding.threshold)
    value = f"{value_text(finding, language)}, " if finding.value is not None else ""
    return f"{label}: {verdict}, {value}{finding.probability:.2f} ({limit})"


def value_text(finding: Finding, language: str) -> str:
    """What was measured or graded, in its unit: ``12.5 mm``; empty where nothing was."""
    unit = finding.unit.get(language) or finding.unit.get("en") or ""
    return "" if finding.value is None else f"{finding.value:.4g} {unit}".rstrip()


def not_looked_for(readings: Iterable[Reading], language: str) -> list[str]:
    """What the packs of *readings* leave out: a line for each pack that says so, where there is a result."""
    left_out = [
        reading.not_looked_for.get(language) or reading.not_looked_for.get("en")
        for reading in readings
        if reading.findings
    ]
    sentence = translate(N_("Not looked for: {others}."), language)
    return [sentence.format(others=others) for others in dict.fromkeys(left_out) if others]


def heading() -> str:
    """The headings of `row`; they are English, as the fixed output of every command is."""
    return (
        f"{'case':<24}{'rev':>3}  {'kind':<10}{'priority':<14}{'images':>6}"
        "  what was found, or why nothing could be said"
    )


def row(case: Case, language: str) -> str:
    """One line: reference, revision, modality, priority, number of images, and findings or the first reason.

    An image that was sent twice counts once.  Of files that belong to no case, every file counts.
    """
    # A file that was read and has a reason is no image, but one that lies beside them.
    files = [file for file in case.files if not (file.status is FileStatus.READ and file.reason)]
    count = len({file.instance for file in files if file.instance}) if case.reference else len(case.files)
    result = "; ".join(finding_text(finding, language) for finding in case.findings)
    if not result:
        result = next((file.reason.text(language) for file in files if file.reason), "")
    if case.incomplete:
        result = f"{translate(INCOMPLETE, language)}; {result}"
    return visible(
        f"{case.reference or '-':<24}{case.revision:>3}  {case.modality or '-':<10}"
        f"{priority_name(case.priority, language) if case.reference else '-':<14}{count:>6}  {result}"
    )


def page(case: Case, language: str) -> str:
    """The whole case: every file with its status, and every reading, its hints first."""
    title = case.reference or translate(N_("Files that belong to no case"), language)
    lines = [
        f"{title}  {case.modality or ''}  {priority_name(case.priority, language) if case.reference else ''}".rstrip()
    ]
    if case.incomplete:
        lines.append(f"  ! {case.incomplete.text(language)}")
    if (local := sentences.of_case(case)) is not None:
        lines.append(f"  ! {local[1].text(language)}")
    for file in case.files:
        reason = f"  {_reason_text(file.reason, language)}" if file.reason else ""
        lines.append(f"  {file.status.value:<13}{file.path}{reason}")
    for reading in case.readings:
        lines += _reading_lines(reading, language)
    lines += [f"    {line}" for line in not_looked_for(case.readings, language)]
    return "\n".join(visible(line) for line in lines)


def _reason_text(reason: Reason, language: str) -> str:
    """``code: sentence``, and what a sentence leaves to whoever repairs the box."""
    text, detail = reason.text(language), str(reason.details.get("detail", ""))
    return f"{reason.code}: {text} ({detail})" if detail and detail not in text else f"{reason.code}: {text}"


def _lesion_text(lesion: Lesion, language: str) -> str:
    """E.g. ``frame 1, x 48 to 72, y 12 to 24: score 0.93``."""
    x0, y0, x1, y1 = lesion.box
    place = N_("frame {frame}, x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}: score {score:.2f}")
    values = {"frame": lesion.frame + 1, "x0": x0, "x1": x1, "y0": y0, "y1": y1, "score": lesion.score}
    return translate(place, language).format(**values)


def _reading_lines(reading: Reading, language: str) -> list[str]:
    lines = [f"    ! {hint.text(language)}" for hint in reading.quality.hints]
    lines += [f"    {finding_text(finding, language)}" for finding in reading.findings]
    lines += [f"      {_lesion_text(lesion, language)}" for lesion in reading.lesions]
    if reading.pack and reading.findings:
        pack = reading.pack
        lines.append(f"    {pack.name} {pack.version}, {pack.runtime} {pack.precision}, {reading.timing.total:.0f} ms")
    return lines

"""All cases of a folder at a glance: a table for spreadsheets, and one page for a browser.

The table (CSV) has one row for each finding, each lesion, and each file without a result. The page lists the most
urgent cases first; it is HTML that needs no script, no network and no appliance.
"""

from __future__ import annotations

import csv as writer
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from firmware_app.core.language import N_, escape_controls, html_tag, translate
from firmware_app.core.records import Case, FileStatus, Finding, Lesion, PackIdentity, Priority, Reading
from firmware_app.core.version import version
from firmware_app.monitoring import calibration_status
from firmware_app.results import case_text
from firmware_app.results.case_text import (
    FOUND,
    INCOMPLETE,
    NOT_FOUND,
    format_finding,
    list_not_looked_for,
    name_finding,
    name_priority,
    name_status,
)
from firmware_app.results.case_view import list_hints

Cell = str | int | float | None

_HEADINGS: Final = {
    "case": N_("Case"),
    "priority": N_("Priority"),
    "modality": N_("Modality"),
    "file": N_("File"),
    "row": N_("Row"),
    "number": N_("Number"),
    "finding": N_("Finding"),
    "code": N_("Finding's code"),
    "verdict": N_("Verdict"),
    "probability": N_("Probability"),
    "threshold": N_("Threshold"),
    "value": N_("Value"),
    "unit": N_("Unit of the value"),
    "frame": N_("Frame"),
    "long_axis_mm": N_("Long axis (mm)"),
    "short_axis_mm": N_("Short axis (mm)"),
    "area_mm2": N_("Area (mm²)"),
    "volume_mm3": N_("Volume (mm³)"),
    "long_axis_px": N_("Long axis (pixels)"),
    "short_axis_px": N_("Short axis (pixels)"),
    "area_px": N_("Area (pixels)"),
    "left": N_("Left (pixels)"),
    "top": N_("Top (pixels)"),
    "right": N_("Right (pixels)"),
    "bottom": N_("Bottom (pixels)"),
    "reason": N_("Reason"),
    "reason_code": N_("Reason's code"),
    "follow_up": N_("Follow-up"),
    "pack": N_("Model"),
    "version": N_("Version"),
    "runtime": N_("Runtime"),
    "precision": N_("Precision"),
}
_FINDING, _LESION, _NO_RESULT = N_("finding"), N_("lesion"), N_("no result")
_SIZES: Final = ("long_axis_mm", "short_axis_mm", "area_mm2", "volume_mm3", "long_axis_px", "short_axis_px", "area_px")
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet may take for the beginning of a formula (OWASP, CSV Injection)."""


def format_csv(cases: Iterable[Case], language: str) -> str:
    """The table as CSV (RFC 4180), its headings and words in *language*.

    Text that a spreadsheet would take for a formula gets an apostrophe in front. Control characters and marks of
    writing direction, which a file's name may hold, are shown as escapes: a terminal would obey them.
    """
    text = io.StringIO()
    table = writer.DictWriter(text, list(_HEADINGS), restval="")
    table.writerow({name: translate(heading, language) for name, heading in _HEADINGS.items()})
    for case in cases:
        for row in _list_rows(case, language):
            table.writerow({name: _defuse_formula(cell) for name, cell in row.items()})
    return text.getvalue()


def _list_rows(case: Case, language: str) -> Iterator[Mapping[str, Cell]]:
    common: dict[str, Cell] = {
        "case": case.reference or "",
        "priority": name_priority(case.priority, language) if case.reference else "",
        "modality": case.modality or "",
        "follow_up": case.follow_up.text(language) if case.follow_up is not None else "",
    }
    paths = {file.instance: file.path for file in reversed(case.files) if file.instance is not None}
    for finding in case.findings:
        reading = _find_reading(case, finding)
        file = paths.get(reading.instances[0], "") if reading is not None else ""
        pack = _format_pack_cells(reading.pack if reading is not None else None)
        yield {**common, **pack, "file": file, **_format_finding_cells(finding, language)}
    for number, lesion in enumerate(case.lesions, 1):
        reading = next((one for one in case.readings if lesion.instance in one.instances), None)
        pack = _format_pack_cells(reading.pack if reading is not None else None)
        file = paths.get(lesion.instance, "")
        yield {
            **common,
            **pack,
            "file": file,
            "number": number,
            **_format_lesion_cells(lesion, case.findings, language),
        }
    for record in case.files:
        if record.reason is not None and record.status is not FileStatus.DUPLICATE:
            yield {
                **common,
                "file": record.path,
                "row": translate(_NO_RESULT, language),
                "verdict": name_status(record.status, language),
                "reason": record.reason.text(language),
                "reason_code": record.reason.code,
            }


def _find_reading(case: Case, finding: Finding) -> Reading | None:
    """The reading that the case's *finding* comes from."""
    return next((reading for reading in case.readings if finding in reading.findings), None)


def _format_finding_cells(finding: Finding, language: str) -> dict[str, Cell]:
    return {
        "row": translate(_FINDING, language),
        "finding": name_finding([finding], finding.code, language),
        "code": finding.code,
        "verdict": translate(FOUND if finding.positive else NOT_FOUND, language),
        "probability": round(finding.probability, 4),
        "threshold": round(finding.threshold, 4),
        "value": None if finding.value is None else round(finding.value, 4),
        "unit": finding.unit.get(language) or finding.unit.get("en") or "",
    }


def _format_lesion_cells(lesion: Lesion, findings: Iterable[Finding], language: str) -> dict[str, Cell]:
    sizes = {name: None if (size := getattr(lesion, name)) is None else round(size, 2) for name in _SIZES}
    box = {name: round(at, 1) for name, at in zip(("left", "top", "right", "bottom"), lesion.box, strict=True)}
    return {
        "row": translate(_LESION, language),
        "finding": name_finding(findings, lesion.finding, language),
        "code": lesion.finding,
        "probability": round(lesion.score, 4),
        "frame": lesion.frame + 1,
        **sizes,
        **box,
    }


def _format_pack_cells(pack: PackIdentity | None) -> dict[str, Cell]:
    if pack is None:
        return {}
    return {"pack": pack.name, "version": pack.version, "runtime": pack.runtime, "precision": pack.precision}


def _defuse_formula(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = escape_controls(cell)
    return f"'{text}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA) else text


_LIMIT: Final = N_("Not for diagnostic use without a doctor.")
_ORDER: Final = (Priority.URGENT, Priority.SOON, Priority.CANNOT_JUDGE, None, Priority.ROUTINE)
"""As on the worklist: what could not be judged stands before what is routine."""
_MOST_NAMES, _MOST_LESIONS = 3, 5
_STYLE: Final = Markup("""
:root { color-scheme: light; --ink: #1c2629; --quiet: #59656a; --line: #d9d4c8; }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.2rem; background: #f7f5f0; color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC",
  sans-serif; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1rem; margin: 0; }
.limit { margin: .6rem 0; padding: .4rem .8rem; background: #efebe2; border-radius: 8px; font-weight: 600; }
.quiet { color: var(--quiet); font-size: .87rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1rem;
  margin: 1rem 0; }
article { background: #fff; border: 1px solid var(--line); border-top: 5px solid #8a949a; border-radius: 10px;
  overflow: hidden; break-inside: avoid; }
article.urgent { border-top-color: #a8231c; } article.soon { border-top-color: #d08a00; }
article.routine { border-top-color: #7fae8f; }
.film { display: flex; align-items: center; justify-content: center; height: 16rem; background: #0b0f11;
  color: #d9e0e2; }
.film img { max-width: 100%; max-height: 16rem; display: block; }
.said { padding: .8rem 1rem 1rem; }
.head { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: center; margin-bottom: .4rem; }
.chip { padding: .05rem .7rem; border-radius: 2em; font-weight: 600; background: #eceeef; color: #47535a; }
.urgent .chip { background: #fdecea; color: #a8231c; } .soon .chip { background: #fff2da; color: #7d5200; }
.routine .chip { background: #e9f2ec; color: #3a6348; }
ul { margin: .3rem 0; padding-left: 1.2rem; } p { margin: .3rem 0; } .found { font-weight: 600; }
.warn { color: #7d5200; }
table { border-collapse: collapse; width: 100%; background: #fff; } td, th { text-align: left; vertical-align: top;
  padding: .3rem .6rem; border: 1px solid var(--line); }
@media print { body { background: #fff; padding: 0; } .film { print-color-adjust: exact; } }
""")


@dataclass(frozen=True, slots=True)
class PictureLinks:
    """Addresses relative to the page: of the small picture, and of the whole one that it leads to."""

    thumbnail: str
    whole: str


def render_overview(cases: Sequence[Case], pictures_of: Callable[[Case], PictureLinks | None], language: str) -> str:
    """The page; every text that is not its own is escaped.  Files that belong to no case stand in a table below."""
    known = sorted((case for case in cases if case.reference), key=_rank_urgency)
    cards = Markup("\n").join(_render_card(case, pictures_of(case), language) for case in known)
    loose = [record for case in cases if not case.reference for record in case.files]
    counts = Counter(case.priority for case in known)
    said = translate(N_(", "), language).join(
        f"{name_priority(one, language)} {counts[one]}" for one in _ORDER if counts[one]
    )
    rows = Markup("").join(
        Markup("<tr><td>{}</td><td>{}</td><td>{}</td></tr>").format(
            escape_controls(file_record.path),
            name_status(file_record.status, language),
            file_record.reason.text(language) if file_record.reason else "",
        )
        for file_record in loose
    )
    return _PAGE.format(
        language=html_tag(language),
        title=translate(N_("Contact sheet"), language),
        style=_STYLE,
        count=translate(N_("Cases: {count}."), language).format(count=len(known)),
        said=said,
        limit=translate(_LIMIT, language),
        cards=cards,
        loose=_LOOSE.format(
            title=translate(N_("Files that belong to no case"), language),
            file=translate(N_("File"), language),
            state=translate(N_("Verdict"), language),
            reason=translate(N_("Reason"), language),
            rows=rows,
        )
        if loose
        else "",
        lantern=f"Lantern {version()}",
    )


def _rank_urgency(case: Case) -> tuple[int, float]:
    strongest = max((finding.probability for finding in case.findings if finding.positive), default=0.0)
    return _ORDER.index(case.priority), -strongest


def _render_card(case: Case, shown: PictureLinks | None, language: str) -> Markup:
    if shown is None:
        film = Markup("<div class=film>{}</div>").format(translate(N_("no picture"), language))
    else:
        alt = translate(N_("The image with what was marked in it"), language)
        film = Markup('<a class=film href="{}"><img loading=lazy src="{}" alt="{}"></a>').format(
            shown.whole, shown.thumbnail, alt
        )
    return _CARD.format(
        priority=case.priority.value if case.priority else "",
        film=film,
        chip=name_priority(case.priority, language),
        names=_join_names(case, language),
        body=Markup("").join(_render_result(case, language)),
        reference=case.reference,
        modality=case.modality or "",
        by=_name_packs(case),
    )


def _join_names(case: Case, language: str) -> str:
    """The names of the case's files; behind the third there is only how many more there are."""
    names = [
        escape_controls(file.path.rpartition("/")[2]) for file in case.files if file.status is not FileStatus.DUPLICATE
    ]
    more = len(names) - _MOST_NAMES
    told = [*names[:_MOST_NAMES], *([translate(N_("{count} more"), language).format(count=more)] if more > 0 else [])]
    return translate(N_(", "), language).join(told)


def _render_result(case: Case, language: str) -> Iterable[Markup]:
    """What stands before the findings, the findings, the lesions, what should follow, and why there is no result."""
    warnings = [hint.text(language) for hint in list_hints(case)]
    if case.incomplete is not None:  # the first of the hints
        warnings[0] = f"{translate(INCOMPLETE, language)}: {warnings[0]}"
    if (local := calibration_status.explain_calibration(case)) is not None:
        warnings.append(local[1].text(language))
    yield _render_paragraphs(warnings, "warn")
    items = [
        Markup("<li{}>{}</li>").format(
            Markup(" class=found") if finding.positive else "", format_finding(finding, language)
        )
        for finding in case.findings
    ]
    yield _render_list(items)
    yield _render_paragraphs(list_not_looked_for(case.readings, language), "quiet")
    told = case.lesions[:_MOST_LESIONS]
    yield _render_list(
        Markup("<li>{}</li>").format(case_text.summarise_lesion(one, number, case.findings, language))
        for number, one in enumerate(told, 1)
    )
    if more := len(case.lesions) - len(told):
        sentence = translate(N_("{count} more are only marked on the pictures."), language).format(count=more)
        yield _render_paragraphs([sentence], "quiet")
    if case.follow_up is not None:
        yield _render_paragraphs([case.follow_up.text(language)], "")
    reasons = [
        file.reason for file in case.files if file.reason is not None and file.status is not FileStatus.DUPLICATE
    ]
    yield _render_paragraphs([f"{reason.text(language)} ({reason.code})" for reason in reasons], "")


def _render_paragraphs(texts: Iterable[str], kind: str) -> Markup:
    return Markup("").join(Markup('<p class="{}">{}</p>').format(kind, text) for text in dict.fromkeys(texts))


def _render_list(items: Iterable[Markup]) -> Markup:
    joined = Markup("").join(items)
    return Markup("<ul>{}</ul>").format(joined) if joined else joined


def _name_packs(case: Case) -> str:
    """Whose reading it is: every pack with its version, runtime and precision."""
    packs = [reading.pack for reading in case.readings if reading.pack is not None and reading.findings]
    return "; ".join(dict.fromkeys(f"{pack.name} {pack.version}, {pack.runtime} {pack.precision}" for pack in packs))


_CARD: Final = Markup("""<article class="{priority}">{film}<div class=said>
<div class=head><span class=chip>{chip}</span><h2>{names}</h2></div>
{body}
<p class=quiet>{modality} {reference} {by}</p></div></article>""")
_LOOSE: Final = Markup("<h2>{title}</h2><table><tr><th>{file}</th><th>{state}</th><th>{reason}</th></tr>{rows}</table>")
_PAGE: Final = Markup("""<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<style>{style}</style></head><body>
<h1>{title}</h1><p>{count} {said}</p><p class=limit>{limit}</p>
<main>{cards}</main>
{loose}
<p class=quiet>{lantern}</p></body></html>
""")

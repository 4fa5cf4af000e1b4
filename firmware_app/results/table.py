"""Cases as a table for a spreadsheet: one row for each finding, each lesion, and each file without a result."""

from __future__ import annotations

import csv as writer
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from firmware_app.core.language import N_, translate, visible
from firmware_app.core.records import Case, FileStatus, Finding, Lesion, PackIdentity, Reading
from firmware_app.results.case_text import FOUND, NOT_FOUND, priority_name, status_name
from firmware_app.results.wording import named

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
_SIZES: Final = (
    "long_axis_mm",
    "short_axis_mm",
    "area_mm2",
    "volume_mm3",
    "long_axis_px",
    "short_axis_px",
    "area_px",
)
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet may take for the beginning of a formula (OWASP, CSV Injection)."""


def csv(cases: Iterable[Case], language: str) -> str:
    """The table as CSV (RFC 4180), its headings and words in *language*.

    Text that a spreadsheet would take for a formula gets an apostrophe in front. Control characters and marks of
    writing direction, which a file's name may hold, are shown as escapes: a terminal would obey them.
    """
    text = io.StringIO()
    table = writer.DictWriter(text, list(_HEADINGS), restval="")
    table.writerow({name: translate(heading, language) for name, heading in _HEADINGS.items()})
    for case in cases:
        for row in _rows(case, language):
            table.writerow({name: _defused(cell) for name, cell in row.items()})
    return text.getvalue()


def _rows(case: Case, language: str) -> Iterator[Mapping[str, Cell]]:
    common: dict[str, Cell] = {
        "case": case.reference or "",
        "priority": priority_name(case.priority, language) if case.reference else "",
        "modality": case.modality or "",
        "follow_up": case.follow_up.text(language) if case.follow_up is not None else "",
    }
    paths = {file.instance: file.path for file in reversed(case.files) if file.instance is not None}
    for finding in case.findings:
        reading = _of_finding(case, finding)
        file = paths.get(reading.instances[0], "") if reading is not None else ""
        pack = _pack(reading.pack if reading is not None else None)
        yield {**common, **pack, "file": file, **_finding(finding, language)}
    for number, lesion in enumerate(case.lesions, 1):
        reading = next((one for one in case.readings if lesion.instance in one.instances), None)
        pack = _pack(reading.pack if reading is not None else None)
        file = paths.get(lesion.instance, "")
        yield {**common, **pack, "file": file, "number": number, **_lesion(lesion, case.findings, language)}
    for record in case.files:
        if record.reason is not None and record.status is not FileStatus.DUPLICATE:
            yield {
                **common,
                "file": record.path,
                "row": translate(_NO_RESULT, language),
                "verdict": status_name(record.status, language),
                "reason": record.reason.text(language),
                "reason_code": record.reason.code,
            }


def _of_finding(case: Case, finding: Finding) -> Reading | None:
    """The reading that the case's *finding* comes from."""
    return next((one for one in case.readings if finding in one.findings), None)


def _finding(finding: Finding, language: str) -> dict[str, Cell]:
    return {
        "row": translate(_FINDING, language),
        "finding": named([finding], finding.code, language),
        "code": finding.code,
        "verdict": translate(FOUND if finding.positive else NOT_FOUND, language),
        "probability": round(finding.probability, 4),
        "threshold": round(finding.threshold, 4),
        "value": None if finding.value is None else round(finding.value, 4),
        "unit": finding.unit.get(language) or finding.unit.get("en") or "",
    }


def _lesion(lesion: Lesion, findings: Iterable[Finding], language: str) -> dict[str, Cell]:
    sizes = {name: None if (size := getattr(lesion, name)) is None else round(size, 2) for name in _SIZES}
    box = {name: round(at, 1) for name, at in zip(("left", "top", "right", "bottom"), lesion.box, strict=True)}
    return {
        "row": translate(_LESION, language),
        "finding": named(findings, lesion.finding, language),
        "code": lesion.finding,
        "probability": round(lesion.score, 4),
        "frame": lesion.frame + 1,
        **sizes,
        **box,
    }


def _pack(pack: PackIdentity | None) -> dict[str, Cell]:
    if pack is None:
        return {}
    return {"pack": pack.name, "version": pack.version, "runtime": pack.runtime, "precision": pack.precision}


def _defused(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = visible(cell)
    return f"'{text}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA) else text

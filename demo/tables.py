"""The demo's two tables: the box's readings, and the summaries that the hospital has received."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from demo.samples import DemoImage

_MARK: Final = 8  # characters of a case reference: enough to find it in both tables


def format_readings(samples: Sequence[DemoImage], cases: Sequence[dict[str, Any]]) -> str:
    """One line for each sample, then the reasons of those that could not be judged."""
    rows = [("case", "image", "", "result", "probability", "threshold", "pack", "runtime", "ms")]
    for sample, case in zip(samples, cases, strict=True):
        rows.append((case["case"][:_MARK], sample.title, sample.origin, *_format_result(case["readings"][0])))
    reasons = {
        f"{reading['reason']['code']}: {reading['reason']['text']}"
        for case in cases
        for reading in case["readings"]
        if reading["reason"]
    }
    return "\n".join([_align(rows), "", *sorted(reasons)])


def format_summaries(received: Sequence[dict[str, Any]]) -> str:
    """One line for each case revision that the hospital has opened."""
    rows = [("case", "revision", "priority", "kind", "finding", "quality", "pack", "hour (UTC)")]
    for row in received:
        brief = row["brief"] or {}  # one that an earlier version had merged has no brief
        findings = ", ".join(f"{one['code']} {one['hundredths'] / 100:.2f}" for one in brief.get("findings", ()))
        pack = f"{brief.get('pack') or ''} {brief.get('pack_version') or ''}".strip()
        rows.append(
            (
                row["case"][:_MARK],
                str(row["revision"]),
                row["priority"],
                brief.get("modality") or "",
                findings,
                brief.get("quality") or "",
                pack,
                (row["hour"] or "").replace("T", " "),
            )
        )
    return _align(rows)


def _align(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _format_result(reading: dict[str, Any]) -> tuple[str, str, str, str, str, str]:
    milliseconds = f"{reading['milliseconds']['total']:.0f}"
    if reading["status"] == "cannot-judge":
        return f"cannot judge: {reading['reason']['code']}", "", "", "", "", milliseconds
    finding, pack = reading["findings"][0], reading["pack"]
    verdict = f"{finding['label']}: {'found' if finding['positive'] else 'not found'}"
    name, runtime = f"{pack['name']} {pack['version']}", f"{pack['runtime']} {pack['precision']}"
    return verdict, f"{finding['probability']:.2f}", f"{finding['threshold']:.2f}", name, runtime, milliseconds

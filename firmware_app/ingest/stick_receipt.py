"""The receipt of a stick's import: a page of plain text in the box's language.

It is kept in ``usb/`` and never written to the stick.  It holds counts and case references; no patient name, no UID
and no path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from firmware_app.cases import usb_import
from firmware_app.cases.usb_import import StickStage, StickStatus
from firmware_app.core.language import N_, translate

MOST_RECEIPTS: Final = 500
_TITLE: Final = N_("Receipt of a stick")
_LINES: Final = {
    "box": N_("Box: {value}"),
    "since": N_("Begun: {value} (by the box's clock)"),
    "ended": N_("Ended: {value} (by the box's clock)"),
    "kind": N_("Kind of stick: {value}"),
    "found": N_("Files found: {value}"),
    "new": N_("Images copied and safe: {value}"),
    "known": N_("Images that the box had already: {value}"),
    "refused": N_("Files damaged or refused: {value}"),
    "passed_by": N_("No images, left on the stick: {value}"),
}
_WHOLE: Final = N_("Everything on the stick was looked at. It can be taken out.")
_CASES: Final = N_("Cases:")
_INCOMPLETE: Final = N_("incomplete")


def format_receipt(status: StickStatus, box: str, cases: Mapping[str, bool], language: str) -> str:
    """The page; *cases* maps each case reference to whether the case is incomplete."""
    values = {"box": box, "since": status.since, "ended": status.ended, "kind": status.kind or "-"}
    counts = {
        "found": status.found,
        "new": status.new,
        "known": status.known,
        "refused": status.refusals,
        "passed_by": status.passed_by,
    }
    lines = [translate(_TITLE, language), ""]
    lines += [translate(_LINES[name], language).format(value=value) for name, value in values.items()]
    lines.append("")
    if status.stage is not StickStage.REFUSED:
        lines += [translate(_LINES[name], language).format(value=count) for name, count in counts.items()]
    lines += [f"  {sentence}" for sentence in usb_import.explain_refusals(status.refused, language)]
    lines += ["", status.reason.text(language) if status.reason else translate(_WHOLE, language)]
    if cases:
        lines += ["", translate(_CASES, language)]
        mark = f"  ({translate(_INCOMPLETE, language)})"
        lines += [f"  {case}{mark if incomplete else ''}" for case, incomplete in sorted(cases.items())]
    return "\n".join(lines) + "\n"


def write_receipt(folder: Path, page: str) -> int:
    """Write *page* durably to *folder* under the next number, which is returned.  Raises `OSError`."""
    numbers = sorted(int(path.stem) for path in folder.glob("*.txt") if path.stem.isdecimal())
    number = numbers[-1] + 1 if numbers else 1
    path = folder / f"{number:06d}.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(page)
        handle.flush()
        os.fsync(handle.fileno())
    for old in numbers[: max(0, len(numbers) + 1 - MOST_RECEIPTS)]:
        (folder / f"{old:06d}.txt").unlink(missing_ok=True)
    return number

"""Has Typst set a report: texts and pictures in, the bytes of a PDF/A-2u out.

The same result gives the same bytes on the same machine.  Nothing is fetched: the layout names no package, and a text
is data to it, never markup.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

import segno

from firmware_app.results.pdf import contents, fonts, plates
from firmware_app.results.pdf.fonts import Fonts
from firmware_app.results.pdf.plates import Plate
from firmware_app.results.result import Result

_STANDARD: Final = "a-2u"
"""ISO 19005-2: fonts embedded, every text can be searched, nothing refers to outside."""
_LATIN: Final = "Libertinus Serif"
"""One of the fonts that Typst brings along, for a machine that has none."""
_WIDTH_MM: Final = 86.0
_HEIGHT_MM: Final = {0: 0.0, 1: 86.0, 2: 70.0}
"""How high the pictures may be, by how many pairs there are."""


def pdf_of(result: Result, language: str, known: Fonts | None = None) -> bytes:
    """The report of *result* in *language*.

    Raises `ReportFontMissing` where the machine has no font with Chinese characters and one is needed.
    """
    import typst

    library = known if known is not None else fonts.found()
    display = {image.instance: Path(image.display) for image in result.images}
    shown = plates.plates(result.case, display.__getitem__)
    told = _told(result, shown, language, library)
    inputs = {"told": json.dumps(told, ensure_ascii=False), "pictures": json.dumps(_pictures(shown))}
    options = {"font_paths": library.library} if library.library is not None else {"ignore_system_fonts": True}
    layout = resources.files(__package__).joinpath("report.typ").read_bytes()
    made: bytes = typst.compile(layout, sys_inputs=inputs, pdf_standards=_STANDARD, **options)
    return made


def _told(result: Result, shown: Sequence[Plate], language: str, library: Fonts) -> dict[str, Any]:
    told = contents.contents(result, shown, language)
    lacking = library.lacking(contents.texts(told))
    if lacking:
        told = contents.with_numbers(told, lacking)
        told["notes"] = contents.with_note(told["notes"], contents.lacking_note(lacking, language), language)
    at = datetime.fromisoformat(result.made_at)
    spoken, _, region = language.partition("_")
    return {
        **told,
        "qr": _qr(told["reference"]),
        "fonts": list(library.families) or [_LATIN],
        "lang": spoken,
        "region": region or None,
        "made": [at.year, at.month, at.day, at.hour, at.minute, at.second],
        "sizes_mm": [_fitted(plate.size, _HEIGHT_MM[len(shown)]) for plate in shown],
    }


def _fitted(size: tuple[int, int], height_mm: float) -> list[float]:
    """Width and height on paper."""
    factor = min(_WIDTH_MM / size[0], height_mm / size[1])
    return [round(side * factor, 2) for side in size]


def _pictures(shown: Sequence[Plate]) -> list[list[list[int] | None]]:
    """Plain and marked picture of each plate, byte by byte: Typst's other way would be files on the disk."""
    return [[list(one.plain), list(one.marked) if one.marked is not None else None] for one in shown]


def _qr(text: str) -> str:
    made = io.BytesIO()
    segno.make_qr(text or "-", error="m").save(made, kind="svg", border=0, xmldecl=False, svgns=True)
    return made.getvalue().decode("utf-8")

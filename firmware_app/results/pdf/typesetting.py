"""Typeset a report with Typst: texts and pictures in, the bytes of a PDF/A-2u out.

The same result gives the same bytes on the same computer. Nothing is fetched: the layout names no package, and Typst
treats a text as data, never as markup.

The fonts are those of the computer. Debian's fonts-noto-cjk has all characters that names on Chinese identity cards
usually need. A further font in `FONT_FOLDERS` serves the characters that the others lack.
"""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Final

import segno
from PIL import ImageFont

from firmware_app.results.case_view import CaseView
from firmware_app.results.errors import ReportFontMissing
from firmware_app.results.pdf import contents, plates
from firmware_app.results.pdf.plates import ReportImage

FONT_FOLDERS: Final = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
FONT_PACKAGE: Final = "fonts-noto-cjk"
"""The Debian package that the box installs."""
_ENDINGS: Final = (".ttf", ".otf", ".ttc", ".otc")
_FIRST: Final = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi", "Droid")
"""Beginnings of the families that are taken before others: upright, with simplified forms, legible when small."""
_CHINESE: Final = "的"
_NOWHERE: Final = "\U0010ffff"
"""A character that no font has (Unicode 23.7), so that it is drawn as the font's sign for a missing one."""
_PX: Final = 16
_REGULAR: Final = 400
"""The weight of an upright font (OpenType, OS/2 usWeightClass)."""
_PLAIN: Final = frozenset(" ·–—“”‘’…×±²³°µμ≤≥√©®‹›·")
"""Beside Latin letters, what every font has that Typst brings along."""


@dataclass(frozen=True)
class FontFace:
    """One face of a font file."""

    family: str
    path: Path
    index: int

    @cached_property
    def _font(self) -> Any:
        return ImageFont.truetype(self.path, _PX, index=self.index)

    @cached_property
    def _missing(self) -> tuple[tuple[int, int], bytes]:
        return self._render_glyph(_NOWHERE)

    def _render_glyph(self, character: str) -> tuple[tuple[int, int], bytes]:
        mask = self._font.getmask(character)
        return mask.size, bytes(mask)

    def has(self, character: str) -> bool:
        """Whether it has a glyph of its own for *character*."""
        try:
            return self._render_glyph(character) != self._missing
        except (OSError, ValueError):  # a file that Typst can open and Pillow cannot
            return False


@dataclass(frozen=True, slots=True)
class FontLibrary:
    """The fonts that a report is set in: one face of each file, the first to be asked for a character first."""

    faces: tuple[FontFace, ...]
    library: Any = None
    """The same as Typst holds them, beside the Latin fonts that it brings along."""

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(face.family for face in self.faces))

    def list_missing(self, texts: Iterable[str]) -> tuple[str, ...]:
        """The characters in *texts* that none of the fonts has, in order.

        Raises `ReportFontMissing` where *texts* need a Chinese font and there is none.
        """
        wanted = sorted({one for text in texts for one in text if _is_drawn(one)})
        if any(map(_is_east_asian, wanted)) and not any(face.has(_CHINESE) for face in self.faces):
            raise ReportFontMissing(package=FONT_PACKAGE)
        return tuple(one for one in wanted if not any(face.has(one) for face in self.faces))


def find_fonts(folders: Sequence[Path] = FONT_FOLDERS) -> FontLibrary:
    """The machine's fonts."""
    import typst

    parents = sorted({str(path.parent) for folder in folders for path in _list_files(folder)})
    library = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=list(parents))
    known = [font for font in library.fonts() if font.path is not None]
    faces: dict[str, FontFace] = {}
    for font_info in sorted(known, key=lambda one: (one.style != "normal", abs(one.weight - _REGULAR))):
        faces.setdefault(font_info.family, FontFace(font_info.family, Path(font_info.path or ""), font_info.index))
    files: dict[Path, FontFace] = {}
    for face in sorted(faces.values(), key=_rank_face):
        files.setdefault(face.path, face)
    return FontLibrary(tuple(files.values()), library)


def _list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file()]


def _rank_face(face: FontFace) -> tuple[int, str]:
    place = next((number for number, name in enumerate(_FIRST) if face.family.startswith(name)), len(_FIRST))
    return place, face.family


def _is_drawn(character: str) -> bool:
    """Whether it needs a glyph that not every font has."""
    if character < "\u0250" or character in _PLAIN:  # Latin
        return False
    return unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me")


def _is_east_asian(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


_STANDARD: Final = "a-2u"
"""ISO 19005-2: fonts embedded, every text can be searched, nothing refers to outside."""
_LATIN: Final = "Libertinus Serif"
"""One of the fonts that Typst brings along, for a machine that has none."""
_WIDTH_MM: Final = 86.0
_HEIGHT_MM: Final = {0: 0.0, 1: 86.0, 2: 70.0}
"""How high the pictures may be, by how many pairs there are."""


def typeset_report(view: CaseView, language: str, known: FontLibrary | None = None) -> bytes:
    """The report of *view* in *language*.

    Raises `ReportFontMissing` where the machine has no font with Chinese characters and one is needed.
    """
    import typst

    library = known if known is not None else find_fonts()
    display = {image.instance: Path(image.display) for image in view.images}
    shown = plates.make_report_images(view.case, display.__getitem__)
    told = _collect_input(view, shown, language, library)
    inputs = {"told": json.dumps(told, ensure_ascii=False), "pictures": json.dumps(_encode_pictures(shown))}
    options = {"font_paths": library.library} if library.library is not None else {"ignore_system_fonts": True}
    layout = resources.files(__package__).joinpath("report.typ").read_bytes()
    made: bytes = typst.compile(layout, sys_inputs=inputs, pdf_standards=_STANDARD, **options)
    return made


def _collect_input(view: CaseView, shown: Sequence[ReportImage], language: str, library: FontLibrary) -> dict[str, Any]:
    told = contents.build_contents(view, shown, language)
    lacking = library.list_missing(contents.iterate_texts(told))
    if lacking:
        told = contents.replace_missing(told, lacking)
        told["notes"] = contents.add_note(told["notes"], contents.describe_missing(lacking, language), language)
    at = datetime.fromisoformat(view.made_at)
    spoken, _, region = language.partition("_")
    return {
        **told,
        "qr": _draw_qr(told["reference"]),
        "fonts": list(library.families) or [_LATIN],
        "lang": spoken,
        "region": region or None,
        "made": [at.year, at.month, at.day, at.hour, at.minute, at.second],
        "sizes_mm": [_fit_size(plate.size, _HEIGHT_MM[len(shown)]) for plate in shown],
    }


def _fit_size(size: tuple[int, int], height_mm: float) -> list[float]:
    """Width and height on paper."""
    factor = min(_WIDTH_MM / size[0], height_mm / size[1])
    return [round(side * factor, 2) for side in size]


def _encode_pictures(shown: Sequence[ReportImage]) -> list[list[list[int] | None]]:
    """Plain and marked picture of each plate, byte by byte: Typst's other way would be files on the disk."""
    return [
        [list(report_image.plain), list(report_image.marked) if report_image.marked is not None else None]
        for report_image in shown
    ]


def _draw_qr(text: str) -> str:
    made = io.BytesIO()
    segno.make_qr(text or "-", error="m").save(made, kind="svg", border=0, xmldecl=False, svgns=True)
    return made.getvalue().decode("utf-8")

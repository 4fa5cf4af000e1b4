"""The fonts of a printed report: which of them have Chinese characters, and which characters none of them has.

Nothing is fetched: the fonts are those of the machine, of which Debian's fonts-noto-cjk has all characters that names
on Chinese identity cards usually need.  A further font in `FOLDERS` is used for the characters that the others lack.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from PIL import ImageFont

from firmware_app.core.errors import ReportFontMissing

FOLDERS: Final = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
PACKAGE: Final = "fonts-noto-cjk"
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
class Face:
    """One face of a font file."""

    family: str
    path: Path
    index: int

    @cached_property
    def _font(self) -> Any:
        return ImageFont.truetype(self.path, _PX, index=self.index)

    @cached_property
    def _missing(self) -> tuple[tuple[int, int], bytes]:
        return self._drawn(_NOWHERE)

    def _drawn(self, character: str) -> tuple[tuple[int, int], bytes]:
        mask = self._font.getmask(character)
        return mask.size, bytes(mask)

    def has(self, character: str) -> bool:
        """Whether it has a glyph of its own for *character*."""
        try:
            return self._drawn(character) != self._missing
        except (OSError, ValueError):  # a file that Typst can open and Pillow cannot
            return False


@dataclass(frozen=True, slots=True)
class Fonts:
    """The fonts that a report is set in: one face of each file, the first to be asked for a character first."""

    faces: tuple[Face, ...]
    library: Any = None
    """The same as Typst holds them, beside the Latin fonts that it brings along."""

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(face.family for face in self.faces))

    def lacking(self, texts: Iterable[str]) -> tuple[str, ...]:
        """The characters in *texts* that none of the fonts has, in order.

        Raises `ReportFontMissing` where *texts* need a Chinese font and there is none.
        """
        wanted = sorted({one for text in texts for one in text if _is_drawn(one)})
        if any(map(_is_east_asian, wanted)) and not any(face.has(_CHINESE) for face in self.faces):
            raise ReportFontMissing(package=PACKAGE)
        return tuple(one for one in wanted if not any(face.has(one) for face in self.faces))


def found(folders: Sequence[Path] = FOLDERS) -> Fonts:
    """The machine's fonts."""
    import typst

    parents = sorted({str(path.parent) for folder in folders for path in _files(folder)})
    library = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=list(parents))
    known = [one for one in library.fonts() if one.path is not None]
    faces: dict[str, Face] = {}
    for one in sorted(known, key=lambda one: (one.style != "normal", abs(one.weight - _REGULAR))):
        faces.setdefault(one.family, Face(one.family, Path(one.path or ""), one.index))
    files: dict[Path, Face] = {}
    for face in sorted(faces.values(), key=_order):
        files.setdefault(face.path, face)
    return Fonts(tuple(files.values()), library)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file()]


def _order(face: Face) -> tuple[int, str]:
    place = next((number for number, name in enumerate(_FIRST) if face.family.startswith(name)), len(_FIRST))
    return place, face.family


def _is_drawn(character: str) -> bool:
    """Whether it needs a glyph that not every font has."""
    if character < "\u0250" or character in _PLAIN:  # Latin
        return False
    return unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me")


def _is_east_asian(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"

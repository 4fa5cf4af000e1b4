"""The pictures of a printed report: the frame as it came, and beside it the same with what was found.

Marks are black and white, so that a grey print shows them on any ground: outlines and axes of lesions with the numbers
that the text gives them, or the line around the hottest part of a heat map.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from firmware_app.core.lesion import Lesion, box_overlap
from firmware_app.core.records import Case
from firmware_app.imaging import display
from firmware_app.results import key_images
from firmware_app.results.key_images import KeyImage

MOST_PLATES: Final = 2
_SMALLEST_PX: Final = 420
MOST_BYTES: Final = 380_000
"""Of all pictures of a report, which leaves room for the letters within half a megabyte."""
_FINENESS: Final = ((840, 85), (840, 70), (840, 50), (560, 50), (560, 30))
"""Longest side in pixels, and JPEG quality as libjpeg counts it: the first with which all pictures fit is taken.  A
plate is 86 mm wide, so 840 pixels are 250 dots per inch, more than an office printer's grey screens show."""
_HOT: Final = 0.5
"""The line goes where a heat map is half as strong as at its strongest."""
_BLACK, _WHITE = 0, 255


@dataclass(frozen=True, slots=True)
class ReportImage:
    """One frame as JPEG, and the same with its marks; `outlined`: these are lesions, else the line of a heat map.

    `size`: columns and rows of both.
    """

    instance: str
    frame: int
    size: tuple[int, int]
    plain: bytes
    marked: bytes | None
    outlined: bool


def make_report_images(case: Case, folder: Callable[[str], Path], most: int = MOST_PLATES) -> list[ReportImage]:
    """The most telling frames of *case*, at most *most*, in at most `MOST_BYTES`; *folder* gives the rendered frames of
    an instance."""
    told = key_images.select_key_images(case, folder, most)
    made: list[ReportImage] = []
    for longest, quality in _FINENESS:
        made = [_make_report_image(key_image, case, folder(key_image.instance), longest, quality) for key_image in told]
        if sum(len(report_image.plain) + len(report_image.marked or b"") for report_image in made) <= MOST_BYTES:
            break
    return made


def _make_report_image(one: KeyImage, case: Case, folder: Path, longest: int, quality: int) -> ReportImage:
    plain = _enlarge(display.reduce_pixels(key_images.render_plain(one, folder), longest))
    marked: Image.Image | None = None
    if one.lesions:
        shown = key_images.read_facts(folder, one.frame)
        scale = plain.width / shown["columns"], plain.height / shown["rows"]
        marked = _draw_outlines(plain, one.lesions, _number_marks(one.lesions, case.lesions), scale)
    elif one.heat is not None:
        marked = _draw_heat_contour(plain, key_images.load_heat_map(folder / f"{one.heat}.png"))
    encoded = _encode_jpeg(marked, quality) if marked is not None else None
    return ReportImage(
        instance=one.instance,
        frame=one.frame,
        size=plain.size,
        plain=_encode_jpeg(plain, quality),
        marked=encoded,
        outlined=bool(one.lesions),
    )


def _number_marks(marks: Sequence[Lesion], lesions: Sequence[Lesion]) -> list[str]:
    """The number of each mark in the report's list of *lesions*; empty for one that the case left out."""
    return [_find_number(mark, lesions) for mark in marks]


def _find_number(mark: Lesion, lesions: Sequence[Lesion]) -> str:
    def likeness(one: Lesion) -> float:
        places = one.seen.marks if one.seen is not None else ((one.instance, one.frame),)
        return 0.01 + box_overlap(mark.box, one.box) if (mark.instance, mark.frame) in places else 0.0

    number, best = max(enumerate(lesions, 1), key=lambda one: likeness(one[1]), default=(0, None))
    return str(number) if best is not None and likeness(best) else ""


def _draw_outlines(
    plain: Image.Image, lesions: Sequence[Lesion], numbers: Sequence[str], scale: tuple[float, float]
) -> Image.Image:
    picture = plain.copy()
    drawing = ImageDraw.Draw(picture)
    width = max(2, max(picture.size) // 280)
    letter_px = max(14, max(picture.size) // 26)
    font = ImageFont.load_default(letter_px)

    def line(points: Sequence[tuple[float, float]], wide: int) -> None:
        placed = [(x * scale[0], y * scale[1]) for x, y in points]
        for ink, more in ((_make_ink(picture, _BLACK), wide), (_make_ink(picture, _WHITE), 0)):
            drawing.line(placed, fill=ink, width=wide + more, joint="curve")

    for lesion, number in zip(lesions, numbers, strict=True):
        x0, y0, x1, y1 = lesion.box
        corners = lesion.outline or ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        line([*corners, corners[0]], width)
        for ax0, ay0, ax1, ay1 in lesion.axes:
            line(((ax0, ay0), (ax1, ay1)), max(1, width // 2))
        if number:
            at = (min(x1 * scale[0] + width, picture.width - 2 * letter_px), max(0, y0 * scale[1] - letter_px))
            drawing.text(
                at,
                number,
                fill=_make_ink(picture, _WHITE),
                font=font,
                stroke_width=width,
                stroke_fill=_make_ink(picture, _BLACK),
            )
    return picture


def _draw_heat_contour(plain: Image.Image, heat: NDArray[np.uint8]) -> Image.Image:
    """*plain* with the line around what the heat map *heat* (h, w) marks."""
    strongest = int(heat.max())
    if not strongest:
        return plain
    large = Image.fromarray(heat).resize(plain.size, Image.Resampling.BICUBIC)
    hot = large.point(lambda value: _WHITE if value >= _HOT * strongest else _BLACK)
    width = max(2, max(plain.size) // 280)
    picture = plain.copy()
    for ink, reach in ((_BLACK, width + 1), (_WHITE, width / 2)):
        edge = hot.filter(ImageFilter.BoxBlur(reach)).point(lambda value: _WHITE if 0 < value < _WHITE else _BLACK)
        picture.paste(_make_ink(plain, ink), mask=edge)
    return picture


def _enlarge(picture: Image.Image) -> Image.Image:
    """A tiny picture with its pixels as squares, so that lines and numbers stay finer than what they mark."""
    factor = -(-_SMALLEST_PX // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _make_ink(picture: Image.Image, grey: int) -> int | tuple[int, int, int]:
    return grey if picture.mode == "L" else (grey, grey, grey)


def _encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=quality, optimize=True)
    return made.getvalue()

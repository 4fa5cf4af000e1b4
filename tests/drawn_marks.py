"""Marks as ultrasound machines write them into a picture, drawn by code, with the mask of what was drawn.

They are drawn on the picture at the size of a screen and made smaller with it, so that their strokes are as wide and as
soft as on a real picture of that size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCREEN_PX: Final = 800
"""The longer side of the picture on which is drawn."""
INKED: Final = 0.25
"""Share of a pixel that ink covers from which it is a pixel of a mark."""
Box = tuple[float, float, float, float]
Pixels = np.ndarray[Any, Any]
Pen = Callable[[ImageDraw.ImageDraw, tuple[int, int], Box, np.random.Generator], None]
WORDS: Final = ("RT LOQ", "LT RETROAR", "RIGHT BREAST", "10:00 3CM FN", "LT AXILLA", "TRANS", "Lt12 above nipple")


@dataclass(frozen=True)
class MarkedImage:
    """(H, W) float32 greys, and the mask of what was drawn."""

    pixels: Pixels
    drawn: Pixels


def draw_marks(grey: Pixels, kind: str, seed: int, around: Box | None = None, ink: float = 255.0) -> MarkedImage:
    """*grey*, (H, W), 0 to 255, with marks of *kind*; callipers and arrows at *around* (x0, y0, x1, y1 in pixels)."""
    rows, columns = grey.shape
    scale = max(1.0, SCREEN_PX / max(rows, columns))
    size = (round(columns * scale), round(rows * scale))
    x0, y0, x1, y1 = around or (0.35 * columns, 0.3 * rows, 0.65 * columns, 0.6 * rows)
    image = Image.new("L", size)
    PENS[kind](
        ImageDraw.Draw(image), size, (x0 * scale, y0 * scale, x1 * scale, y1 * scale), np.random.default_rng(seed)
    )
    covered = np.asarray(image.resize((columns, rows), Image.Resampling.BOX), np.float32) / np.float32(255.0)
    return MarkedImage((grey * (1 - covered) + np.float32(ink) * covered).astype(np.float32), covered >= INKED)


def draw_tissue(seed: int, rows: int = 600, columns: int = 800) -> Pixels:
    """(rows, columns) float32 greys of speckle with bright layers and a dark lesion; grains as a beam makes them, wider
    across than in depth."""
    rng = np.random.default_rng(seed)
    grains = rng.gamma(6.0, 1 / 6.0, (rows // 4, columns // 9)).astype(np.float32)
    speckle = np.asarray(Image.fromarray(grains).resize((columns, rows), Image.Resampling.BICUBIC))
    y, x = np.mgrid[0:rows, 0:columns] / float(rows)
    bright = np.sin(18 * y + 2 * np.sin(4 * x + rng.uniform(0, 6))).clip(0, 1) ** 12
    layers = 80 - 30 * y + 90 * bright
    lesion = np.hypot((y - rng.uniform(0.4, 0.55)) * 1.4, x - rng.uniform(0.5, 0.8)) < 0.13
    return np.asarray(np.clip(layers * np.where(lesion, 0.25, 1.0) * speckle, 0, 255), np.float32)


def _text(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, rng: np.random.Generator) -> None:
    """A line or two of letters beside the middle."""
    for _ in range(int(rng.integers(1, 3))):
        px = int(rng.integers(22, 34))
        words = WORDS[int(rng.integers(len(WORDS)))]
        at = (rng.uniform(0.03, 0.5) * size[0], rng.choice([rng.uniform(0.03, 0.2), rng.uniform(0.7, 0.9)]) * size[1])
        draw.text(at, words, fill=255, font=ImageFont.load_default(px))


def _ruler(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, rng: np.random.Generator) -> None:
    """Ticks with numbers down a side, within the picture."""
    x, step = (rng.choice([0.03, 0.94]) + rng.uniform(0.0, 0.02)) * size[0], rng.uniform(14.0, 22.0)
    for tick in range(1, int(size[1] / step)):
        long = tick % 5 == 0
        draw.line((x, tick * step, x + (14 if long else 7), tick * step), fill=255, width=2)
        if long:
            draw.text((x - 20, tick * step - 9), str(tick // 5), fill=255, font=ImageFont.load_default(17))
    draw.line((x, step, x, size[1] - step), fill=255, width=2)


def _callipers(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, rng: np.random.Generator) -> None:
    """Two pairs of crosses with dotted lines between them, numbered."""
    x0, y0, x1, y1 = box
    lean = rng.uniform(-0.1, 0.1) * (y1 - y0)
    pairs = ((x0, (y0 + y1) / 2 + lean), (x1, (y0 + y1) / 2 - lean)), (((x0 + x1) / 2, y0), ((x0 + x1) / 2 + lean, y1))
    for number, (first, last) in enumerate(pairs, 1):
        for x, y in (first, last):
            draw.line((x - 10, y, x + 10, y), fill=255, width=3)
            draw.line((x, y - 10, x, y + 10), fill=255, width=3)
        length = float(np.hypot(last[0] - first[0], last[1] - first[1]))
        for part in np.arange(0.0, 1.0, 6.0 / max(length, 6.0)):
            x, y = first[0] + part * (last[0] - first[0]), first[1] + part * (last[1] - first[1])
            draw.rectangle((x, y, x + 1, y + 1), fill=255)
        draw.text((first[0] - 20, first[1] - 26), str(number), fill=255, font=ImageFont.load_default(22))


def _arrow(draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, rng: np.random.Generator) -> None:
    """An arrow at the box."""
    y, up = (box[1] + box[3]) / 2, rng.choice([-1.0, 1.0])
    x, back = (box[0], -1.0) if box[0] > size[0] - box[2] else (box[2], 1.0)
    x = min(max(x, 70.0), size[0] - 70.0)
    draw.line((x + 60 * back, y + 40 * up, x + 4 * back, y), fill=255, width=3)
    draw.polygon(((x, y), (x + 16 * back, y + 2 * up), (x + 8 * back, y + 14 * up)), fill=255)


PENS: Final[Mapping[str, Pen]] = {"text": _text, "ruler": _ruler, "callipers": _callipers, "arrow": _arrow}

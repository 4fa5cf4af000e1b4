"""Ultrasound screens drawn by code, whose true sector is known: a fan, a trapezoid or a rectangle of speckle among
letters, rulers, a grey bar, the maker's frame and a pulse curve.  They show nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Kind = Literal["linear", "trapezoid", "curved", "phased"]
KINDS: Final[tuple[Kind, ...]] = ("linear", "trapezoid", "curved", "phased")
Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Screen:
    """(H, W) uint8 greys, the sector's true mask, and the mask of what was written and drawn around it."""

    pixels: Pixels
    truth: Pixels
    drawn: Pixels


def draw_screen(
    kind: Kind, seed: int, rows: int = 600, columns: int = 800, ground: int = 0, moved: float = 0.0
) -> Screen:
    """A screen of *rows* × *columns* on a background of *ground*; *moved* shifts the tissue, never the letters."""
    rng = np.random.default_rng(seed)
    truth, depth = _shape(kind, rng, rows, columns)
    echoes = _echoes(np.random.default_rng(seed + 1 + round(1000 * moved)), rng, depth, moved)
    letters = _letters(rng, rows, columns, truth)
    pixels = np.where(truth, np.maximum(echoes, 1), ground)
    return Screen(np.where(letters > 0, letters, pixels).astype(np.uint8), truth, letters > 0)


def draw_clip(kind: Kind, seed: int, frames: int, **size: int) -> Iterator[Screen]:
    """A clip: the tissue slides under the probe, all else stands still."""
    for number in range(frames):
        yield draw_screen(kind, seed, moved=number / max(frames, 2), **size)


def compress_jpeg(pixels: Pixels, quality: int = 85) -> Pixels:
    """*pixels* as JPEG leaves them."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def overlap(actual: Pixels, truth: Pixels) -> float:
    """Intersection over union."""
    return float((actual & truth).sum() / (actual | truth).sum())


def _shape(kind: Kind, rng: np.random.Generator, rows: int, columns: int) -> tuple[Pixels, Pixels]:
    """The sector's mask and the depth of each of its pixels, 0 at the probe and 1 at the end."""
    y, x = np.mgrid[0:rows, 0:columns].astype(float)
    top, bottom = rows * rng.uniform(0.12, 0.16), rows * rng.uniform(0.82, 0.88)
    middle = columns * rng.uniform(0.48, 0.54)
    depth = (y - top) / (bottom - top)
    if kind in ("linear", "trapezoid"):
        half = columns * rng.uniform(0.2, 0.27) + (0.12 * columns * depth if kind == "trapezoid" else 0.0)
        return (np.abs(x - middle) < half) & (depth >= 0) & (depth < 1), depth
    near = (bottom - top) * (rng.uniform(0.25, 0.4) if kind == "curved" else 0.02)
    angle = rng.uniform(0.55, 0.65) if kind == "curved" else rng.uniform(0.6, 0.72)
    across, down = x - middle, y - top + near * np.cos(angle)
    far = np.hypot(across, down)
    depth = (far - near) / (bottom - top - near * (1 - np.cos(angle)))
    return (np.abs(np.arctan2(across, down)) < angle) & (depth >= 0) & (depth < 1), depth


def _echoes(grain: np.random.Generator, rng: np.random.Generator, depth: Pixels, moved: float) -> Pixels:
    rows, columns = depth.shape
    y, x = np.mgrid[0:rows, 0:columns] / float(rows)
    layers = 0.5 - 0.33 * depth + 0.12 * np.sin(24.0 * depth + 4.0 * np.sin(3.0 * x + 9.0 * moved))
    cyst = np.hypot((y - rng.uniform(0.4, 0.55)) * 1.3, x - rng.uniform(0.6, 0.8) - 0.2 * moved) < 0.07
    speckle = np.asarray(
        Image.fromarray(grain.gamma(3.0, 1 / 3.0, (rows // 2, columns // 2)).astype(np.float32)).resize(
            (columns, rows), Image.Resampling.BILINEAR
        )
    )
    return np.asarray(np.clip(255 * np.clip(layers, 0.04, 1.0) * np.where(cyst, 0.0, speckle), 0, 255))


def _letters(rng: np.random.Generator, rows: int, columns: int, truth: Pixels) -> Pixels:
    image = Image.new("L", (columns, rows))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(max(10, rows // 45))
    draw.rectangle((0, 0, columns, rows // 20), fill=70)
    draw.text((10, rows // 120), "COUNTY CLINIC  2026-01-01  12:00:00", fill=255, font=font)
    for line, words in enumerate(("Gen THI", "C5-1 28Hz", "11cm", "2D", "HGen", "Gn 60", "C 61", "3/3/4")):
        draw.text((8, rows // 12 + line * rows // 30), words, fill=220, font=font)
    for tick in range(12):
        at = rows // 8 + tick * rows // 16
        draw.line((columns - 18, at, columns - 8, at), fill=200)
    draw.rectangle((columns - 50, rows // 6, columns - 42, rows // 2), fill=128, outline=255)
    draw.text((columns - 120, rows - rows // 25), f"TIS {rng.uniform(0.1, 1):.1f} MI 1.1", fill=230, font=font)
    curve = [(at, rows * 0.94 - rows * 0.03 * (at % 90 < 6)) for at in range(10, columns // 3, 3)]
    draw.line(curve, fill=180)
    return np.where(truth, 0, np.asarray(image))

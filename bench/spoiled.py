"""Good images spoiled in known ways, for `bench.quality`: each way is named after its cause at the modality."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Grey = NDArray[np.float32]
Chance = np.random.Generator
Way = Callable[[Grey, Chance], Grey]

SIDE: Final = 256
"""Every way of spoiling is applied at this size, so that lengths in pixels are shares of the frame."""


def evenly(frame: Grey) -> Grey:
    """(256, 256), 0 to 1 between its darkest and brightest grey."""
    small = np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
    low, high = float(small.min()), float(small.max())
    return (small - np.float32(low)) / np.float32(max(high - low, 1e-6))


def blurred(sigma: float) -> Way:
    """Gaussian, of *sigma* pixels of 256."""

    def spoil(frame: Grey, _: Chance) -> Grey:
        image = Image.fromarray((evenly(frame) * 255).astype(np.uint8))
        return np.asarray(image.filter(ImageFilter.GaussianBlur(sigma)), np.float32)

    return spoil


def moved(length: float) -> Way:
    """An even movement over *length* pixels of 256, in any direction."""

    def spoil(frame: Grey, chance: Chance) -> Grey:
        angle = chance.uniform(0, math.pi)
        down, across = np.fft.fftfreq(SIDE)[:, np.newaxis], np.fft.rfftfreq(SIDE)[np.newaxis, :]
        smear = np.sinc(length * (across * math.cos(angle) + down * math.sin(angle)))
        return np.fft.irfft2(np.fft.rfft2(evenly(frame)) * smear, (SIDE, SIDE)).astype(np.float32)

    return spoil


def grainy(share: float) -> Way:
    """White noise of *share* of the range."""

    def spoil(frame: Grey, chance: Chance) -> Grey:
        return evenly(frame) + chance.normal(0, share, (SIDE, SIDE)).astype(np.float32)

    return spoil


def bent(gamma: float) -> Way:
    """The greys to the power of *gamma*: below 1 pale, above 1 dark."""
    return lambda frame, _: evenly(frame) ** np.float32(gamma)


def clipped(low: float, high: float) -> Way:
    """Everything below the percentile *low* black, above *high* white."""

    def spoil(frame: Grey, _: Chance) -> Grey:
        return np.clip(frame, *np.percentile(frame, (low, high))).astype(np.float32)

    return spoil


def with_metal(frame: Grey, chance: Chance) -> Grey:
    """A chain, a disc and a buckle over the middle, brighter than anything else."""
    image = Image.fromarray((evenly(frame) * 200).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    x, y = chance.uniform(0.35, 0.6, 2) * SIDE
    draw.line([(x - 40, y - 40), (x, y + 10), (x + 40, y - 40)], fill=255, width=3)
    draw.ellipse((x - 9, y + 10, x + 9, y + 28), fill=255)
    draw.rectangle((x - 30, y + 45, x - 8, y + 57), outline=255, width=4)
    return np.asarray(image, np.float32)


def without(side: str, share: float) -> Way:
    """*share* of the frame missing at *side*."""

    def spoil(frame: Grey, _: Chance) -> Grey:
        from converters.shipped_packs import chest_templates

        return chest_templates.without(frame, side, share)

    return spoil


def turned(quarters: int) -> Way:
    """By quarter turns."""
    return lambda frame, _: np.ascontiguousarray(np.rot90(frame, quarters))


def photographed(frame: Grey, chance: Chance) -> Grey:
    """A film at a light box, taken with a phone: tilted, on a darker wall, with a lamp's glare and moiré."""
    image = Image.fromarray((evenly(frame) * 255).astype(np.uint8))
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    seen = corners * 0.7 + 0.15 + chance.uniform(-0.07, 0.07, (4, 2))
    wall = Image.new("L", (SIDE, SIDE), int(chance.uniform(20, 110)))
    data = _perspective(seen * SIDE, corners * SIDE)
    slanted = image.transform((SIDE, SIDE), Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR)
    mask = Image.new("L", (SIDE, SIDE), 255).transform((SIDE, SIDE), Image.Transform.PERSPECTIVE, data)
    wall.paste(slanted, mask=mask)
    y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    lamp = np.exp(-(((x - chance.uniform(0.2, 0.8)) / 0.12) ** 2) - ((y - chance.uniform(0.2, 0.8)) / 0.08) ** 2)
    bands = np.sin(2 * math.pi * (chance.uniform(30, 60) * x + chance.uniform(30, 60) * y))
    return np.asarray(np.asarray(wall, np.float32) + 120 * lamp + 8 * bands, np.float32)


def in_colour(frame: Grey, chance: Chance) -> NDArray[np.uint8]:
    """A photographed film (*frame* as `photographed` left it) in a phone's colours: never quite white."""
    balance = 1.0 + chance.choice([-1.0, 1.0], 3) * chance.uniform(0.03, 0.12, 3)
    return np.clip(frame[:, :, np.newaxis] * balance, 0, 255).astype(np.uint8)


def _perspective(seen: NDArray[Any], flat: NDArray[Any]) -> list[float]:
    """The eight coefficients of Pillow's perspective transform, from the tilted picture to the flat one."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(seen, flat, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    return [float(one) for one in np.linalg.solve(np.array(rows), np.array(wanted))]


OF_A_FILM: Final[Mapping[str, Way]] = {
    "blur, sigma 0.6 % of the side": blurred(1.5),
    "blur, sigma 1 %": blurred(2.5),
    "blur, sigma 1.6 %": blurred(4.0),
    "movement over 2.3 %": moved(6.0),
    "movement over 4 %": moved(10.0),
    "movement over 6 %": moved(16.0),
    "noise of 2 % of the range": grainy(0.02),
    "noise of 5 %": grainy(0.05),
    "noise of 10 %": grainy(0.1),
    "gamma 0.25": bent(0.25),
    "gamma 4": bent(4.0),
    "brightest 30 % all white": clipped(0, 70),
    "brightest 50 % all white": clipped(0, 50),
    "darkest 30 % all black": clipped(30, 100),
    "darkest 50 % all black": clipped(50, 100),
    "metal drawn in": with_metal,
    "a quarter missing at the left": without("left", 0.25),
    "a quarter missing at the right": without("right", 0.25),
    "a quarter missing at the top": without("top", 0.25),
    "a quarter missing at the bottom": without("bottom", 0.25),
    "40 % missing at the left": without("left", 0.4),
    "40 % missing at the top": without("top", 0.4),
    "40 % missing at the bottom": without("bottom", 0.4),
    "a quarter turn to the left": turned(1),
    "upside down": turned(2),
    "a quarter turn to the right": turned(3),
    "photographed, in grey": photographed,
}
OF_ULTRASOUND: Final = {
    name: OF_A_FILM[name]
    for name in (
        "blur, sigma 0.6 % of the side",
        "blur, sigma 1 %",
        "blur, sigma 1.6 %",
        "noise of 5 %",
        "noise of 10 %",
        "gamma 0.25",
        "gamma 4",
        "brightest 30 % all white",
        "brightest 50 % all white",
    )
}

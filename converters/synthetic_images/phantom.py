"""Films drawn by code: a chest of ellipses and arcs, or layers of speckle as in ultrasound. They show no patient.

They are crude on purpose. What a model says of one has no clinical meaning; that it says the same everywhere has.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Body = Literal["child", "adult", "ultrasound", "volume"]
Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Build:
    """Proportions of a thorax, as fractions of the film's side."""

    lung_width: float
    lung_height: float
    lung_centre: float
    heart_width: float
    ribs: int


BUILDS: dict[Body, Build] = {
    "child": Build(lung_width=0.175, lung_height=0.29, lung_centre=0.44, heart_width=0.185, ribs=8),
    "adult": Build(lung_width=0.165, lung_height=0.34, lung_centre=0.46, heart_width=0.15, ribs=9),
}


def ellipse(y: Grid, x: Grid, centre: tuple[float, float], radii: tuple[float, float], edge: float) -> Grid:
    """A soft ellipse: 1 inside, 0 outside, over a rim ``edge`` wide (a fraction of the radii)."""
    distance = np.sqrt(((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2)
    return np.asarray(1.0 / (1.0 + np.exp((distance - 1.0) / edge)), dtype=np.float64)


def film(body: Body, opacities: int, seed: int) -> NDArray[np.uint8]:
    """A film of this kind with ``opacities`` patches that do not belong there; a volume has :func:`volume`."""
    return ultrasound(opacities, seed) if body == "ultrasound" else chest(body, opacities, seed)


def ultrasound(masses: int, seed: int, side: int = 512) -> NDArray[np.uint8]:
    """(side, side) uint8 greys: layers of speckle, brighter above, with dark oval ``masses`` and their shadows."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / float(side)
    grey = 0.55 - 0.3 * y + 0.12 * np.sin(22.0 * y + 3.0 * texture(rng, side))
    for _ in range(masses):
        centre = (rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.75))
        radii = (rng.uniform(0.06, 0.12), rng.uniform(0.08, 0.16))
        grey -= 0.4 * ellipse(y, x, centre, radii, 0.12)
        grey -= 0.1 * np.exp(-(((x - centre[1]) / radii[1]) ** 2)) * (y > centre[0])
    grey = np.clip(grey, 0.03, 1.0) * rng.gamma(6.0, 1.0 / 6.0, grey.shape)
    return np.asarray(np.rint(np.clip(grey, 0.0, 1.0) * 235.0), dtype=np.uint8)


def chest(body: Body, opacities: int, seed: int, side: int = 512) -> NDArray[np.uint8]:
    """(side, side) uint8 greys, bright is dense: a frontal chest with ``opacities`` cloudy patches in its lungs."""
    build, rng = BUILDS[body], np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / float(side)
    grey = 0.62 * ellipse(y, x, (0.62, 0.5), (0.62, 0.47), 0.03)
    grey += 0.18 * ellipse(y, x, (0.5, 0.5), (0.9, 0.05), 0.25)
    lungs = np.zeros_like(grey)
    for middle in (0.5 - 0.235, 0.5 + 0.235):
        lungs += ellipse(y, x, (build.lung_centre, middle), (build.lung_height, build.lung_width), 0.06)
    grey -= 0.42 * lungs
    for rib in range(build.ribs):
        height = 0.12 + rib * 0.085
        arc = height + 0.35 * (x - 0.5) ** 2 * (1.0 if rib > 1 else 0.4)
        grey += 0.06 * np.exp(-(((y - arc) / 0.012) ** 2)) * (np.abs(x - 0.5) < 0.43)
    grey += 0.34 * ellipse(y, x, (0.58, 0.54), (0.19, build.heart_width), 0.08) * (1.0 - 0.25 * lungs)
    grey = np.maximum(grey, 0.92 * ellipse(y, x, (0.95, 0.5), (0.2, 0.46), 0.05))
    for _ in range(opacities):
        middle = 0.5 + float(rng.choice((-0.235, 0.235))) + rng.uniform(-0.06, 0.06)
        at = (build.lung_centre + rng.uniform(-0.05, 0.2), middle)
        cloud = ellipse(y, x, at, (rng.uniform(0.07, 0.13), rng.uniform(0.06, 0.11)), 0.25)
        grey += 0.3 * cloud * (0.75 + 0.5 * texture(rng, side)) * lungs
    grey += 0.035 * (texture(rng, side) - 0.5) + 0.006 * rng.standard_normal(grey.shape)
    return np.asarray(np.rint(np.clip(grey, 0.0, 1.0) * 235.0), dtype=np.uint8)


def volume(lesions: int, seed: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(D, H, W) uint8 greys: a cloudy ellipsoid with ``lesions`` bright balls in it."""
    rng = np.random.default_rng(seed)
    place = np.meshgrid(*(np.linspace(-1.0, 1.0, side) for side in shape), indexing="ij")
    waves = [np.cos(rng.uniform(1.0, 4.0) * axis + rng.uniform(0.0, 6.0)) for axis in place]
    body = 1.0 / (1.0 + np.exp((np.sqrt(sum(axis**2 for axis in place)) - 0.9) / 0.05))
    grey = body * (0.45 + 0.05 * sum(waves))
    for _ in range(lesions):
        centre, radius = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.15, 0.25)
        away = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(place, centre, strict=True)))
        grey = grey + 0.4 / (1.0 + np.exp((away - radius) / 0.03))
    grey = grey + 0.02 * rng.standard_normal(shape)
    return np.asarray(np.rint(np.clip(grey, 0.0, 1.0) * 235.0), dtype=np.uint8)


def texture(rng: np.random.Generator, side: int) -> Grid:
    """Cloudy noise in [0, 1], (side, side)."""
    coarse = Image.fromarray(rng.integers(0, 256, (side // 16, side // 16), dtype=np.uint8))
    smooth = coarse.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(side / 100))
    values = np.asarray(smooth, dtype=np.float64)
    return np.asarray((values - values.min()) / max(float(values.max() - values.min()), 1.0), dtype=np.float64)

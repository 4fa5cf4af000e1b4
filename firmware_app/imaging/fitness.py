"""Whether a frame can be a film at all, before a model is asked: a model gives a number for anything, noise included.

The limits are far from every film that we know.  Measured on 1,304 children's films (Kermany), 1,205 adults' (NIH), the
twelve golden images and the CR of pydicom-data and NEMA, worst of all of them against the limit:

- greys in use: 91, at least 16 are asked for; share of the commonest grey: 0.44, at most 0.8;
- correlation of neighbours at 64 × 64: 0.87, at least 0.6 (white noise: at most 0.15);
- contrast left at 64 × 64: 0.95 of the film's, at least 0.6 (white noise of 224 pixels: 0.29, a page of text: 0.32);
- variance at 64 × 64 that no even slope explains: 0.118, at least 0.03 (an empty detector's heel effect: 0).

It does not tell a chest from a hand; that is for the header's words and, in the end, the doctor.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.errors import ImageBlank, ImageNotAFilm, ImageOddShape, ImageTooSmall
from firmware_app.imaging.model_input import InputSpec

LEAST_SHARE_OF_INPUT: Final = 0.85
"""Of the model's own height and width; less would be drawn larger than it was taken."""
NARROWEST: Final = 0.4  # width by height; cassettes are 0.8 to 1.25, collimated films 0.5 to 2
WIDEST: Final = 2.5
FEWEST_GREYS: Final = 16
COMMONEST_GREY: Final = 0.8
LEAST_CORRELATION: Final = 0.6
LEAST_CONTRAST_LEFT: Final = 0.6
LEAST_BEYOND_SLOPE: Final = 0.03

_SIDE: Final = 64
_SAMPLED_SIDE: Final = 256
_IN_USE: Final = 1e-4  # of the pixels; fewer are a dead line or a burned-in letter


def check(frame: NDArray[np.float32], spec: InputSpec) -> None:
    """Raise an `ImageUnfit` when *frame*, (H, W) greys of any range, can be no film for a model of this input."""
    rows, columns = frame.shape
    least = math.ceil(LEAST_SHARE_OF_INPUT * max(spec.height, spec.width))
    if min(rows, columns) < least:
        raise ImageTooSmall(columns=columns, rows=rows, least=least)
    if not NARROWEST <= columns / rows <= WIDEST:
        raise ImageOddShape(columns=columns, rows=rows)
    step = max(1, min(rows, columns) // _SAMPLED_SIDE)
    sampled = frame[::step, ::step].astype(np.float64)
    low, high = (float(limit) for limit in np.percentile(sampled, (0.5, 99.5)))
    if not high - low > max(abs(low), abs(high)) * 1e-6:
        raise ImageBlank(greys=1)
    sampled = np.clip((sampled - low) / (high - low), 0.0, 1.0)
    counts = np.bincount((sampled * 255).astype(np.uint8).ravel(), minlength=256)
    greys = int((counts > sampled.size * _IN_USE).sum())
    if greys < FEWEST_GREYS or counts.max() > COMMONEST_GREY * sampled.size:
        raise ImageBlank(greys=greys)
    small = Image.fromarray(np.ascontiguousarray(frame)).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    reduced = np.clip((np.asarray(small, np.float64) - low) / (high - low), 0.0, 1.0)
    kept = reduced.std() >= LEAST_CONTRAST_LEFT * sampled.std()
    if not (kept and _connected(reduced) and _beyond_slope(reduced) >= LEAST_BEYOND_SLOPE):
        raise ImageNotAFilm


def _connected(reduced: NDArray[np.float64]) -> bool:
    """Whether neighbours are alike, across and down."""
    pairs = ((reduced[1:], reduced[:-1]), (reduced[:, 1:], reduced[:, :-1]))
    return all(_correlation(one, other) >= LEAST_CORRELATION for one, other in pairs)


def _beyond_slope(reduced: NDArray[np.float64]) -> float:
    """The share of the variance that is left when the best even slope is taken away."""
    ramp = np.linspace(-1.0, 1.0, _SIDE)
    rest = reduced - reduced.mean()
    total = float((rest * rest).sum())
    for slope in (ramp[:, np.newaxis], ramp[np.newaxis, :]):
        rest = rest - slope * ((rest * slope).sum() / (_SIDE * (ramp * ramp).sum()))
    return float((rest * rest).sum()) / total if total > 0 else 0.0


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's; 1 where one of them does not vary at all."""
    one, other = one - one.mean(), other - other.mean()
    scale = math.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return float((one * other).sum()) / scale if scale > 0 else 1.0

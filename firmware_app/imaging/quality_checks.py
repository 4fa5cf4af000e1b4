"""Whether a model may read a frame at all, checked before it runs: a model gives a number for anything, even noise.

The limits of fitness are far from every known image of their modality.  Measured on 1,304 children's and 1,205 adults'
films, the worst image against the limit: greys in use 91 against 16, share of the commonest grey 0.44 against 0.8,
correlation of neighbours at 64 × 64 0.87 against 0.6, contrast left at 64 × 64 0.95 against 0.6, variance beyond an
even slope 0.118 against 0.03.  On 645 ultrasound images and clips: 100 against 16, 0.72 against 0.9, 0.556 against 0.4,
0.75 against 0.5, 0.136 against 0.03; width by height 0.57 to 2.29 against 0.33 to 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_app.imaging import image_limits, quality_measures
from firmware_app.imaging.dicom_image import DicomImage
from firmware_app.imaging.errors import (
    IMAGE_BELOW_LEAST,
    IMAGE_BLANK,
    IMAGE_NOT_A_FILM,
    IMAGE_ODD_SHAPE,
    IMAGE_OF_COLOUR,
    IMAGE_OF_PAGES,
    IMAGE_PHOTOGRAPHED,
    IMAGE_TOO_SMALL,
    IMAGE_UNLIKE,
    ImageTurned,
    ImageUnfit,
)
from firmware_app.imaging.image_file import ImageFile
from firmware_app.imaging.input_spec import QualityKind
from firmware_app.imaging.model_input import InputSpec
from firmware_app.imaging.picture import Picture
from firmware_app.imaging.pixel_size import SQUARE
from firmware_app.imaging.quality_measures import ReducedFrame

FEWEST_GREYS: Final = 16
LEAST_BEYOND_SLOPE: Final = 0.03


@dataclass(frozen=True, slots=True)
class FitnessLimits:
    """The limits for the images of a modality.

    `share_of_input` is the least size as a share of the model's height and width; a smaller image would be enlarged.
    `narrowest` and `widest` are width divided by height.
    """

    share_of_input: float
    narrowest: float
    widest: float
    commonest_grey: float
    correlation: float
    contrast_left: float


RADIOGRAPH_LIMITS: Final = FitnessLimits(
    share_of_input=0.85,
    narrowest=0.4,  # cassettes are 0.8 to 1.25, collimated films 0.5 to 2
    widest=2.5,
    commonest_grey=0.8,
    correlation=0.6,
    contrast_left=0.6,
)
ULTRASOUND_LIMITS: Final = FitnessLimits(
    share_of_input=0.6, narrowest=0.33, widest=3.0, commonest_grey=0.9, correlation=0.4, contrast_left=0.5
)
LIMITS_BY_MODALITY: Final = {"US": ULTRASOUND_LIMITS}
"""The limits by DICOM Modality; `RADIOGRAPH_LIMITS` holds for all others."""

_SIDE: Final = 64
_SAMPLED_SIDE: Final = 256
_IN_USE: Final = 1e-4  # share of pixels from which a grey counts as in use; fewer are a dead line or a letter


def check_fitness(
    frame: NDArray[np.float32], spec: InputSpec, limits: FitnessLimits = RADIOGRAPH_LIMITS, aspect: float = SQUARE
) -> None:
    """Raise an `ImageUnfit` when *frame*, (H, W) greys of any range, cannot be a film for a model with this input.

    *aspect* is the height of a pixel over its width.
    """
    rows, columns = frame.shape
    least = math.ceil(limits.share_of_input * max(spec.height, spec.width))
    nearest = max if spec.resize == "letterbox" else min  # the side by which the frame is scaled the most
    if nearest(rows, columns) < least:
        raise IMAGE_TOO_SMALL(columns=columns, rows=rows, least=least)
    if not limits.narrowest <= columns / (rows * aspect) <= limits.widest:
        raise IMAGE_ODD_SHAPE(columns=columns, rows=rows)
    step = max(1, min(rows, columns) // _SAMPLED_SIDE)
    sampled = frame[::step, ::step].astype(np.float64)
    low, high = (float(limit) for limit in np.percentile(sampled, (0.5, 99.5)))
    if not high - low > max(abs(low), abs(high)) * 1e-6:
        raise IMAGE_BLANK(greys=1)
    sampled = np.clip((sampled - low) / (high - low), 0.0, 1.0)
    counts = np.bincount((sampled * 255).astype(np.uint8).ravel(), minlength=256)
    greys = int((counts > sampled.size * _IN_USE).sum())
    if greys < FEWEST_GREYS or counts.max() > limits.commonest_grey * sampled.size:
        raise IMAGE_BLANK(greys=greys)
    small = Image.fromarray(np.ascontiguousarray(frame)).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    reduced = np.clip((np.asarray(small, np.float64) - low) / (high - low), 0.0, 1.0)
    kept = reduced.std() >= limits.contrast_left * sampled.std()
    if not (
        kept
        and _neighbours_correlate(reduced, limits.correlation)
        and variance_beyond_slope(reduced) >= LEAST_BEYOND_SLOPE
    ):
        raise IMAGE_NOT_A_FILM()


def check_size(frame: NDArray[np.float32], least_px: int | None) -> None:
    """Raise `IMAGE_BELOW_LEAST` when the shorter side of *frame*, (H, W), has fewer pixels than the pack asks for."""
    rows, columns = frame.shape
    if least_px is not None and min(rows, columns) < least_px:
        raise IMAGE_BELOW_LEAST(columns=columns, rows=rows, least=least_px)


def _neighbours_correlate(reduced: NDArray[np.float64], least: float) -> bool:
    """Whether neighbouring pixels correlate, across and down."""
    pairs = ((reduced[1:], reduced[:-1]), (reduced[:, 1:], reduced[:, :-1]))
    return all(_correlation(one, other) >= least for one, other in pairs)


def variance_beyond_slope(reduced: NDArray[np.float64]) -> float:
    """The share of the variance that remains after the best linear slope is removed."""
    ramp = np.linspace(-1.0, 1.0, _SIDE)
    rest = reduced - reduced.mean()
    total = float((rest * rest).sum())
    for slope in (ramp[:, np.newaxis], ramp[np.newaxis, :]):
        rest = rest - slope * ((rest * slope).sum() / (_SIDE * (ramp * ramp).sum()))
    return float((rest * rest).sum()) / total if total > 0 else 0.0


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's correlation; 1 where one of them is constant."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if one.std() > 0 and other.std() > 0 else 1.0


MEASURES: Final[Mapping[str, Callable[[ReducedFrame], float]]] = {
    "blur": quality_measures.measure_blur,
    "motion": quality_measures.measure_motion,
    "noise": quality_measures.measure_noise,
    "pale": quality_measures.measure_paleness,
    "dark": quality_measures.measure_darkness,
    "burnt_white": quality_measures.measure_burnt_white,
    "burnt_black": quality_measures.measure_burnt_black,
    "metal": quality_measures.measure_metal,
    "cut_off": quality_measures.measure_cut_off,
    "turned": quality_measures.measure_turn,
    "unlike": quality_measures.measure_unlikeness,
}
_REFUSALS: Final[Mapping[str, Callable[[], ImageUnfit]]] = {"turned": ImageTurned, "unlike": IMAGE_UNLIKE}
_GREY_MODES: Final = ("1", "L", "LA", "I", "F")

MeasureValues = Mapping[str, float]


def measure_frame(frame: NDArray[np.float32], kind: QualityKind) -> dict[str, float]:
    """The measures of *frame*, (H, W) greys of any range, that apply to its kind."""
    if not image_limits.QUALITY_LIMITS[kind]:
        return {}
    look = ReducedFrame.from_frame(frame)
    return {name: MEASURES[name](look) for name in image_limits.QUALITY_LIMITS[kind]}


def median_measures(numbers: Sequence[MeasureValues]) -> dict[str, float]:
    """The median of each measure over the frames of a clip: a single bad frame does not make a bad clip."""
    return {name: float(np.median([number[name] for number in numbers])) for name in numbers[0]} if numbers else {}


def check_measures(numbers: MeasureValues, kind: QualityKind) -> None:
    """Raise `ImageTurned` or `IMAGE_UNLIKE` for numbers beyond the limits for models."""
    refused = image_limits.find_refusal(numbers, kind)
    if refused is not None:
        raise _REFUSALS[refused[0]]()


def check_pages(film: ImageFile, *, clip: bool) -> None:
    """Raise `IMAGE_OF_PAGES` for a picture of several pages: they may be films of several views, days or patients.

    Only where a *clip* is expected are they its frames, if all have the same size and kind.
    """
    if isinstance(film, Picture) and film.frames > 1 and not (clip and film.alike):
        raise IMAGE_OF_PAGES(pages=film.frames)


def check_colours(film: ImageFile, index: int, kind: QualityKind, *, photographs: bool) -> None:
    """Raise `IMAGE_OF_COLOUR` for a colour photograph, `IMAGE_PHOTOGRAPHED` for a photograph of a film or a screen.

    *photographs*: the pack reads photographed films.
    """
    if _is_grey(film):
        return
    pixels = film.render_frame(index).pixels
    if pixels.ndim != 3:
        return
    rgb = pixels.astype(np.uint8, copy=False)
    if quality_measures.measure_colour(rgb) >= image_limits.COLOURED_SHARE[kind]:
        raise IMAGE_OF_COLOUR()
    if kind != "ultrasound" and not photographs and quality_measures.measure_tint(rgb) >= image_limits.TINTED_SHARE:
        raise IMAGE_PHOTOGRAPHED()


def _is_grey(film: ImageFile) -> bool:
    """Whether the film is greyscale, so that its colours need no check."""
    if isinstance(film, DicomImage):
        return film.source.samples == 1 and film.source.photometric != "PALETTE COLOR"
    return isinstance(film, Picture) and (film.mode in _GREY_MODES or film.mode.startswith("I;16"))

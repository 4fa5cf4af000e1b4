"""Judges a frame: the measures that have limits for its kind of picture, and whether a model may see it at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import (
    ImageOfColour,
    ImageOfPages,
    ImagePhotographed,
    ImageTurned,
    ImageUnfit,
    ImageUnlike,
)
from firmware_app.imaging.dicom_film import DicomFilm
from firmware_app.imaging.film import Film
from firmware_app.imaging.input_spec import QualityKind
from firmware_app.imaging.picture import Picture
from firmware_app.imaging.quality import chest, limits, measures
from firmware_app.imaging.quality.look import Look

MEASURES: Final[Mapping[str, Callable[[Look], float]]] = {
    "blur": measures.blur,
    "motion": measures.motion,
    "noise": measures.noise,
    "pale": measures.pale,
    "dark": measures.dark,
    "burnt_white": measures.burnt_white,
    "burnt_black": measures.burnt_black,
    "metal": measures.metal,
    "cut_off": chest.cut_off,
    "turned": chest.turned,
    "unlike": chest.unlike,
}
_REFUSALS: Final[Mapping[str, type[ImageUnfit]]] = {"turned": ImageTurned, "unlike": ImageUnlike}
_GREY_MODES: Final = ("1", "L", "LA", "I", "F")

Numbers = Mapping[str, float]


def measured(frame: NDArray[np.float32], kind: QualityKind) -> dict[str, float]:
    """The measures of *frame*, (H, W) greys of any range, that apply to its kind."""
    if not limits.LIMITS[kind]:
        return {}
    look = Look.at(frame)
    return {name: MEASURES[name](look) for name in limits.LIMITS[kind]}


def of_frames(numbers: Sequence[Numbers]) -> dict[str, float]:
    """The median of each measure over the frames of a clip: a single bad frame does not make a bad clip."""
    return {name: float(np.median([one[name] for one in numbers])) for name in numbers[0]} if numbers else {}


def check(numbers: Numbers, kind: QualityKind) -> None:
    """Raise `ImageTurned` or `ImageUnlike` for numbers beyond the limits for models."""
    refused = limits.refused(numbers, kind)
    if refused is not None:
        raise _REFUSALS[refused[0]]


def check_pages(film: Film, *, clip: bool) -> None:
    """Raise `ImageOfPages` for a picture of several pages: they may be films of several views, days or patients.

    Only where a *clip* is expected are they its frames, if all have the same size and kind.
    """
    if isinstance(film, Picture) and film.frames > 1 and not (clip and film.alike):
        raise ImageOfPages(pages=film.frames)


def check_colours(film: Film, index: int, kind: QualityKind, *, photographs: bool) -> None:
    """Raise `ImageOfColour` for a colour photograph, `ImagePhotographed` for a photograph of a film or a screen.

    *photographs*: the pack reads photographed films.
    """
    if _is_grey(film):
        return
    pixels = film.shown(index).pixels
    if pixels.ndim != 3:
        return
    rgb = pixels.astype(np.uint8, copy=False)
    if measures.colour(rgb) >= limits.COLOURED[kind]:
        raise ImageOfColour
    if kind != "ultrasound" and not photographs and measures.tint(rgb) >= limits.TINTED:
        raise ImagePhotographed


def _is_grey(film: Film) -> bool:
    """Whether the film is greyscale, so that its colours need no check."""
    if isinstance(film, DicomFilm):
        return film.source.samples == 1 and film.source.photometric != "PALETTE COLOR"
    return isinstance(film, Picture) and (film.mode in _GREY_MODES or film.mode.startswith("I;16"))

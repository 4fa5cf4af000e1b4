"""The ultrasound properties of an opened image file: its sector, its scale, its share of colour, its frame rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from firmware_app.imaging import spacing
from firmware_app.imaging.clip import Clip
from firmware_app.imaging.dicom_film import DicomFilm
from firmware_app.imaging.display import ShownFrame
from firmware_app.imaging.film import Film
from firmware_app.imaging.morphology import Mask
from firmware_app.imaging.pixel_size import Scale
from firmware_app.imaging.ultrasound import marks, regions, sector
from firmware_app.imaging.ultrasound.regions import Region
from firmware_app.imaging.ultrasound.sector import Sector


def stated_regions(film: Film) -> tuple[Region, ...]:
    """The regions in a DICOM header, if they are plausible; a picture or a clip file has none."""
    if not isinstance(film, DicomFilm):
        return ()
    return regions.of(film.source.header, film.rows, film.columns)


def stated_sector(film: Film) -> Sector | None:
    """The sector from the header; where it is None, detect it in the pixels (`sector.of_still`, `keyframes.chosen`)."""
    return sector.of_regions(stated_regions(film), film.rows, film.columns)


def sector_of(film: Film, index: int) -> Sector | None:
    """The sector of one frame, from the header or else from its pixels."""
    return stated_sector(film) or sector.of_still(film.grey(index))


def colour_share(film: Film, index: int, area: Sector | None) -> float:
    """The share of the sector of frame *index* that is drawn in colour."""
    pixels = film.shown(index).pixels
    return sector.coloured(pixels, area) if pixels.ndim == 3 else 0.0


def written(film: Film, index: int, grey: NDArray[np.float32], area: Sector | None, *, colours: bool) -> Mask:
    """(H, W), true where marks are written into the sector of frame *index*, of which *grey* is `film.grey(index)`.

    *colours*: whether its pixels have any.
    """
    found = marks.strokes(grey, film.shown(index).pixels if colours else None)
    return found if area is None else found & area.mask


def shows_flow(film: Film) -> bool:
    """Whether the header declares a colour flow region; a frame may show little or no colour in it."""
    return any(region.flow for region in stated_regions(film))


def frames_per_second(film: Film) -> float | None:
    """The frame rate in the DICOM header or the clip file; None for a picture."""
    if isinstance(film, DicomFilm):
        return regions.frames_per_second(film.source.header)
    return film.track.frames_per_second if isinstance(film, Clip) else None


def scales(film: Film, index: int) -> tuple[Scale, ...]:
    """The parts of frame *index* whose pixel size in the patient the header states; empty for a picture or a clip file.

    Of an ultrasound picture these are its regions, of which some have no lengths along their axes.
    """
    if not isinstance(film, DicomFilm):
        return ()
    if stated := stated_regions(film):
        return tuple(Scale(one.x0, one.y0, one.x1, one.y1, one.mm_y, one.mm_x, one.first) for one in stated)
    mm = spacing.of(film.source.header, index).mm
    return () if mm is None else (Scale(0, 0, film.columns, film.rows, *mm),)


def shown(film: Film, index: int) -> ShownFrame:
    """Frame *index* for display, with its regions for measuring and its frame rate for playing the clip."""
    return replace(film.shown(index), regions=stated_regions(film), rate_hz=frames_per_second(film))

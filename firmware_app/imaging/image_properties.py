"""Properties of an opened image file: sector, scale, share of colour, frame rate, written marks, coded diagnoses."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from firmware_app.imaging import keyframes, spacing, ultrasound_marks, ultrasound_regions, ultrasound_sector
from firmware_app.imaging.clip import Clip
from firmware_app.imaging.dicom_image import DicomImage
from firmware_app.imaging.dicom_source import HEADER_ERRORS
from firmware_app.imaging.display import DisplayFrame
from firmware_app.imaging.image_file import ImageFile
from firmware_app.imaging.image_limits import DIAGNOSIS_PATTERN, MOST_DIAGNOSES
from firmware_app.imaging.pixel_operations import Mask
from firmware_app.imaging.pixel_size import Scale
from firmware_app.imaging.ultrasound_regions import Region
from firmware_app.imaging.ultrasound_sector import Sector


def header_regions(film: ImageFile) -> tuple[Region, ...]:
    """The regions in a DICOM header, if they are plausible; a picture or a clip file has none."""
    if not isinstance(film, DicomImage):
        return ()
    return ultrasound_regions.read_regions(film.source.header, film.rows, film.columns)


def header_sector(film: ImageFile) -> Sector | None:
    """The sector from the header; where it is None, detect it in the pixels (`ultrasound_sector.detect_sector`,
    `choose_keyframes`)."""
    return ultrasound_sector.sector_from_regions(header_regions(film), film.rows, film.columns)


def find_sector(film: ImageFile) -> Sector | None:
    """The sector from the header, else from the pixels (in a clip, from what moves)."""
    stated = header_sector(film)
    if stated is not None or film.frames > 1:
        return keyframes.choose_keyframes(film.grey, film.frames, "middle", 1, stated, find=True).sector
    return ultrasound_sector.detect_sector(film.grey(0))


def colour_share(film: ImageFile, index: int, area: Sector | None) -> float:
    """The share of the sector of frame *index* that is drawn in colour."""
    pixels = film.render_frame(index).pixels
    return ultrasound_sector.measure_colour_share(pixels, area) if pixels.ndim == 3 else 0.0


def find_written_marks(
    film: ImageFile, index: int, grey: NDArray[np.float32], area: Sector | None, *, colours: bool
) -> Mask:
    """(H, W), true where marks are written into the sector of frame *index*, of which *grey* is `film.grey(index)`.

    *colours*: whether its pixels have any.
    """
    found = ultrasound_marks.find_strokes(grey, film.render_frame(index).pixels if colours else None)
    return found if area is None else found & area.mask


def shows_flow(film: ImageFile) -> bool:
    """Whether the header declares a colour flow region; a frame may show little or no colour in it."""
    return any(region.flow for region in header_regions(film))


def frame_rate(film: ImageFile) -> float | None:
    """The frame rate in the DICOM header or the clip file; None for a picture."""
    if isinstance(film, DicomImage):
        return ultrasound_regions.read_frame_rate(film.source.header)
    return film.track.frames_per_second if isinstance(film, Clip) else None


def pixel_scales(film: ImageFile, index: int) -> tuple[Scale, ...]:
    """The parts of frame *index* whose pixel size in the patient the header states; empty for a picture or a clip file.

    Of an ultrasound picture these are its regions, of which some have no lengths along their axes.
    """
    if not isinstance(film, DicomImage):
        return ()
    if stated := header_regions(film):
        return tuple(
            Scale(
                x0=region.x0,
                y0=region.y0,
                x1=region.x1,
                y1=region.y1,
                mm_down=region.mm_y,
                mm_across=region.mm_x,
                first=region.first,
            )
            for region in stated
        )
    mm = spacing.read_spacing(film.source.header, index).mm
    return () if mm is None else (Scale(0, 0, film.columns, film.rows, *mm),)


def make_display_frame(film: ImageFile, index: int) -> DisplayFrame:
    """Frame *index* for display, with its regions for measuring and its frame rate for playing the clip."""
    return replace(film.render_frame(index), regions=header_regions(film), rate_hz=frame_rate(film))


def find_diagnoses(film: ImageFile) -> tuple[str, ...]:
    """Each as ``SCHEME:CODE``, at most `MOST_DIAGNOSES`; none of a picture or a clip file."""
    return read_diagnoses(film.source.header) if isinstance(film, DicomImage) else ()


def read_diagnoses(header: Dataset) -> tuple[str, ...]:
    """The same of a header, without what has not the form of a code."""
    try:
        items = list(header.get("AdmittingDiagnosesCodeSequence") or ())[:MOST_DIAGNOSES]
        pairs = [(str(item.get("CodingSchemeDesignator")), str(item.get("CodeValue"))) for item in items]
    except HEADER_ERRORS:
        return ()
    coded = (f"{scheme.strip()}:{code.strip()}" for scheme, code in pairs if "None" not in (scheme, code))
    return tuple(dict.fromkeys(one for one in coded if re.fullmatch(DIAGNOSIS_PATTERN, one, re.ASCII)))

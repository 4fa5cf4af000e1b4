"""The frames of an exported object: the decoded samples, black outside an ultrasound's sector.

Inside the sector every sample is exactly what the decoder gave.  Not exported are word bits outside the pixel value
(old machines keep overlays there), bytes after the last frame and comments within code streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from firmware_app.core.errors import ExportNoSector, Undecodable
from firmware_app.imaging.dicom_film import DicomFilm
from firmware_app.imaging.grey import palette
from firmware_app.imaging.grey.pipeline import luminance
from firmware_app.imaging.source import BROKEN, PixelSource
from firmware_app.imaging.ultrasound import keyframes, opened, sector
from firmware_app.imaging.ultrasound.sector import Sector

_ULTRASOUND: Final = "US"
_ULTRASOUND_CLASSES: Final = tuple(f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("3", "3.1", "6", "6.1", "6.2"))
_FLOATS: Final = {"FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}
_LOSSY: Final = {
    **dict.fromkeys(("50", "51", "53", "55"), "ISO_10918_1"),
    "81": "ISO_14495_1",
    "91": "ISO_15444_1",
    "203": "ISO_15444_15",
    **dict.fromkeys(("100", "100.1", "101", "101.1"), "ISO_13818_2"),
    **dict.fromkeys((f"10{kind}{more}" for kind in range(2, 7) for more in ("", ".1")), "ISO_14496_10"),
    **dict.fromkeys(("107", "108"), "ISO_23008_2"),
}
_EITHER: Final = ("91", "203")  # lossy or lossless; the header says which
_COMPRESSED: Final = "1.2.840.10008.1.2.4."


@dataclass(frozen=True, slots=True)
class Plan:
    """How all frames of one object are written: the `photometric` interpretation and, for ultrasound, the sector."""

    photometric: str
    inside: Sector | None

    @property
    def blacked(self) -> bool:
        """Whether anything is blackened; nothing is in a picture that was already cut to its sector."""
        return self.inside is not None and bool(self.inside.outside.any())


def is_ultrasound(header: Dataset) -> bool:
    """Whether its modality or its SOP class is ultrasound."""
    modality, kind = (str(header.get(keyword) or "").strip("\0 ") for keyword in ("Modality", "SOPClassUID"))
    return modality == _ULTRASOUND or kind in _ULTRASOUND_CLASSES


def planned(film: DicomFilm) -> Plan:
    """The plan for *film*, from its header and some of its frames; raises `ExportNoSector`, `ImagingError`."""
    inside = _sector(film) if is_ultrasound(film.source.header) else None
    return Plan(photometric(film, 0), inside)


def photometric(film: DicomFilm, index: int) -> str:
    """The photometric interpretation, judged from the frames up to *index*; colours come from `DicomFilm.samples`."""
    if film.source.samples == 1:
        return film.source.photometric
    return "RGB" if _is_partial(film.source) else film.samples(index)[1]


def _is_partial(source: PixelSource) -> bool:
    """Whether it is YBR in studio range; DICOM has that only with shared chroma, so such frames are written as RGB."""
    return source.native and source.photometric.startswith("YBR_PARTIAL")


def _sector(film: DicomFilm) -> Sector:
    """The sector from the header, else from the pixels (in a clip, from what moves)."""
    area = opened.stated_sector(film)
    if area is None and film.frames == 1:
        area = sector.of_still(film.grey(0))
    elif area is None:
        watch = sector.Watch()
        for index in keyframes.evenly(film.frames, keyframes.MOST_WATCHED):
            watch.see(film.grey(index))
        area = watch.sector()
    if area is None:
        raise ExportNoSector
    return area


def frames(film: DicomFilm, plan: Plan) -> Iterator[NDArray[np.generic]]:
    """Every frame as it is written: (H, W) or (H, W, 3) words, black outside the sector."""
    outside = plan.inside.outside if plan.inside is not None else None
    black = _black(film, plan) if outside is not None else 0
    for index in range(film.frames):
        frame = _frame(film, index)
        if outside is not None:
            frame[outside] = black
        yield frame


def seen(film: DicomFilm, plan: Plan, index: int) -> NDArray[np.uint8]:
    """Frame *index* for display, (H, W, 3) of 0 to 255, as a viewer will show the export."""
    shown = film.shown(index).pixels
    picture = shown if shown.ndim == 3 else _stretched(film.grey(index))[..., np.newaxis].repeat(3, axis=2)
    picture = np.array(picture, dtype=np.uint8)
    if plan.inside is not None:
        picture[plan.inside.outside] = 0
    return picture


def _stretched(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(frame.min()), float(frame.max())
    return (frame - low) * np.float32(255.0 / (high - low)) if high > low else np.zeros_like(frame)


def _frame(film: DicomFilm, index: int) -> NDArray[np.generic]:
    """A copy of the frame, in the words that are written."""
    source = film.source
    try:
        if source.samples == 3 and _is_partial(source):
            words = film.rgb(index)
        elif source.samples == 3:
            words = film.samples(index)[0]
        else:
            words = film.reader.frame(index)
    except BROKEN:
        raise Undecodable(detail=f"its pixels, {source.transfer_syntax.name}, are broken") from None
    if source.keyword in _FLOATS:
        return np.array(words, dtype=f"<f{source.allocated // 8}")
    kind = np.dtype(f"<{'i' if source.signed else 'u'}{max(1, source.allocated // 8)}")
    if words.shape[:2] != (source.rows, source.columns):
        raise Undecodable(detail=f"it decodes to {words.shape[1]} × {words.shape[0]} pixels")
    return _values_only(words, film).astype(kind, copy=True)


def _values_only(words: NDArray[Any], film: DicomFilm) -> NDArray[Any]:
    """*words* without the bits outside the value, sign-extended; a decoder's values are left as they are."""
    source = film.source
    if source.samples == 3 or not film.has_own_layout or source.allocated == source.stored:
        return words
    low = source.high_bit + 1 - source.stored
    unsigned = words.view(f"u{words.dtype.itemsize}")
    if not source.signed:
        return np.asarray(unsigned & (((1 << source.stored) - 1) << low))
    above = source.allocated - 1 - source.high_bit
    signed = (unsigned << above).astype(f"u{words.dtype.itemsize}").view(f"i{words.dtype.itemsize}")
    return np.asarray(((signed >> above) >> low) << low)


def _black(film: DicomFilm, plan: Plan) -> Any:
    """The word (or three words) for black."""
    source = film.source
    if source.samples == 3:
        return (0, 1 << (source.stored - 1), 1 << (source.stored - 1)) if plan.photometric == "YBR_FULL" else (0, 0, 0)
    bits = source.stored
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if source.signed else (0, (1 << bits) - 1)
    if source.photometric == "PALETTE COLOR":
        table = palette.of(source.header, source.signed)
        return int(luminance(table.entries[np.newaxis])[0].argmin()) + table.first
    return (high if film.inverted else low) << (source.high_bit + 1 - bits if film.has_own_layout else 0)


def describe(data: Dataset, film: DicomFilm, plan: Plan) -> None:
    """Update *data*, the cleaned header, to the pixels as written; the history of lossy compression stays."""
    source = film.source
    data.Rows, data.Columns, data.SamplesPerPixel = source.rows, source.columns, source.samples
    data.PhotometricInterpretation = plan.photometric
    if source.samples == 3:
        data.PlanarConfiguration = 0
    if source.frames > 1 or "NumberOfFrames" in source.header:
        data.NumberOfFrames = source.frames
    data.BitsAllocated = source.allocated
    if source.keyword not in _FLOATS:
        data.BitsStored = source.stored
        data.HighBit = source.high_bit if film.has_own_layout and source.samples == 1 else source.stored - 1
        data.PixelRepresentation = int(source.signed)
    syntax = source.transfer_syntax.removeprefix(_COMPRESSED)
    method = _LOSSY.get(syntax, "")
    if method and not (syntax in _EITHER and data.get("LossyImageCompression") == "00"):
        data.LossyImageCompression = "01"
        if not data.get("LossyImageCompressionMethod"):
            data.LossyImageCompressionMethod = method
    if plan.blacked and data.get("ImageType"):
        kinds = data.ImageType
        data.ImageType = ["DERIVED", *([kinds] if isinstance(kinds, str) else list(kinds))[1:]]


def element_vr(source: PixelSource) -> str:
    """The VR of the pixel element in explicit little endian (PS3.5 A.2)."""
    return _FLOATS.get(source.keyword) or ("OW" if source.allocated > 8 else "OB")


def pixel_bytes(source: PixelSource) -> int:
    """The bytes of all frames as native words, without padding."""
    if source.allocated == 1:
        return (source.rows * source.columns * source.frames + 7) // 8
    return source.rows * source.columns * source.samples * source.frames * source.allocated // 8

"""A DICOM object as a film: frames decoded one at a time, greys by PS3.3 C.11, colours as they are.

Native words are read straight from the file; compressed frames go through pydicom's decoders after their own header
has been compared with the object's.  pydicom has turned YBR into RGB by the time an array is returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from firmware_app.errors import PixelsUnsupported, Undecodable
from firmware_app.imaging import codestream, identity, source, transforms
from firmware_app.imaging.display import Shown, greys
from firmware_app.imaging.grey import Floats, GreyScale, Table, Window, Words, look_up, luminance
from firmware_app.imaging.source import BROKEN, Source

_LARGEST_VALUE: Final = 1e30  # float32 ends at 3e38
_ONE_GREY: Final = 2.0**-16  # of the range that a window maps to: what spans less shows nothing
# Half the time of gdcm for JPEG 2000; and a broken JPEG-LS stream is an error there while it aborts gdcm's process.
_PREFERRED: Final = {JPEG2000: "pylibjpeg", JPEG2000Lossless: "pylibjpeg", JPEGLSLossless: "pyjpegls"}


@dataclass(frozen=True, slots=True)
class DicomFilm:
    """An opened DICOM object (a `film.Film`).  The frame decoded last is kept: model and people want the same one."""

    source: Source
    _last: dict[int, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.source.rows

    @property
    def columns(self) -> int:
        return self.source.columns

    @property
    def frames(self) -> int:
        return self.source.frames

    @property
    def identity(self) -> Mapping[str, str]:
        """As `film.Film.identity`."""
        return identity.of(self.source.header)

    def grey(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32, as `film.Film.grey`; the full range where the window would leave one grey."""
        pixels = self._pixels(index)
        if self._colour(pixels):
            return luminance(self._rgb(pixels))
        scale = transforms.of(self.source.header, index, self.source.photometric)
        words, values = self._values(pixels)
        frame = _mapped(words, scale.shown(values))
        if scale.voi is not None and frame.max() - frame.min() < _ONE_GREY:
            frame = _mapped(words, scale.without_voi().shown(values))
        return frame

    def shown(self, index: int) -> Shown:
        """As `film.Film.shown`: greys after the modality transform and polarity, or 8-bit RGB."""
        pixels = self._pixels(index)
        if self._colour(pixels):
            return Shown(self._eight_bits(self._rgb(pixels)))
        scale = transforms.of(self.source.header, index, self.source.photometric)
        words, stored = self._values(pixels)
        values = scale.modality_values(stored)
        if isinstance(scale.voi, Table):  # a curve cannot be told as a window: show it as the modality meant it
            values, scale = scale.voi.apply(values), replace(scale, voi=None, slope=1.0)
        limits = (float(values.min()), float(values.max())) if self.frames > 1 and words is not None else None
        frame, slope, origin = greys(_mapped(words, values), scale.step, scale.inverted, limits)
        return _with_window(frame, slope, origin, scale)

    def _pixels(self, index: int) -> NDArray[np.generic]:
        """Decoded words of one frame, (H, W) or (H, W, 3); raises `Undecodable` whatever the decoder did."""
        if index in self._last:
            return self._last[index]
        if not 0 <= index < self.frames:
            raise Undecodable(detail=f"there is no frame {index}")
        self._last.clear()
        try:
            pixels = _native_words(self.source, index) if _is_plain(self.source) else _decoded(self.source, index)
        except BROKEN as error:
            raise Undecodable(detail=f"{self.source.transfer_syntax.name}, {type(error).__name__}") from None
        if pixels.shape[:2] != (self.rows, self.columns):
            raise Undecodable(detail=f"it decodes to {pixels.shape[1]} × {pixels.shape[0]} pixels")
        self._last[index] = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        return self._last[index]

    def _colour(self, pixels: NDArray[np.generic]) -> bool:
        return pixels.ndim == 3 or self.source.photometric == "PALETTE COLOR"

    def _rgb(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        if pixels.ndim == 3:
            return pixels
        try:
            return np.asarray(apply_color_lut(pixels, self.source.header))
        except BROKEN as error:
            raise Undecodable(detail=f"its colour table is broken, {type(error).__name__}") from None

    def _eight_bits(self, rgb: NDArray[np.generic]) -> NDArray[np.uint8]:
        if rgb.dtype == np.uint8:
            return rgb.astype(np.uint8)
        bits = self.source.stored if self.source.samples == 3 else 16
        return np.clip(rgb.astype(np.float64) * (255.0 / (2.0**bits - 1)), 0, 255).astype(np.uint8)

    def _values(self, pixels: NDArray[np.generic]) -> tuple[NDArray[Any] | None, Floats]:
        """(words, the value of every possible word) up to 16 bits, else (None, the values themselves)."""
        if pixels.dtype.itemsize > 2:
            return None, np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)
        unsigned = np.dtype(f"u{pixels.dtype.itemsize}")
        every = np.arange(256**unsigned.itemsize, dtype=unsigned)
        words = pixels.view(unsigned)
        if self.source.allocated > 1 and (self.source.native or self.source.transfer_syntax == RLELossless):
            layout = Words(self.source.allocated, self.source.stored, self.source.high_bit, self.source.signed)
            return words, layout.values(every)
        return words, every.view(pixels.dtype).astype(np.float64)


@contextmanager
def opened(path: Path) -> Iterator[DicomFilm]:
    """Open the object at *path*; raises `ImagingError`."""
    with source.opened(path) as found:
        yield DicomFilm(found)


def _mapped(words: NDArray[Any] | None, values: Floats) -> NDArray[np.float32]:
    if not np.abs(values).max() < _LARGEST_VALUE:  # NaN is not less either
        raise Undecodable(detail="its rescale values cannot be")
    return values.astype(np.float32) if words is None else look_up(values, words)


def _with_window(frame: NDArray[np.uint16], slope: float, origin: float, scale: GreyScale) -> Shown:
    if not isinstance(scale.voi, Window):
        return Shown(frame, slope, origin, inverted=scale.inverted)
    return Shown(
        frame,
        slope,
        origin,
        (scale.voi.centre - origin) / slope,
        scale.voi.width / abs(slope),
        scale.voi.function,
        scale.inverted,
    )


def _is_plain(found: Source) -> bool:
    little = found.transfer_syntax != ExplicitVRBigEndian
    grey = found.samples == 1 and found.allocated in (8, 16) and found.keyword == "PixelData"
    return found.native and little and grey


def _native_words(found: Source, index: int) -> NDArray[np.generic]:
    """Words of one frame exactly as they lie in the file."""
    found.stream.seek(found.offset + index * found.decoded_bytes)
    data = found.stream.read(found.decoded_bytes)
    return np.frombuffer(data, f"<u{found.allocated // 8}").reshape(found.rows, found.columns)


def _decoded(found: Source, index: int) -> NDArray[np.generic]:
    if found.decoded_bytes * (2 if found.samples == 3 else 1) > source.LARGEST_FRAME_PX * 4:
        raise PixelsUnsupported(detail=f"{found.decoded_bytes >> 20} MB in one frame")
    decoder = get_decoder(found.transfer_syntax)
    if not found.native:
        found.stream.seek(found.offset)
        stream = get_frame(found.stream, index, number_of_frames=found.frames)
        codestream.check(
            stream, found.rows, found.columns, rle=found.transfer_syntax == RLELossless, frame_bytes=found.decoded_bytes
        )
        if found.transfer_syntax == JPEGExtended12Bit and found.samples == 1 and found.allocated == 16:
            from firmware_app.imaging import jpeg12  # loads gdcm, which a child that never meets one need not have

            if jpeg12.is_12_bit(stream):
                return jpeg12.decode(stream, found.rows, found.columns, found.signed)
    found.stream.seek(found.offset)
    plugin = _PREFERRED.get(found.transfer_syntax, "")
    pixels, facts = decoder.as_array(
        found.stream,
        index=index,
        decoding_plugin=plugin if plugin in decoder.available_plugins else "",
        **found.options,
    )
    seen = str(facts.get("photometric_interpretation", found.photometric))
    if pixels.ndim == 3 and seen not in ("RGB", "MONOCHROME1", "MONOCHROME2"):
        raise PixelsUnsupported(detail=f"the colour model “{seen}”")
    return pixels

"""A DICOM object as a film: frames are decoded one at a time, greys are made by PS3.3 C.11, colours become RGB.

The words come from `stored`.  Three samples are taken raw and converted here, by their real colour model
(`photometric`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import (
    colour_models,
    dicom_source,
    grey_transforms,
    header_values,
    overlays,
    palette,
    slices,
    spacing,
    ultrasound_regions,
)
from firmware_app.imaging.codec import stored_frames
from firmware_app.imaging.dicom_source import HEADER_ERRORS, PixelSource
from firmware_app.imaging.display import DisplayFrame, WindowChoice, to_greys
from firmware_app.imaging.grey_scale import (
    Floats,
    GreyScale,
    LookUpTable,
    StoredWords,
    Window,
    look_up,
    luminance,
    take_entries,
)

_LARGEST_VALUE: Final = 1e30  # float32 ends at 3e38
_ONE_GREY: Final = 2.0**-16  # share of a window's output range; an image that spans less shows nothing


@dataclass(frozen=True, slots=True)
class DicomImage:
    """An opened DICOM object (an `ImageFile`).  The last decoded frame is kept: model and viewer use the same one."""

    source: PixelSource
    reader: stored_frames.FrameReader
    _last: dict[int, NDArray[np.generic]] = field(default_factory=dict)
    _model: dict[str, colour_models.ColourVerdict] = field(default_factory=dict)
    _noted: set[str] = field(default_factory=set)

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
        return header_values.read_identity(self.source.header)

    @property
    def hints(self) -> tuple[str, ...]:
        left = {stored_frames.FRAMES_LEFT_HINT} if self.reader.undeclared_frames else set()
        colours = {verdict.hint for verdict in self._model.values() if verdict.hint}
        return tuple(sorted(colours | left | self._noted | self._find_number_hints(0)))

    def _find_number_hints(self, index: int) -> set[str]:
        """Hints on the numbers in the header of frame *index*."""
        grey = self.source.samples == 1 and self.source.photometric != "PALETTE COLOR"
        return grey_transforms.find_number_hints(self.source.header, index, self.source.photometric, grey=grey)

    def read_padding_mask(self, index: int) -> NDArray[np.bool_] | None:
        pixels = self._pixels(index)
        padding = None if self._colour(pixels) else grey_transforms.read_padding(self.source.header, self._layout)
        if padding is None:
            return None
        words, values = self._values(pixels)
        covered = padding.covers(values)
        mask = covered if words is None else take_entries(covered, words)
        return mask if mask.any() and not mask.all() else None

    def grey(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32, as `ImageFile.grey`; in full range if the window would leave a single grey."""
        pixels = self._pixels(index)
        if self._colour(pixels):
            return luminance(self._rgb(pixels))
        scale, _ = self._scale(index)
        words, values = self._values(pixels)
        return _darken_hidden(_map_values(words, scale.apply(values)), self.read_padding_mask(index))

    def aspect(self, index: int) -> float:
        """As `ImageFile.aspect`; an ultrasound picture's regions know it better than the rest of the header."""
        stated = ultrasound_regions.common_aspect(
            ultrasound_regions.read_regions(self.source.header, self.rows, self.columns)
        )
        return spacing.read_aspect(self.source.header, index) if stated is None else stated

    def read_grey_limits(self, index: int) -> tuple[float, float]:
        """As `ImageFile.read_grey_limits`; a window's black is 0 and its white 1."""
        pixels = self._pixels(index)
        if self._colour(pixels):
            return 0.0, 2.0 ** (self.source.stored if self.source.samples == 3 else 16) - 1
        if self._scale(index)[0].voi is not None:
            return 0.0, 1.0
        return _find_grey_limits(self.grey(index), self.read_padding_mask(index))

    def render_frame(self, index: int) -> DisplayFrame:
        """As `ImageFile.render_frame`: greys after the modality transform and polarity, or 8-bit RGB."""
        pixels = self._pixels(index)
        layers, aspect = self._layers(pixels, index), self.aspect(index)
        size = spacing.read_spacing(self.source.header, index)
        if self._colour(pixels):
            return DisplayFrame(self._eight_bits(self._rgb(pixels)), layers=layers, spacing=size, aspect=aspect)
        scale, choices = self._scale(index)
        words, stored = self._values(pixels)
        values = scale.modality_values(stored)
        header, is_table = self.source.header, isinstance(scale.voi, LookUpTable) or scale.modality is not None
        at_mm = slices.read_position_mm(header, index)
        unit = "" if scale.dropped else slices.read_unit(header, index, is_table=is_table)
        if isinstance(scale.voi, LookUpTable):  # a curve is not a window: apply it, and show the result in full range
            values, scale = scale.voi.apply(values), replace(scale, voi=None, slope=1.0)
        limits = (float(values.min()), float(values.max())) if self.frames > 1 and words is not None else None
        seen = _darken_hidden(_map_values(words, values), self.read_padding_mask(index), inverted=scale.inverted)
        frame, slope, origin = to_greys(seen, scale.step, scale.inverted, limits)
        made = _make_display_frame(frame, slope, origin, scale, choices)
        return replace(made, layers=layers, spacing=size, aspect=aspect, at_mm=at_mm, unit=unit)

    def read_modality_values(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32 after the modality transform, before window and polarity; for a CT in Hounsfield units."""
        scale = grey_transforms.read_modality_transform(self.source.header, index, self._layout.value_range)
        words, values = self._values(self._pixels(index))
        return _map_values(words, scale.modality_values(values))

    def _scale(self, index: int) -> tuple[GreyScale, tuple[grey_transforms.OfferedWindow, ...]]:
        """The transforms of frame *index*, for models and for display, and the windows that a person may choose.

        A window that would leave a single grey of this frame is skipped; a frame of one grey is shown without any.
        """
        scale = grey_transforms.read_grey_scale(
            self.source.header, index, self.source.photometric, self._layout.value_range
        )
        if scale.voi is None:
            return scale, ()
        seen, hidden = self.read_modality_values(index), self.read_padding_mask(index)
        low, high = _find_grey_limits(seen, hidden)
        offered: tuple[grey_transforms.OfferedWindow, ...] = ()
        if isinstance(scale.voi, Window):
            offered = grey_transforms.read_offered_windows(self.source.header, index)
        if low == high:
            return scale.without_voi(), offered
        offered = tuple(
            offered_window for offered_window in offered if _contrast(offered_window.window, low, high) >= _ONE_GREY
        )
        if offered:
            return replace(scale, voi=offered[0].window), offered
        if isinstance(scale.voi, LookUpTable) and _contrast(scale.voi, low, high) >= _ONE_GREY:
            return scale, ()
        return scale.without_voi(), ()

    def _pixels(self, index: int) -> NDArray[np.generic]:
        """Decoded words of one frame, (H, W) or (H, W, 3); any error of the decoder is raised as `Undecodable`."""
        if index in self._last:
            return self._last[index]
        if not 0 <= index < self.frames:
            raise Undecodable(detail=f"there is no frame {index}")
        self._last.clear()
        try:
            pixels = self.reader.frame(index) if self.source.samples == 1 else self.rgb(index)
        except HEADER_ERRORS:
            raise Undecodable(detail=f"its pixels, {self.source.transfer_syntax.name}, are broken") from None
        if pixels.shape[:2] != (self.rows, self.columns):
            raise Undecodable(detail=f"it decodes to {pixels.shape[1]} × {pixels.shape[0]} pixels")
        if index and "PerFrameFunctionalGroupsSequence" in self.source.header:
            self._noted.update(self._find_number_hints(index))
        self._last[index] = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        return self._last[index]

    def samples(self, index: int) -> tuple[NDArray[np.generic], colour_models.ColourModel]:
        """(H, W, 3) sample values of an object with three samples (value bits only), and their colour model.

        The model is judged again with each frame until one has proved it, so the last result is the best.
        """
        source = self.source
        stream = self.reader.read_codestream(index)
        if stream is None and not source.native:  # a video: its decoder gives RGB
            return self.reader.frame(index), "RGB"
        samples = self.reader.frame(index, stream)
        if samples.ndim != 3:
            return samples, "RGB"
        if source.stored < source.allocated:
            samples = colour_models.extract_values(samples, source.stored, source.high_bit)
        if "proved" not in self._model:
            declared = colour_models.model_of_photometric(source.photometric)
            proof = colour_models.model_of_pixels(samples, source.stored)
            by_stream = colour_models.model_of_stream(stream) if stream is not None else None
            self._model["proved" if proof else "believed"] = colour_models.judge_model(
                declared, by_stream, proof, unmarked=stream is not None and colour_models.is_unmarked_jpeg(stream)
            )
        return samples, (self._model.get("proved") or self._model["believed"]).model

    @property
    def inverted(self) -> bool:
        """Whether the lowest value is shown as white, by polarity or by a negative rescale slope (of frame 0)."""
        scale = grey_transforms.read_grey_scale(
            self.source.header, 0, self.source.photometric, self._layout.value_range
        )
        return scale.inverted != (scale.slope < 0)

    def rgb(self, index: int) -> NDArray[np.generic]:
        """(H, W, 3) RGB of an object with three samples, with its own bit depth; raises one of
        `dicom_source.HEADER_ERRORS`."""
        samples, model = self.samples(index)
        if model == "RGB":
            return samples
        partial = self.source.native and self.source.photometric.startswith("YBR_PARTIAL")
        return (colour_models.ybr_partial_to_rgb if partial else colour_models.ybr_full_to_rgb)(
            samples, self.source.stored
        )

    def _layers(self, pixels: NDArray[np.generic], index: int) -> tuple[overlays.OverlayLayer, ...]:
        layout = self._layout
        whole = pixels.ndim == 2 and self.has_own_layout
        used = (layout.high_bit + 1 - layout.stored, layout.high_bit)
        return overlays.read_overlays(
            self.source.header, index, self.rows, columns=self.columns, words=pixels if whole else None, used=used
        )

    @property
    def _layout(self) -> StoredWords:
        return StoredWords(self.source.allocated, self.source.stored, self.source.high_bit, self.source.signed)

    @property
    def has_own_layout(self) -> bool:
        """Whether the words have the file's bit layout: not single bits, and not floats."""
        return self.source.allocated > 1 and self.source.keyword == "PixelData"

    def _colour(self, pixels: NDArray[np.generic]) -> bool:
        return pixels.ndim == 3 or self.source.photometric == "PALETTE COLOR"

    def _rgb(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        if pixels.ndim == 3:
            return pixels
        try:
            table = palette.read_palette(self.source.header, self.source.signed)
            words, values = self._values(pixels)
            return table.apply(values) if words is None else np.asarray(np.take(table.apply(values), words, axis=0))
        except HEADER_ERRORS:
            raise Undecodable(detail="its colour table is broken") from None

    def _eight_bits(self, rgb: NDArray[np.generic]) -> NDArray[np.uint8]:
        shallow = self.source.samples == 3 and self.has_own_layout and self.source.stored < 8
        if rgb.dtype == np.uint8 and not shallow:
            return rgb.astype(np.uint8)
        bits = self.source.stored if self.source.samples == 3 else 16
        return np.clip(rgb.astype(np.float64) * (255.0 / (2.0**bits - 1)), 0, 255).astype(np.uint8)

    def _values(self, pixels: NDArray[np.generic]) -> tuple[NDArray[Any] | None, Floats]:
        """Up to 16 bits: (words, the value of every possible word); else (None, the values themselves)."""
        if pixels.dtype.itemsize > 2:
            if self.has_own_layout:
                return None, self._layout.values(pixels.view(f"u{pixels.dtype.itemsize}"))
            return None, np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)
        unsigned = np.dtype(f"u{pixels.dtype.itemsize}")
        every = np.arange(256**unsigned.itemsize, dtype=unsigned)
        words = pixels.view(unsigned)
        if self.has_own_layout:
            return words, self._layout.values(every)
        return words, every.view(pixels.dtype).astype(np.float64)


@contextmanager
def open_dicom_image(path: Path) -> Iterator[DicomImage]:
    """Open the object at *path*; raises `ImagingError`."""
    with dicom_source.open_source(path) as image:
        reader = stored_frames.FrameReader(image)
        try:
            yield DicomImage(image, reader)
        finally:
            reader.close()


def _map_values(words: NDArray[Any] | None, values: Floats) -> NDArray[np.float32]:
    if not np.abs(values).max() < _LARGEST_VALUE:  # NaN is not less either
        raise Undecodable(detail="its rescale values cannot be")
    return values.astype(np.float32) if words is None else look_up(values, words)


def _contrast(voi: Window | LookUpTable, low: float, high: float) -> float:
    """The share of the output range of *voi* that the values from *low* to *high* use."""
    if isinstance(voi, Window):
        return float(np.ptp(voi.apply(np.array([low, high]))))
    first, last = np.clip(np.rint([low, high]), voi.first, voi.first + len(voi.entries) - 1)
    return float(np.ptp(voi.apply(np.arange(first, last + 1)))) / voi.top


def _darken_hidden(
    frame: NDArray[np.float32], hidden: NDArray[np.bool_] | None, *, inverted: bool = False
) -> NDArray[np.float32]:
    """*frame* with its *hidden* pixels set to the darkest of the others (the greatest value when *inverted*)."""
    if hidden is not None:
        low, high = _find_grey_limits(frame, hidden)
        frame[hidden] = high if inverted else low
    return frame


def _find_grey_limits(frame: NDArray[np.float32], hidden: NDArray[np.bool_] | None) -> tuple[float, float]:
    """The minimum and the maximum of *frame* where it is not *hidden*, computed without a copy of the film."""
    if hidden is None:
        return float(frame.min()), float(frame.max())
    seen = ~hidden
    return float(frame.min(where=seen, initial=np.inf)), float(frame.max(where=seen, initial=-np.inf))


def _make_display_frame(
    frame: NDArray[np.uint16],
    slope: float,
    origin: float,
    scale: GreyScale,
    offered: tuple[grey_transforms.OfferedWindow, ...],
) -> DisplayFrame:
    if not isinstance(scale.voi, Window):
        return DisplayFrame(frame, slope, origin, inverted=scale.inverted)
    choices = tuple(
        WindowChoice(
            (offered_window.window.centre - origin) / slope,
            offered_window.window.width / abs(slope),
            offered_window.window.function,
            offered_window.name,
        )
        for offered_window in offered
    )
    return DisplayFrame(
        pixels=frame,
        slope=slope,
        intercept=origin,
        centre=(scale.voi.centre - origin) / slope,
        width=scale.voi.width / abs(slope),
        function=scale.voi.function,
        inverted=scale.inverted,
        windows=choices,
    )

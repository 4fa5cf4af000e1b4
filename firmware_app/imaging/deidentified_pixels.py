"""The pixels of an exported object: the decoded samples, black outside an ultrasound's sector, as they are written.

Word bits outside the pixel value, bytes after the last frame and comments within code streams are not exported.  The
pixel element has native words, or for a clip one JPEG-LS stream per frame: native words of a clip would fill a stick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import image_properties, palette
from firmware_app.imaging.dicom_image import DicomImage
from firmware_app.imaging.dicom_source import HEADER_ERRORS, PixelSource
from firmware_app.imaging.errors import EXPORT_NO_SECTOR
from firmware_app.imaging.grey_scale import luminance
from firmware_app.imaging.ultrasound_sector import Sector

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
class PixelPlan:
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


def plan_pixels(film: DicomImage) -> PixelPlan:
    """The plan for *film*, from its header and some of its frames; raises `EXPORT_NO_SECTOR`, `ImagingError`."""
    inside = None
    if is_ultrasound(film.source.header) and (inside := image_properties.find_sector(film)) is None:
        raise EXPORT_NO_SECTOR()
    return PixelPlan(choose_photometric(film, 0), inside)


def choose_photometric(film: DicomImage, index: int) -> str:
    """The photometric interpretation, judged from the frames up to *index*; colours come from `DicomImage.samples`."""
    if film.source.samples == 1:
        return film.source.photometric
    return "RGB" if _is_partial(film.source) else film.samples(index)[1]


def _is_partial(source: PixelSource) -> bool:
    """Whether it is YBR in studio range; DICOM has that only with shared chroma, so such frames are written as RGB."""
    return source.native and source.photometric.startswith("YBR_PARTIAL")


def blacken_frames(film: DicomImage, plan: PixelPlan) -> Iterator[NDArray[np.generic]]:
    """Every frame as it is written: (H, W) or (H, W, 3) words, black outside the sector."""
    outside = plan.inside.outside if plan.inside is not None else None
    black = _black_word(film, plan) if outside is not None else 0
    for index in range(film.frames):
        frame = _copy_frame(film, index)
        if outside is not None:
            frame[outside] = black
        yield frame


def preview_frame(film: DicomImage, plan: PixelPlan, index: int) -> NDArray[np.uint8]:
    """Frame *index* for display, (H, W, 3) of 0 to 255, as a viewer will show the export."""
    shown = film.render_frame(index).pixels
    picture = shown if shown.ndim == 3 else _stretch(film.grey(index))[..., np.newaxis].repeat(3, axis=2)
    picture = np.array(picture, dtype=np.uint8)
    if plan.inside is not None:
        picture[plan.inside.outside] = 0
    return picture


def _stretch(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(frame.min()), float(frame.max())
    return (frame - low) * np.float32(255.0 / (high - low)) if high > low else np.zeros_like(frame)


def _copy_frame(film: DicomImage, index: int) -> NDArray[np.generic]:
    """A copy of the frame, in the words that are written."""
    source = film.source
    try:
        if source.samples == 3 and _is_partial(source):
            words = film.rgb(index)
        elif source.samples == 3:
            words = film.samples(index)[0]
        else:
            words = film.reader.frame(index)
    except HEADER_ERRORS:
        raise Undecodable(detail=f"its pixels, {source.transfer_syntax.name}, are broken") from None
    if source.keyword in _FLOATS:
        return np.array(words, dtype=f"<f{source.allocated // 8}")
    kind = np.dtype(f"<{'i' if source.signed else 'u'}{max(1, source.allocated // 8)}")
    if words.shape[:2] != (source.rows, source.columns):
        raise Undecodable(detail=f"it decodes to {words.shape[1]} × {words.shape[0]} pixels")
    return _strip_unused_bits(words, film).astype(kind, copy=True)


def _strip_unused_bits(words: NDArray[Any], film: DicomImage) -> NDArray[Any]:
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


def _black_word(film: DicomImage, plan: PixelPlan) -> Any:
    """The word (or three words) for black."""
    source = film.source
    if source.samples == 3:
        return (0, 1 << (source.stored - 1), 1 << (source.stored - 1)) if plan.photometric == "YBR_FULL" else (0, 0, 0)
    bits = source.stored
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if source.signed else (0, (1 << bits) - 1)
    if source.photometric == "PALETTE COLOR":
        table = palette.read_palette(source.header, source.signed)
        return int(luminance(table.entries[np.newaxis])[0].argmin()) + table.first
    return (high if film.inverted else low) << (source.high_bit + 1 - bits if film.has_own_layout else 0)


def describe_pixels(data: Dataset, film: DicomImage, plan: PixelPlan) -> None:
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


def pixel_element_vr(source: PixelSource) -> str:
    """The VR of the pixel element in explicit little endian (PS3.5 A.2)."""
    return _FLOATS.get(source.keyword) or ("OW" if source.allocated > 8 else "OB")


def pixel_bytes(source: PixelSource) -> int:
    """The bytes of all frames as native words, without padding."""
    if source.allocated == 1:
        return (source.rows * source.columns * source.frames + 7) // 8
    return source.rows * source.columns * source.samples * source.frames * source.allocated // 8


_PIXEL_ELEMENTS: Final = {"PixelData": 0x0010, "FloatPixelData": 0x0008, "DoubleFloatPixelData": 0x0009}
_BY_PIXEL: Final = 2  # ILV of ISO 14495-1, the counterpart of Planar Configuration 0 (PS3.5 8.2.3)
_UNDEFINED: Final = b"\xff\xff\xff\xff"
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0" + bytes(4)
_ITEM_BYTES: Final = 8
_MOST_STREAMED: Final = 512 << 20  # bytes of words: a slow box would need too long to compress more


def candidate_syntaxes(source: PixelSource) -> tuple[UID, ...]:
    """The transfer syntaxes to try for the pixels of *source*, the best first; the last one always works."""
    is_of_bytes = (source.keyword, source.allocated, source.stored, source.signed) == ("PixelData", 8, 8, False)
    if source.frames > 1 and is_of_bytes and pixel_bytes(source) <= _MOST_STREAMED:
        return (JPEGLSLossless, ExplicitVRLittleEndian)
    return (ExplicitVRLittleEndian,)


def write_pixel_element(file: BinaryIO, film: DicomImage, plan: PixelPlan, syntax: UID) -> bool:
    """Write the element in *syntax*, a frame at a time; False where it would take more bytes than the native words.

    So an object is never larger than the size that was announced.  Raises `Undecodable` where pixels are missing.
    """
    if syntax == JPEGLSLossless:
        return _write_streams(file, film, plan)
    _write_words(file, film, plan)
    return True


def _write_streams(file: BinaryIO, film: DicomImage, plan: PixelPlan) -> bool:
    """Encapsulated (PS3.5 A.4): an offset table without entries, then each frame as one fragment."""
    file.write(b"\xe0\x7f\x10\x00OB\0\0" + _UNDEFINED + _ITEM + bytes(4))
    room = pixel_bytes(film.source)
    for frame in blacken_frames(film, plan):
        stream = _encode_stream(frame)
        room -= _ITEM_BYTES + len(stream)
        if not stream or room < 0:
            return False
        file.write(_ITEM + len(stream).to_bytes(4, "little") + stream)
    file.write(_END)
    return True


def _encode_stream(frame: NDArray[np.generic]) -> bytes:
    """One code stream of even length; empty where the encoder cannot compress the frame."""
    from jpeg_ls import encode_buffer  # imported here: an export without a clip does not need it

    rows, columns = frame.shape[:2]
    samples = 3 if frame.ndim == 3 else 1
    try:
        stream = bytes(encode_buffer(frame.tobytes(), rows, columns, samples, 8, interleave_mode=_BY_PIXEL))
    except (RuntimeError, MemoryError):  # the stream exceeds twice the words, or memory for it is missing
        return b""
    return stream + bytes(len(stream) % 2)


def _write_words(file: BinaryIO, film: DicomImage, plan: PixelPlan) -> None:
    source = film.source
    size = pixel_bytes(source)
    element = _PIXEL_ELEMENTS[source.keyword]
    file.write(b"\xe0\x7f" + element.to_bytes(2, "little") + pixel_element_vr(source).encode("ascii") + b"\0\0")
    file.write((size + size % 2).to_bytes(4, "little"))
    written = 0
    frames = blacken_frames(film, plan)
    for part in _pack_bits(frames) if source.allocated == 1 else (frame.tobytes() for frame in frames):
        written += file.write(part)
    if written != size:
        raise Undecodable(detail=f"{size} bytes of pixels promised, {written} present")
    file.write(bytes(size % 2))


def _pack_bits(frames: Iterator[NDArray[np.generic]]) -> Iterator[bytes]:
    """Frames of one bit per pixel, packed without a gap between frames (PS3.5 8.1.1)."""
    rest = np.zeros(0, np.uint8)
    for frame in frames:
        bits = np.concatenate([rest, frame.reshape(-1).astype(np.uint8)])
        whole = len(bits) // 8 * 8
        rest = bits[whole:]
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
    if len(rest):
        yield np.packbits(rest, bitorder="little").tobytes()

"""The stored words of one frame of a DICOM object, whatever its transfer syntax: the only place that calls a decoder.

Native words are read straight from the file.  A compressed frame is first checked against the object's header and for
its end (`codestream`), then decoded alone.  Between frames only their positions are kept.

`lay_out_samples` puts the samples of a code stream into the pixel cell (PS3.5 8.1.1), where the header says that a
value lies in its word.  A stream may have fewer bits than are stored, because its encoder left the value alone; or
more, because it took the whole word with what lies above the value: an embedded overlay or bits without a meaning.
After this every frame has the layout of a native one, so bits outside the value are dropped and overlays found in one
place for all.
"""

from __future__ import annotations

import zlib
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from firmware_app.core.errors import Undecodable
from firmware_app.imaging import clip, colour_models
from firmware_app.imaging.codec import codestream, fragments, jpeg
from firmware_app.imaging.codec.codestream import SamplePrecision
from firmware_app.imaging.dicom_source import LARGEST_FRAME_PX, PixelSource
from firmware_app.imaging.errors import SIGN_CONTRADICTED, PixelsUnsupported
from firmware_app.imaging.grey_scale import take_entries

FRAMES_LEFT_HINT: Final = "hint.frames_left"  # its sentence is in `reading.hints`
JPEG_LOSSLESS: Final = (JPEGLossless, JPEGLosslessSV1)
_JPEG_2000: Final = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
_JPEG_LS: Final = (JPEGLSLossless, JPEGLSNearLossless)
# Where gdcm is installed, pydicom would use it first: it is slower, and a broken stream aborts the process.
_PREFERRED: Final = {JPEG2000: "pylibjpeg", JPEG2000Lossless: "pylibjpeg", **dict.fromkeys(_JPEG_LS, "pyjpegls")}
_ENCAPSULATED_UNCOMPRESSED: Final = UID("1.2.840.10008.1.2.1.98")
_DEFLATED_FRAMES: Final = UID("1.2.840.10008.1.2.8.1")
# The last two were retired in the 2004 standard; they are progressive JPEG.
_JPEG_8: Final = (JPEGBaseline8Bit, JPEGExtended12Bit, UID("1.2.840.10008.1.2.4.53"), UID("1.2.840.10008.1.2.4.55"))
_PRECISION_12: Final = 12
_VIDEO: Final = tuple(f"1.2.840.10008.1.2.4.10{number}" for number in range(9))
_MONOCHROME: Final = ("MONOCHROME1", "MONOCHROME2")


class FrameReader:
    """Decodes the frames of *found*, in any order, one at a time."""

    def __init__(self, source: PixelSource) -> None:
        self._source = source
        self._fragments: fragments.Fragments | None = None
        self._track: clip.Track | None = None

    def close(self) -> None:
        """Close a video's decoder."""
        if self._track is not None:
            self._track.close()

    @property
    def left(self) -> int:
        """The number of frames after those that the header announces; of a compressed object known after a read."""
        return self._source.left if self._source.native else self._fragments.left if self._fragments else 0

    def compressed(self, index: int) -> bytes | None:
        """The code stream of frame *index*, checked against the header; None for native words and for a video."""
        source = self._source
        if source.native or self._is_video:
            return None
        stream = self._located().frame(source.stream, index)
        if source.transfer_syntax not in (_ENCAPSULATED_UNCOMPRESSED, _DEFLATED_FRAMES):
            is_rle = source.transfer_syntax == RLELossless
            codestream.check_stream(stream, source.rows, source.columns, rle=is_rle, frame_bytes=source.decoded_bytes)
        return stream

    def frame(self, index: int, *, raw: bool = False, stream: bytes | None = None) -> NDArray[np.generic]:
        """Frame *index*: (H, W) words, or (H, W, 3) in RGB; with *raw* the samples as the decoder gives them.

        *stream* is the result of `compressed` for this frame, if the caller has it.  Raises `ImagingError`, or one of
        `HEADER_ERRORS` where a decoder fails.
        """
        source = self._source
        if source.native and source.allocated == 1 and source.samples == 1 and source.keyword == "PixelData":
            return _read_native_bits(source, index)
        if source.native and _is_grey(source):
            return _words(source, native_bytes(source, index * source.decoded_bytes, source.decoded_bytes))
        if source.decoded_bytes * (2 if source.samples == 3 else 1) > LARGEST_FRAME_PX * 4:
            raise PixelsUnsupported(detail=f"{source.decoded_bytes >> 20} MB in one frame")
        if self._is_video:
            return self._video().frame(index)
        stream = self.compressed(index) if stream is None else stream
        if stream is None:
            return _as_native(source, native_bytes(source, index * source.decoded_bytes, source.decoded_bytes), raw)
        if source.transfer_syntax == RLELossless:
            return _decode_rle(source, stream, raw)
        if source.transfer_syntax == _DEFLATED_FRAMES:
            return _as_native(source, _inflate(stream, source.decoded_bytes), raw)
        if source.transfer_syntax == _ENCAPSULATED_UNCOMPRESSED:
            if len(stream) < source.decoded_bytes:
                raise Undecodable(detail=f"{source.decoded_bytes} bytes of pixels promised, {len(stream)} present")
            return _as_native(source, stream, raw)
        return _decompress(source, stream, raw)

    @property
    def _is_video(self) -> bool:
        return self._source.transfer_syntax.startswith(_VIDEO)

    def _located(self) -> fragments.Fragments:
        if self._fragments is None:
            source = self._source
            self._fragments = fragments.locate_fragments(
                source.stream,
                source.offset,
                1 if self._is_video else source.frames,
                bytes(source.header.get("ExtendedOffsetTable") or b""),
                rle_segments=source.samples * source.allocated // 8 if source.transfer_syntax == RLELossless else 0,
            )
        return self._fragments

    def _video(self) -> clip.Track:
        if self._track is None:
            self._track = clip.Track(fragments.JoinedFragments(self._source.stream, self._located()), clip.BIT_STREAMS)
        if self._track.frames < self._source.frames:
            raise Undecodable(detail=f"{self._source.frames} frames promised, {self._track.frames} present")
        return self._track


def native_bytes(source: PixelSource, first: int, count: int) -> bytes:
    """*count* bytes of native pixels from byte *first* on, as they would lie in little endian.

    In big endian the bytes of a word are swapped, also where a word of OW holds two pixels or sixteen (PS3.5 7.3).
    """
    unit = source.allocated // 8 if source.allocated > 8 else 2 if source.vr == "OW" else 1
    if source.transfer_syntax != ExplicitVRBigEndian or unit == 1:
        source.stream.seek(source.offset + first)
        return source.stream.read(count)
    begin = first // unit * unit  # an odd frame begins within a word
    source.stream.seek(source.offset + begin)
    data = source.stream.read(-(-(first + count - begin) // unit) * unit)
    swapped = np.frombuffer(data + bytes(-len(data) % unit), f"u{unit}").byteswap().tobytes()
    return swapped[first - begin : first - begin + count]


def _is_grey(source: PixelSource) -> bool:
    """Whether its frames are integer words of one sample; not floats, not single bits."""
    return source.samples == 1 and source.allocated > 1 and source.keyword == "PixelData"


def _words(source: PixelSource, data: bytes) -> NDArray[np.generic]:
    return np.frombuffer(data, f"<u{source.allocated // 8}").reshape(source.rows, source.columns)


def _read_native_bits(source: PixelSource, index: int) -> NDArray[np.generic]:
    """One-bit pixels, the first in the lowest bit; a frame may begin in the middle of a byte (PS3.5 8.1.1)."""
    first, count = index * source.rows * source.columns, source.rows * source.columns
    data = np.frombuffer(native_bytes(source, first // 8, (first + count + 7) // 8 - first // 8), np.uint8)
    bits = np.unpackbits(data, bitorder="little")[first % 8 : first % 8 + count]
    return bits.reshape(source.rows, source.columns)


def _decode_rle(source: PixelSource, stream: bytes, raw: bool) -> NDArray[np.generic]:
    if source.allocated % 8:
        raise PixelsUnsupported(detail=f"RLE with {source.allocated} bits in a word")
    words = fragments.decode_rle_words(stream, source.rows, source.columns, source.samples, source.allocated)
    if source.samples == 1:
        return words
    return words if raw else _as_native(source, words.tobytes(), raw, planar=0)


def _inflate(stream: bytes, size: int) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    data = engine.decompress(stream, size + 1)
    if len(data) < size:
        raise Undecodable(detail=f"{size} bytes of pixels promised, {len(data)} present")
    return data[:size]


def _as_native(source: PixelSource, data: bytes, raw: bool, planar: int | None = None) -> NDArray[np.generic]:
    """One frame of little-endian words, in the header's layout (or in the one of *planar*)."""
    if _is_grey(source):
        return _words(source, data[: source.decoded_bytes])
    options = source.options
    if planar is not None:
        options["planar_configuration"] = planar
        if source.photometric == "YBR_FULL_422":  # in separate planes chroma is not shared (PS3.5 8.2.2)
            options["photometric_interpretation"] = "YBR_FULL"
    return _decode_with_pydicom(
        source, ExplicitVRLittleEndian, data, index=0, raw=raw, options=options | {"number_of_frames": 1}
    )


def _decompress(source: PixelSource, stream: bytes, raw: bool) -> NDArray[np.generic]:
    of_stream = codestream.read_precision(stream)
    if of_stream is None:
        raise Undecodable(detail="the compressed frame has no header")
    syntax = source.transfer_syntax
    if syntax in JPEG_LOSSLESS or (syntax in _JPEG_8 and of_stream.bits == _PRECISION_12):
        from firmware_app.imaging.codec import deep_jpeg

        samples = deep_jpeg.decode_deep_jpeg(stream, source.samples, source.allocated)
    elif syntax in _JPEG_8:
        samples = jpeg.decode_8_bit_jpeg(stream, source.samples)
    else:
        words: NDArray[Any] = _decode_transformed(source, stream, of_stream, raw)
        if not source.signed and of_stream.signed and (words < 0).any():
            raise SIGN_CONTRADICTED()  # read as unsigned, negative values would become the brightest
        lossy = syntax in (JPEG2000, HTJ2K) and source.header.get("LossyImageCompression") == "01"
        return lay_out_samples(words, of_stream._replace(lossy=of_stream.lossy or lossy), source)
    samples = lay_out_samples(samples, of_stream, source)
    is_rgb = raw or source.samples == 1 or colour_models.model_of_stream(stream) == "RGB" or source.photometric == "RGB"
    return samples if is_rgb else colour_models.ybr_full_to_rgb(samples, source.stored)


def _decode_transformed(source: PixelSource, stream: bytes, of_stream: SamplePrecision, raw: bool) -> NDArray[Any]:
    """The samples of JPEG 2000 and JPEG-LS, and of every syntax that only pydicom decodes, as the stream has them."""
    options = source.options | {"number_of_frames": 1}
    # The header's own numbers would have pydicom shift the samples, which `cell` does.
    options |= {"bits_stored": min(of_stream.bits, source.allocated), "pixel_representation": int(of_stream.signed)}
    if source.transfer_syntax in _JPEG_2000:
        from firmware_app.imaging.codec import deep_jpeg  # imported here: most children never need its library

        deep_jpeg.check_jpeg2000_depth(source, stream)
        if deep_jpeg.is_plain_jpeg2000(source, stream) and (raw or source.samples == 1):
            return deep_jpeg.decode_jpeg2000(stream)
        options["planar_configuration"] = 0  # such streams have no planes, whatever the header says (PS3.5 8.2.4)
    alone = encapsulate([stream], has_bot=False)
    return _decode_with_pydicom(source, source.transfer_syntax, alone, index=0, raw=raw, options=options)


def _decode_with_pydicom(
    source: PixelSource, syntax: UID, data: Any, index: int, raw: bool, options: dict[str, Any]
) -> NDArray[np.generic]:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise PixelsUnsupported(detail=syntax.name) from None
    plugin = _PREFERRED.get(syntax, "")
    plugin = plugin if plugin in decoder.available_plugins else ""
    pixels, facts = decoder.as_array(data, index=index, decoding_plugin=plugin, raw=raw, **options)
    seen = str(facts.get("photometric_interpretation", source.photometric))
    if not raw and pixels.ndim == 3 and seen not in ("RGB", *_MONOCHROME):
        raise PixelsUnsupported(detail=f"the colour model “{seen}”")
    return pixels


_MOST_BITS: Final = 16
_MOST_PLANES: Final = 4
_REACH: Final = 8
"""A lossy value may lie beyond the stored bits by this part of their range; what lies farther was set there."""


def lay_out_samples(samples: NDArray[Any], of_stream: SamplePrecision, source: PixelSource) -> NDArray[Any]:
    """*samples*, as a decoder gives them, in the words of *source*.

    Raises `PixelsUnsupported` where the stream has more bits than a word: the highest would be cut off.
    """
    bits, unused = of_stream.bits, source.high_bit + 1 - source.stored
    if bits > source.allocated:
        raise PixelsUnsupported(detail=f"a stream of {bits} bits, and {source.allocated} bits in a word")
    if of_stream.lossy and source.stored < bits <= _MOST_BITS and samples.dtype.itemsize <= 2:
        samples = _clip_to_value(samples, bits, source)
    size = source.allocated // 8
    words = samples.astype(f"{samples.dtype.kind}{size}", copy=False).view(f"u{size}")
    if source.signed and not of_stream.signed and bits <= source.stored and bits < source.allocated:
        sign = words.dtype.type(1 << (bits - 1))
        words = (words ^ sign) - sign
    if unused and bits <= source.high_bit:  # it has its value in the lowest bits
        words = words << unused
    return words.view(f"{'i' if source.signed else 'u'}{size}")


def _clip_to_value(samples: NDArray[Any], bits: int, source: PixelSource) -> NDArray[Any]:
    """*samples* of a lossy stream with more *bits* than are stored, those just beyond the value's range moved to its
    end, from where they would turn from white to black; with the overlays' bits set or not, whichever is nearer."""
    unused = source.high_bit + 1 - source.stored if bits > source.high_bit else 0
    words = np.arange(1 << bits, dtype=np.int64)
    if source.signed:
        words -= (words >> (bits - 1)) << bits
    low = -(1 << source.stored - 1) if source.signed else 0
    high = low + (1 << source.stored) - 1
    nearest, least = words, np.full(len(words), np.iinfo(np.int64).max)
    for overlay in (0,) if source.signed else _overlays(source, bits):
        value = np.clip((words - overlay) >> unused, low, high)
        away = np.abs(((words - overlay) >> unused) - value)
        nearest = np.where(away < least, overlay + (value << unused), nearest)
        least = np.minimum(away, least)
    index = samples.view(f"u{samples.dtype.itemsize}") & np.asarray((1 << bits) - 1, f"u{samples.dtype.itemsize}")
    if take_entries(least * _REACH > 1 << source.stored, index).any():
        return samples
    return take_entries(nearest.astype(samples.dtype), index)


def _overlays(source: PixelSource, bits: int) -> list[int]:
    """What the overlays that the header places above the value can add to a word; 0 first."""
    places = {
        int(source.header[tag].value)
        for tag in source.header.keys()  # noqa: SIM118 - iterating the data set itself would decode every value
        if 0x6000 <= tag.group <= 0x60FF and tag.element == 0x0102 and isinstance(source.header[tag].value, int)
    }
    ones = [1 << place for place in sorted(places) if source.high_bit < place < bits][:_MOST_PLANES]
    return [sum(some) for count in range(len(ones) + 1) for some in combinations(ones, count)]

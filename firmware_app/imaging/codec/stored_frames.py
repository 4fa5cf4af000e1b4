"""The stored words of one frame of a DICOM object, whatever its transfer syntax: the only place that calls a decoder.

A compressed frame is checked against the object's header and for its end (`codestream`), then decoded alone.
`lay_out_samples` then puts its samples where the header says that a value lies in its word (PS3.5 8.1.1), so that every
frame has the layout of a native one.
"""

from __future__ import annotations

import zlib
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
from firmware_app.imaging.codec import codestream, fragments, jpeg, jpeg2000
from firmware_app.imaging.codec.codestream import SamplePrecision
from firmware_app.imaging.dicom_source import LARGEST_FRAME_PX, PixelSource, read_integer
from firmware_app.imaging.errors import SIGN_CONTRADICTED, PixelsUnsupported
from firmware_app.imaging.grey_scale import take_entries

FRAMES_LEFT_HINT: Final = "hint.frames_left"  # its sentence is in `reading.hints`
# The last two were retired in the 2004 standard; they are progressive JPEG.
_JPEG: Final = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    UID("1.2.840.10008.1.2.4.53"),
    UID("1.2.840.10008.1.2.4.55"),
)
_JPEG_2000: Final = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
# Where gdcm is installed, pydicom would use it first: it is slower, and a broken stream aborts the process.
_PREFERRED: Final = {
    **dict.fromkeys((JPEG2000, JPEG2000Lossless), "pylibjpeg"),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), "pyjpegls"),
}
_ENCAPSULATED_UNCOMPRESSED: Final = UID("1.2.840.10008.1.2.1.98")
_DEFLATED_FRAMES: Final = UID("1.2.840.10008.1.2.8.1")
_VIDEO: Final = tuple(f"1.2.840.10008.1.2.4.10{number}" for number in range(9))


class FrameReader:
    """Decodes the frames of *source*, in any order, one at a time."""

    def __init__(self, source: PixelSource) -> None:
        self._source = source
        self._fragments: fragments.Fragments | None = None
        self._track: clip.Track | None = None

    def close(self) -> None:
        """Close a video's decoder."""
        if self._track is not None:
            self._track.close()

    @property
    def undeclared_frames(self) -> int:
        """The number of frames after those that the header announces; of a compressed object known after a read."""
        return self._source.undeclared_frames if self._source.native else self._fragments.left if self._fragments else 0

    def read_codestream(self, index: int) -> bytes | None:
        """The code stream of frame *index*, checked against the header; None for native words and for a video."""
        source = self._source
        if source.native or self._is_video:
            return None
        stream = self._locate_fragments().frame(source.stream, index)
        if source.transfer_syntax not in (_ENCAPSULATED_UNCOMPRESSED, _DEFLATED_FRAMES):
            is_rle = source.transfer_syntax == RLELossless
            codestream.check_stream(stream, source.rows, source.columns, rle=is_rle, frame_bytes=source.decoded_bytes)
        return stream

    def frame(self, index: int, stream: bytes | None = None) -> NDArray[np.generic]:
        """Frame *index*: (H, W) words, or (H, W, 3) samples in the stored colour model; of a video RGB.

        *stream* is the result of `read_codestream` for this frame, if the caller has it.  Raises `ImagingError`, or one
        of `HEADER_ERRORS` where a decoder fails.
        """
        source = self._source
        if source.decoded_bytes * (2 if source.samples == 3 else 1) > LARGEST_FRAME_PX * 4:
            raise PixelsUnsupported(detail=f"{source.decoded_bytes >> 20} MB in one frame")
        if self._is_video:
            return self._video().frame(index)
        stream = self.read_codestream(index) if stream is None else stream
        if source.allocated == 1:
            if stream is not None:
                raise PixelsUnsupported(detail=f"{source.transfer_syntax.name} with single bits")
            return _read_native_bits(source, index)
        if stream is None:
            return _arrange_words(source, native_bytes(source, index * source.decoded_bytes, source.decoded_bytes))
        if source.transfer_syntax == RLELossless:
            return fragments.decode_rle_words(stream, source.rows, source.columns, source.samples, source.allocated)
        if source.transfer_syntax == _DEFLATED_FRAMES:
            stream = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream, source.decoded_bytes)
        if source.transfer_syntax in (_DEFLATED_FRAMES, _ENCAPSULATED_UNCOMPRESSED):
            return _arrange_words(source, stream)
        return _decompress(source, stream)

    @property
    def _is_video(self) -> bool:
        return self._source.transfer_syntax.startswith(_VIDEO)

    def _locate_fragments(self) -> fragments.Fragments:
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
            self._track = clip.Track(
                fragments.JoinedFragments(self._source.stream, self._locate_fragments()), clip.BIT_STREAMS
            )
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


def _arrange_words(source: PixelSource, data: bytes) -> NDArray[np.generic]:
    """One frame of the little-endian words in *data*, in the header's layout."""
    if len(data) < source.decoded_bytes:
        raise Undecodable(detail=f"{source.decoded_bytes} bytes of pixels promised, {len(data)} present")
    kind = f"<{'u' if source.keyword == 'PixelData' else 'f'}{source.allocated // 8}"
    words = np.frombuffer(data[: source.decoded_bytes], kind)
    if source.samples == 1:
        return words.reshape(source.rows, source.columns)
    if source.shares_chroma:
        return colour_models.upsample_chroma(words, source.rows, source.columns)
    planar = read_integer(source.header, "PlanarConfiguration", 0)
    return colour_models.arrange_planes(words, source.rows, source.columns, planar)


def _read_native_bits(source: PixelSource, index: int) -> NDArray[np.generic]:
    """One-bit pixels, the first in the lowest bit; a frame may begin in the middle of a byte (PS3.5 8.1.1)."""
    first, count = index * source.rows * source.columns, source.rows * source.columns
    data = np.frombuffer(native_bytes(source, first // 8, (first + count + 7) // 8 - first // 8), np.uint8)
    bits = np.unpackbits(data, bitorder="little")[first % 8 : first % 8 + count]
    return bits.reshape(source.rows, source.columns)


def _decompress(source: PixelSource, stream: bytes) -> NDArray[np.generic]:
    of_stream, syntax = codestream.read_precision(stream), source.transfer_syntax
    if of_stream is None:
        raise Undecodable(detail="the compressed frame has no header")
    if syntax in _JPEG:
        return lay_out_samples(jpeg.decode_jpeg_samples(stream, source.samples, source.allocated), of_stream, source)
    if of_stream.bits > source.allocated:  # the highest bits would be cut off, which gives wrong greys
        raise PixelsUnsupported(detail=f"a stream of {of_stream.bits} bits, and {source.allocated} bits in a word")
    words: NDArray[Any]
    if syntax in _JPEG_2000 and jpeg2000.is_plain(source, stream):
        words = jpeg2000.decode_plain(stream)
    else:
        words = _decode_with_pydicom(source, stream, of_stream)
    if not source.signed and of_stream.signed and (words < 0).any():
        raise SIGN_CONTRADICTED()  # read as unsigned, negative values would become the brightest
    lossy = syntax in (JPEG2000, HTJ2K) and source.header.get("LossyImageCompression") == "01"
    return lay_out_samples(words, of_stream._replace(lossy=of_stream.lossy or lossy), source)


def _decode_with_pydicom(source: PixelSource, stream: bytes, of_stream: SamplePrecision) -> NDArray[Any]:
    """The samples of any other syntax, as the stream has them."""
    try:
        decoder = get_decoder(source.transfer_syntax)
    except NotImplementedError:
        raise PixelsUnsupported(detail=source.transfer_syntax.name) from None
    # By the header's own numbers pydicom would shift the samples, which `lay_out_samples` does.
    is_jpeg_2000 = source.transfer_syntax in _JPEG_2000
    options: dict[str, Any] = {
        "rows": source.rows,
        "columns": source.columns,
        "number_of_frames": 1,
        "samples_per_pixel": source.samples,
        "bits_allocated": source.allocated,
        "bits_stored": of_stream.bits,
        "pixel_representation": int(of_stream.signed),
        "photometric_interpretation": source.photometric,
        # streams of JPEG 2000 have no planes, whatever the header says (PS3.5 8.2.4)
        "planar_configuration": 0 if is_jpeg_2000 else read_integer(source.header, "PlanarConfiguration", 0),
        "pixel_keyword": source.keyword,
        "pixel_vr": "OB" if source.allocated <= 8 else "OW",
    }
    plugin = _PREFERRED.get(source.transfer_syntax, "")
    plugin = plugin if plugin in decoder.available_plugins else ""
    alone = encapsulate([stream], has_bot=False)
    return decoder.as_array(alone, index=0, decoding_plugin=plugin, raw=True, **options)[0]


_MOST_BITS: Final = 16
_REACH: Final = 8
"""A lossy value may lie beyond the stored bits by this part of their range; what lies farther was set there."""


def lay_out_samples(samples: NDArray[Any], of_stream: SamplePrecision, source: PixelSource) -> NDArray[Any]:
    """*samples*, as a decoder gives them, in the words of *source*."""
    bits, unused = of_stream.bits, source.high_bit + 1 - source.stored
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
    end: without their highest bit they would turn from white to black."""
    unused = source.high_bit + 1 - source.stored if bits > source.high_bit else 0
    words = np.arange(1 << bits, dtype=np.int64)
    if source.signed:
        words -= (words >> (bits - 1)) << bits
    low = -(1 << source.stored - 1) if source.signed else 0
    values = np.clip(words >> unused, low, low + (1 << source.stored) - 1)
    away = np.abs((words >> unused) - values)
    index = samples.view(f"u{samples.dtype.itemsize}") & np.asarray((1 << bits) - 1, f"u{samples.dtype.itemsize}")
    if take_entries(away * _REACH > 1 << source.stored, index).any():
        return samples
    return take_entries((values << unused).astype(samples.dtype), index)

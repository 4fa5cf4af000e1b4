"""Writes the pixel element of an export: native words, or for a clip one JPEG-LS stream per frame.

Both are lossless.  A clip in native words is many times larger than the JPEG that its machine sent and fills a stick.
A film or a still is small in comparison, and every viewer shows it uncompressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless

from firmware_app.core.errors import Undecodable
from firmware_app.imaging.deidentify import pixels
from firmware_app.imaging.deidentify.pixels import Plan
from firmware_app.imaging.dicom_film import DicomFilm
from firmware_app.imaging.source import PixelSource

_PIXELS: Final = {"PixelData": 0x0010, "FloatPixelData": 0x0008, "DoubleFloatPixelData": 0x0009}
_BY_PIXEL: Final = 2  # ILV of ISO 14495-1, the counterpart of Planar Configuration 0 (PS3.5 8.2.3)
_UNDEFINED: Final = b"\xff\xff\xff\xff"
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0" + bytes(4)
_ITEM_BYTES: Final = 8
_MOST_STREAMED: Final = 512 << 20  # bytes of words: a slow box would need too long to compress more


def syntaxes(source: PixelSource) -> tuple[UID, ...]:
    """The transfer syntaxes to try for the pixels of *source*, the best first; the last one always works."""
    is_of_bytes = (source.keyword, source.allocated, source.stored, source.signed) == ("PixelData", 8, 8, False)
    if source.frames > 1 and is_of_bytes and pixels.pixel_bytes(source) <= _MOST_STREAMED:
        return (JPEGLSLossless, ExplicitVRLittleEndian)
    return (ExplicitVRLittleEndian,)


def write(file: BinaryIO, film: DicomFilm, plan: Plan, syntax: UID) -> bool:
    """Write the element in *syntax*, a frame at a time; False where it would take more bytes than the native words.

    So an object is never larger than the size that was announced.  Raises `Undecodable` where pixels are missing.
    """
    if syntax == JPEGLSLossless:
        return _write_streams(file, film, plan)
    _write_words(file, film, plan)
    return True


def _write_streams(file: BinaryIO, film: DicomFilm, plan: Plan) -> bool:
    """Encapsulated (PS3.5 A.4): an offset table without entries, then each frame as one fragment."""
    file.write(b"\xe0\x7f\x10\x00OB\0\0" + _UNDEFINED + _ITEM + bytes(4))
    room = pixels.pixel_bytes(film.source)
    for frame in pixels.frames(film, plan):
        stream = _stream(frame)
        room -= _ITEM_BYTES + len(stream)
        if not stream or room < 0:
            return False
        file.write(_ITEM + len(stream).to_bytes(4, "little") + stream)
    file.write(_END)
    return True


def _stream(frame: NDArray[np.generic]) -> bytes:
    """One code stream of even length; empty where the encoder cannot compress the frame."""
    from jpeg_ls import encode_buffer  # imported here: an export without a clip does not need it

    rows, columns = frame.shape[:2]
    samples = 3 if frame.ndim == 3 else 1
    try:
        stream = bytes(encode_buffer(frame.tobytes(), rows, columns, samples, 8, interleave_mode=_BY_PIXEL))
    except (RuntimeError, MemoryError):  # the stream exceeds twice the words, or memory for it is missing
        return b""
    return stream + bytes(len(stream) % 2)


def _write_words(file: BinaryIO, film: DicomFilm, plan: Plan) -> None:
    source = film.source
    size = pixels.pixel_bytes(source)
    element = _PIXELS[source.keyword]
    file.write(b"\xe0\x7f" + element.to_bytes(2, "little") + pixels.element_vr(source).encode("ascii") + b"\0\0")
    file.write((size + size % 2).to_bytes(4, "little"))
    written = 0
    frames = pixels.frames(film, plan)
    for part in _bits(frames) if source.allocated == 1 else (frame.tobytes() for frame in frames):
        written += file.write(part)
    if written != size:
        raise Undecodable(detail=f"{size} bytes of pixels promised, {written} present")
    file.write(bytes(size % 2))


def _bits(frames: Iterator[NDArray[np.generic]]) -> Iterator[bytes]:
    """Frames of one bit per pixel, packed without a gap between frames (PS3.5 8.1.1)."""
    rest = np.zeros(0, np.uint8)
    for frame in frames:
        bits = np.concatenate([rest, frame.reshape(-1).astype(np.uint8)])
        whole = len(bits) // 8 * 8
        rest = bits[whole:]
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
    if len(rest):
        yield np.packbits(rest, bitorder="little").tobytes()

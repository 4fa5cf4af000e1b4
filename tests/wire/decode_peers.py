"""Other decoders, to compare ours with: dcmtk's programs, FFmpeg's own decoders (through PyAV).

Ours are Pillow (PackBits), libjpeg-turbo (JPEG through imagecodecs), CharLS (JPEG-LS) and OpenJPEG (JPEG 2000, through
imagecodecs or pylibjpeg).  dcmtk's JPEG and ours are different branches of the Independent JPEG Group's.
dcmtk's JPEG-LS is CharLS again and gdcm's JPEG 2000 is OpenJPEG again; for these the peer is FFmpeg, which has written
its own.  FFmpeg gives a blank frame for JPEG-LS interleaved by sample, so there an older CharLS, dcmtk's, is all there
is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray

from firmware_app.imaging.codec.stored_frames import FrameReader
from firmware_app.imaging.dicom_source import PixelSource

Words = NDArray[Any]

# pynetdicom installs tools of its own under dcmtk's names; in an activated environment they would come first.
_PATH: Final = os.pathsep.join(
    folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder != str(Path(sys.prefix, "bin"))
)
_JPEG: Final = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 57, 70))
_JPEG_LS: Final = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000: Final = (
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
)
_RLE: Final = "1.2.840.10008.1.2.5"
_SIZ: Final = b"\xff\x4f\xff\x51"


class PeerMissing(Exception):
    """A program or library that decodes a syntax is not installed; the text names it."""


class PeerFailed(Exception):
    """The peer cannot decode the file; the text is the peer's error."""


@dataclass(frozen=True)
class Peer:
    """A decoder by name, and its frame *i* in the same form as `FrameReader.frame(i)`."""

    name: str
    frame: Callable[[int], Words]


@contextmanager
def peer(path: Path, image: PixelSource, reader: FrameReader) -> Iterator[Peer]:
    """The first peer that serves the file at *path*; raises `PeerMissing` or `PeerFailed`."""
    syntax = str(image.transfer_syntax)
    if syntax in _JPEG_LS and not _by_sample(_stream(reader, 0)):
        yield Peer("FFmpeg jpegls", lambda index: _ffmpeg("jpegls", _stream(reader, index), image))
        return
    if syntax in _JPEG_2000:
        yield Peer("FFmpeg jpeg2000", lambda index: _ffmpeg("jpeg2000", _stream(reader, index), image))
        return
    program = {_RLE: "dcmdrle", **dict.fromkeys(_JPEG, "dcmdjpeg"), **dict.fromkeys(_JPEG_LS, "dcmdjpls")}.get(
        syntax, "dcmconv"
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "native.dcm")
        options = ["+cn"] if program == "dcmdjpeg" else ["+te"] if program == "dcmconv" else []
        try:
            _run([tool(program), *options, str(path), str(out)])
        except PeerFailed:
            if program != "dcmdjpeg":
                raise
            yield Peer("FFmpeg mjpeg", lambda index: _ffmpeg("mjpeg", _stream(reader, index), image))
        else:
            yield Peer(f"dcmtk {program}", _Native(out).frame)


def tool(name: str) -> str:
    """The path of dcmtk's program *name*."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise PeerMissing(f"{name} (Debian package dcmtk)")
    return path


class _Native:
    """The words of an uncompressed little-endian file, read directly; pydicom only locates the element."""

    def __init__(self, path: Path) -> None:
        self.header = pydicom.dcmread(path, force=True)
        for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
            if keyword in self.header:
                self.data = bytes(self.header[keyword].value)
                self.bits = {"PixelData": int(self.header.get("BitsAllocated", 0)), "FloatPixelData": 32}.get(
                    keyword, 64
                )
                return
        raise PeerFailed("it wrote no pixels")

    def frame(self, index: int) -> Words:
        rows, columns = int(self.header.Rows), int(self.header.Columns)
        samples = int(self.header.get("SamplesPerPixel", 1))
        pixels = rows * columns
        if self.bits == 1:
            bits = np.unpackbits(np.frombuffer(self.data, np.uint8), bitorder="little")
            return bits[index * pixels : (index + 1) * pixels].reshape(rows, columns)
        size = self.bits // 8
        words = np.frombuffer(self.data[: len(self.data) // size * size], f"<u{size}")
        if samples == 1:
            return words[index * pixels : (index + 1) * pixels].reshape(rows, columns)
        if self.header.PhotometricInterpretation == "YBR_FULL_422" and len(words) < pixels * 3 * (index + 1):
            fours = words[index * pixels * 2 : (index + 1) * pixels * 2].reshape(rows, columns // 2, 4)
            luma = fours[..., :2].reshape(rows, columns)
            return np.stack([luma, *(fours[..., at].repeat(2, axis=1) for at in (2, 3))], axis=-1)
        frame = words[index * pixels * 3 : (index + 1) * pixels * 3]
        if int(self.header.get("PlanarConfiguration", 0) or 0) == 1:
            return frame.reshape(3, rows, columns).transpose(1, 2, 0)
        return frame.reshape(rows, columns, 3)


def _stream(reader: FrameReader, index: int) -> bytes:
    stream = reader.read_codestream(index)
    if stream is None:
        raise PeerFailed("it is not compressed")
    return stream


def _ffmpeg(codec: str, stream: bytes, image: PixelSource) -> Words:
    """One code stream by FFmpeg's own decoder *codec*."""
    try:
        import av
        from av.codec.context import CodecContext
    except ImportError:
        raise PeerMissing("PyAV (extra video)") from None
    start = max(0, stream.find(_SIZ)) if codec == "jpeg2000" else 0
    context: Any = CodecContext.create(codec, "r")
    context.thread_count = 1
    try:
        frames = [*context.decode(av.Packet(stream[start:])), *context.decode(None)]
    except (av.error.FFmpegError, ValueError, NotImplementedError) as error:
        raise PeerFailed(type(error).__name__) from None
    if len(frames) != 1:
        raise PeerFailed("no frame")
    [frame] = frames
    try:
        words: Words = frame.to_ndarray(format="rgb24" if frame.format.name == "gbrp" else None)
    except ValueError:
        raise PeerFailed(f"a frame as {frame.format.name}") from None
    if words.ndim == 3 and words.shape[0] == 3 and image.columns != 3:
        words = words.transpose(1, 2, 0)
    precision, signed = _precision(codec, stream, start)
    if words.dtype.itemsize == 2 and frame.format.name in ("gray16le", "rgb48le", "gray16be"):
        words = words >> (16 - precision)  # FFmpeg fills its 16-bit formats from the top
    elif precision < 8 and words.dtype.itemsize == 1:
        words = words >> (8 - precision)
    if signed:
        return words.astype(np.int64) - (1 << precision - 1)
    if image.signed and codec == "jpeg2000":  # an unsigned stream whose header says that its bits are signed numbers
        return (words.astype(np.int64) ^ 1 << precision - 1) - (1 << precision - 1)
    return words


def _precision(codec: str, stream: bytes, start: int) -> tuple[int, bool]:
    """(bits, signed) of the first component: Ssiz (ISO/IEC 15444-1 A.5.1), or P of SOF55 (ISO/IEC 14495-1 C.2.2)."""
    if codec == "jpeg2000":
        stated = stream[start + 42]
        return (stated & 0x7F) + 1, bool(stated & 0x80)
    return (stream[stream.find(b"\xff\xf7") + 4] if codec == "jpegls" else 8), False


def _by_sample(stream: bytes) -> bool:
    """Whether a JPEG-LS scan interleaves its components sample by sample (ISO/IEC 14495-1 C.2.3, ILV 2)."""
    at = stream.find(b"\xff\xda")
    return at >= 0 and stream[at + 4] > 1 and stream[at + 6 + 2 * stream[at + 4]] == 2


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))]
        raise PeerFailed((said or ["it failed"])[-1][:90])

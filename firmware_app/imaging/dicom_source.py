"""One opened DICOM file: its header, and the position of the pixels in the file.  No pixel is read yet.

Every header value that later determines a memory allocation is checked here, against absolute limits and against the
bytes that are really present.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from firmware_app.core.errors import Undecodable
from firmware_app.imaging.errors import FrameTooLarge, NoPixels, PixelsUnsupported
from firmware_app.imaging.image_limits import DECODING_ERRORS, LONGEST_SIDE_PX, MOST_FRAMES

LARGEST_FRAME_PX: Final = 32 * 1024 * 1024
"""Far above any film: a 43 × 35 cm detector at 0.1 mm has 15 million pixels.  Whole-slide scans are not supported."""

# The exceptions of pydicom and its decoders on broken bytes.
HEADER_ERRORS: Final = (*DECODING_ERRORS, InvalidDicomError, BytesLengthException)
_KEYWORDS: Final = {0x0010: "PixelData", 0x0009: "DoubleFloatPixelData", 0x0008: "FloatPixelData"}
_UNDEFINED: Final = 0xFFFFFFFF
# All others are encapsulated (PS3.5 A.4), also the newest, for which pydicom's own check raises an error.
_NATIVE: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_META_BYTES: Final = 4096
_PIXEL_VRS: Final = (b"OB", b"OW", b"OF", b"OD", b"UN")
_WORD_BYTES: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


@dataclass(frozen=True, slots=True)
class PixelSource:
    """An opened object; words in its `header` are little-endian, whatever the file's byte order.

    `offset` and `length` bound the pixel element's value in `stream` (length: bytes present).
    """

    stream: BinaryIO
    header: Dataset = field(repr=False)  # contains the patient's name
    transfer_syntax: UID
    keyword: str
    offset: int
    length: int
    rows: int
    columns: int
    frames: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    vr: str = "OB"  # in a big-endian OW element, bytes are swapped in pairs (PS3.5 7.3, A.3)

    @property
    def native(self) -> bool:
        return self.transfer_syntax in _NATIVE

    @property
    def shares_chroma(self) -> bool:
        """Whether pairs of native pixels share chroma; many objects are labelled so but have all samples."""
        whole = self.rows * self.columns * 3 * self.allocated // 8 * self.frames
        return self.native and self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") and self.length < whole

    @property
    def decoded_bytes(self) -> int:
        """Bytes of one decoded frame; native YBR_FULL_422 keeps two samples a pixel (PS3.3 C.7.6.3.1.2)."""
        samples = 2 if self.shares_chroma else self.samples
        return (self.rows * self.columns * samples * self.allocated + 7) // 8

    @property
    def undeclared_frames(self) -> int:
        """The number of whole native frames after those that the header announces; 0 if other bytes follow too."""
        size = self.decoded_bytes
        more = self.native and self.allocated > 1 and self.length > size * self.frames + 1
        return self.length // size - self.frames if more and self.length % size <= 1 else 0


@contextmanager
def open_source(path: Path) -> Iterator[PixelSource]:
    """Open the DICOM object at *path*.

    Raises `NoPixels`, `FrameTooLarge`, `PixelsUnsupported` or `Undecodable`.
    """
    with path.open("rb") as file:
        if _DEFLATED in file.read(_META_BYTES):  # the door takes none
            raise PixelsUnsupported(detail="a deflated data set")
        file.seek(0)
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            if not header.original_encoding[1]:
                _swap_words(header)
            image = _source(header, file)
        except HEADER_ERRORS:
            raise Undecodable(detail="its header is broken") from None
        yield image


def read_integer(header: Dataset, keyword: str, default: int) -> int:
    """An integer of the header; *default* where it is absent or empty.  Raises `Undecodable` for anything else."""
    try:
        value = header.get(keyword)
        if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
            value = value[0] if len(value) else None
        return default if value in (None, "") else int(value)
    except HEADER_ERRORS:
        raise Undecodable(detail=f"its {keyword} is not a number") from None


def _swap_words(header: Dataset) -> None:
    """Swap the words of look-up tables, overlays and the like from big to little endian, at every depth (PS3.5 7.3).

    pydicom leaves these values as the bytes of the file.  After this nothing else asks for the byte order.
    """
    for tag in list(header.keys()):
        try:
            vr = header.get_item(tag).VR  # without decoding the value
            if vr == "SQ":
                for item in header[tag].value:
                    _swap_words(item)
            elif vr in _WORD_BYTES:
                element, size = header[tag], _WORD_BYTES[vr]
                data = element.value or b""
                whole = len(data) // size * size
                element.value = np.frombuffer(data[:whole], f"u{size}").byteswap().tobytes() + data[whole:]
        except HEADER_ERRORS:  # whoever needs it finds it broken
            continue


def _source(header: FileDataset, stream: BinaryIO) -> PixelSource:
    implicit, little = header.original_encoding
    keyword, offset, length, in_fragments, vr = _pixel_element(stream, bool(little))
    syntax = _syntax(header, bool(implicit), bool(little))
    rows, columns = read_integer(header, "Rows", 0), read_integer(header, "Columns", 0)
    frames = max(1, read_integer(header, "NumberOfFrames", 1))
    if rows <= 0 or columns <= 0:
        raise NoPixels
    if max(rows, columns) > LONGEST_SIDE_PX or rows * columns > LARGEST_FRAME_PX:
        raise FrameTooLarge(columns=columns, rows=rows)
    if frames > MOST_FRAMES:
        raise PixelsUnsupported(detail=f"{frames} frames")
    allocated = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword) or read_integer(
        header, "BitsAllocated", 0
    )
    if allocated not in (1, 8, 16, 32, 64):
        raise PixelsUnsupported(detail=f"{allocated} bits in a word")
    stored = read_integer(header, "BitsStored", allocated)
    high_bit = read_integer(header, "HighBit", stored - 1)
    if not (0 < stored <= allocated and stored - 1 <= high_bit < allocated):
        raise PixelsUnsupported(detail=f"{stored} bits stored up to bit {high_bit} of {allocated}")
    samples = read_integer(header, "SamplesPerPixel", 1)
    if samples not in (1, 3) or (samples == 3 and (allocated == 1 or keyword != "PixelData")):
        raise PixelsUnsupported(detail=f"{samples} samples in a pixel")
    image = PixelSource(
        stream=stream,
        header=header,
        transfer_syntax=syntax,
        keyword=keyword,
        offset=offset,
        length=length,
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=read_integer(header, "PixelRepresentation", 0) == 1,
        photometric=_photometric(header, samples),
        vr=vr,
    )
    if image.native == in_fragments:
        raise Undecodable(detail="its pixels are not stored in the way that its transfer syntax names")
    # Frames of one-bit pixels are packed without padding between frames (PS3.5 8.1.1).
    promised = (rows * columns * frames + 7) // 8 if allocated == 1 and samples == 1 else image.decoded_bytes * frames
    if image.native and promised > length + 1:
        raise Undecodable(detail=f"{promised} bytes of pixels promised, {length} present")
    return image


def _pixel_element(stream: BinaryIO, little: bool) -> tuple[str, int, int, bool, str]:
    """(keyword, offset, bytes present, in fragments?, VR) of the element that pydicom stopped at (PS3.5 7.1, A.4).

    The element itself shows whether it has an explicit VR: some devices omit it although they announce it.
    """
    order: Any = "little" if little else "big"
    head = stream.read(12)
    if len(head) < 8 or int.from_bytes(head[:2], order) != 0x7FE0:
        raise NoPixels
    keyword = _KEYWORDS.get(int.from_bytes(head[2:4], order))
    if keyword is None:
        raise NoPixels
    explicit = head[4:6] in _PIXEL_VRS and head[6:8] == bytes(2)
    at = stream.tell() - len(head) + (12 if explicit else 8)
    length = int.from_bytes(head[8:12] if explicit else head[4:8], order)
    end = stream.seek(0, io.SEEK_END)
    if length == 0:
        raise NoPixels
    in_fragments = length == _UNDEFINED
    vr = "OB" if explicit and head[4:6] == b"OB" else "OW"
    return keyword, at, (end - at if in_fragments else min(length, end - at)), in_fragments, vr


def _syntax(header: FileDataset, implicit: bool, little: bool) -> UID:
    meta = getattr(header, "file_meta", None)
    named = meta.get("TransferSyntaxUID") if meta is not None else None
    if named and named not in _NATIVE:
        return UID(named)
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _photometric(header: Dataset, samples: int) -> str:
    named = str(header.get("PhotometricInterpretation") or "").strip().upper()
    if named in ("HSV", "ARGB", "CMYK") or (named == "" and samples == 3):
        raise PixelsUnsupported(detail=f"the colour model “{named}”")
    return named or "MONOCHROME2"

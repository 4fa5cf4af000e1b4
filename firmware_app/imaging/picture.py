"""Pictures without a DICOM header (PNG, JPEG, TIFF, BMP, WebP), opened and decoded by Pillow.

The size is checked before decoding.  Of a JPEG only the first picture is used: what phones append (MPO, CIPA DC-007: a
smaller copy, a depth map) is no frame.  Of a TIFF every page is a frame, except pages marked as smaller copies or masks
of others.  A picture of more than `WHOLE_PX` pixels, as phones take them, is reduced while it is decoded: no model or
screen needs more, and a decode child does not have the memory.

Pixels are copied in strips, which limits memory to 1.5 times the pixels.  Pillow keeps a coloured pixel in four bytes
and converts whole pictures: with a phone's 50 megapixels that leaves no memory in a decode child for the later steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from firmware_app.core.errors import Undecodable
from firmware_app.imaging.codec import codestream, jpeg
from firmware_app.imaging.display import DisplayFrame, to_greys
from firmware_app.imaging.errors import FrameTooLarge, PixelsUnsupported
from firmware_app.imaging.grey_scale import luminance
from firmware_app.imaging.image_limits import DECODING_ERRORS, LONGEST_SIDE_PX, MOST_FRAMES
from firmware_app.imaging.pixel_size import SQUARE

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
WHOLE_PX: Final = 16 * 1024 * 1024
"""The largest picture decoded in full size: a 43 × 35 cm film at 0.1 mm has 15 million pixels."""
REDUCED_HINT: Final = "hint.reduced"  # its sentence is in `reading.hints`
MOST_PAGES: Final = 1_000
"""The most pages of a TIFF: Pillow reads their directories one after the other."""
_TIFF_NEW_SUBFILE_TYPE, _TIFF_SUBFILE_TYPE, _TIFF_PHOTOMETRIC = 254, 255, 262
_SMALLER_COPY_OR_MASK: Final = 0b101  # bits of NewSubfileType (TIFF 6.0, section 8)
_SMALLER_COPY: Final = 2  # value of SubfileType, the older tag
_JPEG_HEAD: Final = b"\xff\xd8\xff"
_WHITE_IS_ZERO: Final = 0
_SIXTEEN_BITS: Final = 65535.0
_ORIENTATION: Final = 0x0112
# Pillow's own limit only warns; `open_picture` refuses a picture above `largest_px` before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An opened picture; its frames are the `pages`, by number in the file; `mode` is Pillow's mode of the first.

    The last decoded frame is kept.  The file is opened again for each frame, because Pillow would keep its own copy.
    """

    path: Path
    mode: str
    pages: tuple[int, ...] = (0,)
    alike: bool = True
    """Whether all pages are of one size and kind, as the frames of a clip are."""
    reduced: bool = False
    """Whether any of the pages is reduced."""
    _last: dict[int, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return len(self.pages)

    @property
    def rows(self) -> int:
        """The height of the decoded picture, which may be reduced."""
        return int(self._pixels(next(iter(self._last), 0)).shape[0])

    @property
    def columns(self) -> int:
        """The width of the decoded picture, which may be reduced."""
        return int(self._pixels(next(iter(self._last), 0)).shape[1])

    @property
    def identity(self) -> dict[str, str]:
        """Empty: a picture file holds no patient data."""
        return {}

    @property
    def hints(self) -> tuple[str, ...]:
        """As `ImageFile.hints`; known before any frame is decoded."""
        return (REDUCED_HINT,) if self.reduced else ()

    def hidden(self, index: int) -> None:
        """None: only a DICOM header names padding pixels."""

    def grey(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32, as `ImageFile.grey`."""
        pixels = self._pixels(index)
        if pixels.ndim == 3:
            return luminance(pixels)
        return np.nan_to_num(pixels.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)

    def aspect(self, index: int) -> float:
        """As `ImageFile.aspect`: what a picture file says of its density is about printing."""
        return SQUARE

    def ends(self, index: int) -> tuple[float, float]:
        """As `ImageFile.ends`: of 8 or 16 bits, and the frame's own for others."""
        pixels = self._pixels(index)
        if pixels.dtype.kind == "f" or pixels.max(initial=0) > _SIXTEEN_BITS:
            grey = self.grey(index)
            return float(grey.min()), float(grey.max())
        return 0.0, 255.0 if pixels.dtype == np.uint8 else _SIXTEEN_BITS

    def shown(self, index: int) -> DisplayFrame:
        """As `ImageFile.shown`; pictures carry no window."""
        pixels = self._pixels(index)
        if pixels.ndim == 3:
            return DisplayFrame(pixels.astype(np.uint8, copy=False))
        limits = (0.0, 255.0) if pixels.dtype == np.uint8 else None
        shown, slope, intercept = to_greys(self.grey(index), 0.0 if pixels.dtype == np.float32 else 1.0, False, limits)
        return DisplayFrame(shown, slope, intercept)

    def _pixels(self, index: int) -> NDArray[np.generic]:
        """(H, W) or (H, W, 3), upright.  WhiteIsZero TIFFs above 8 bits are inverted here, the others by Pillow."""
        if index not in self._last:
            self._last.clear()
            try:
                self._last[index] = _decode_page(self.path, self.pages[index])
            except DECODING_ERRORS:
                raise Undecodable(detail="the picture is broken") from None
        return self._last[index]


@contextmanager
def open_picture(path: Path) -> Iterator[Picture]:
    """Open the picture at *path*; raises `FrameTooLarge`, `PixelsUnsupported` or `Undecodable`."""
    yield _read_picture_header(path)


def _read_picture_header(path: Path) -> Picture:
    """Read the header of the picture.  Pillow's image is closed before the return: its WebP holds whole canvases."""
    try:  # as a file: with a path, Pillow would map an uncompressed TIFF, a rotated one with the wrong size
        with path.open("rb") as file, _open_with_pillow(file) as image:
            _check_size(image)
            _check_work(path, image)
            return _list_pages(path, image)
    except DECODING_ERRORS:
        raise Undecodable(detail="the picture is broken") from None


def _open_with_pillow(file: BinaryIO) -> Image.Image:
    """The picture in *file*, its header read.  By itself Pillow would open a JPEG with appended pictures as a clip."""
    is_jpeg = file.read(len(_JPEG_HEAD)) == _JPEG_HEAD
    file.seek(0)
    return JpegImageFile(file) if is_jpeg else Image.open(file, formats=FORMATS)


def _list_pages(path: Path, image: Image.Image) -> Picture:
    """The picture, with the pages that are not copies or masks of others."""
    count = min(max(int(getattr(image, "n_frames", 1)), 1), MOST_FRAMES)
    if image.format != "TIFF" or count == 1:
        return Picture(path, image.mode, tuple(range(count)), reduced=_is_reduced(image.size))
    kept, kinds, modes = [], set(), {}
    for page in range(count):
        image.seek(page)
        modes[page] = image.mode
        tags = getattr(image, "tag_v2", {})
        if tags.get(_TIFF_NEW_SUBFILE_TYPE, 0) & _SMALLER_COPY_OR_MASK or tags.get(_TIFF_SUBFILE_TYPE) == _SMALLER_COPY:
            continue
        kept.append(page)
        kinds.add((image.size, image.mode))
    pages = tuple(kept or range(count))
    reduced = any(_is_reduced(size) for size, _ in kinds)
    return Picture(path, modes[pages[0]], pages, alike=len(kinds) == 1, reduced=reduced)


def _decode_page(path: Path, page: int) -> NDArray[np.generic]:
    """The pixels of a *page*."""
    with path.open("rb") as file, _open_with_pillow(file) as image:
        image.seek(page)
        _check_size(image)
        factor = _factor(image)
        if image.format == "JPEG" and factor > 1:
            set_draft_size(image, factor)
            pixels = read_pixels(image)
        else:
            pixels = read_pixels(image, factor)
        whole_numbers = image.mode.startswith("I")
        turned = image.getexif().get(_ORIENTATION, 1)  # 1 for a TIFF, which Pillow has already turned
        tags = getattr(image, "tag_v2", {})
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO and whole_numbers:
        pixels = np.asarray(pixels.max() - pixels)
    return turn_upright(pixels, turned)


def _is_reduced(size: tuple[int, int]) -> bool:
    """Whether `_factor` reduces a page of this *size*."""
    return size[0] * size[1] > WHOLE_PX


def _factor(image: Image.Image) -> int:
    """The divisor of the sides; a JPEG decoder supports only halves, quarters and eighths."""
    factors = (1, 2, 4, 8) if image.format == "JPEG" else range(1, 9)
    return next(factor for factor in factors if image.width * image.height <= WHOLE_PX * factor**2)


def _check_work(path: Path, image: Image.Image) -> None:
    """Refuse a picture that would take minutes to decode, and a JPEG that lost coded data."""
    if image.format == "JPEG":
        stream = path.read_bytes()
        codestream.check_work(stream, image.height, image.width)
        jpeg.check_lost_data(stream)
    elif image.format == "TIFF" and _count_tiff_pages(path) > MOST_PAGES:
        raise PixelsUnsupported(detail=f"more than {MOST_PAGES} pages")


def _count_tiff_pages(path: Path) -> int:
    """The number of directories of a TIFF (6.0, section 2), counted up to `MOST_PAGES` + 1."""
    with path.open("rb") as file:
        order: Literal["little", "big"] = "little" if file.read(2) == b"II" else "big"
        file.seek(4)
        pages, position = 0, int.from_bytes(file.read(4), order)
        while position and pages <= MOST_PAGES:
            file.seek(position)
            pages += 1
            file.seek(12 * int.from_bytes(file.read(2), order), os.SEEK_CUR)
            position = int.from_bytes(file.read(4), order)
    return pages


def _check_size(image: Image.Image) -> None:
    most = largest_px(image)
    if max(image.size) > LONGEST_SIDE_PX or image.width * image.height > most or 0 in image.size:
        raise FrameTooLarge(columns=image.width, rows=image.height, megapixels=most // 1_000_000)


LARGEST_PX: Final = 128 * 1024 * 1024
"""The limit for any picture: above it even a JPEG decoded at a quarter of its size takes too long for a doctor."""
DECODER_BYTES: Final = 208 * 1024 * 1024
"""How much of a picture may be in memory while its strips are copied."""
_DECODING_BYTES: Final = 288 * 1024 * 1024
"""`DECODER_BYTES` and what a decoder needs in addition."""
_STRIP_PX: Final = 1 << 20
_GREY: Final = ("1", "L", "LA")
_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
"""Bytes of a pixel in Pillow, by mode; four in any other mode."""
_TIFF_BITS, _TIFF_COMPRESSION, _TIFF_ORIENTATION, _TIFF_SAMPLES = 258, 259, 274, 277
_TIFF_ROWS_PER_STRIP, _TIFF_STRIP_BYTES = 278, 279
_WEBP_BYTES: Final = 13
"""Bytes of a WebP pixel: two canvases of libwebp, one of Pillow, and a little for the copies between them."""


def largest_px(image: Image.Image) -> int:
    """The largest number of pixels for a picture of this kind; needs only its header."""
    if image.format == "JPEG":
        kept = _coefficient_bytes(image)
    elif image.format == "WEBP":
        kept = _WEBP_BYTES
    else:
        kept = _BYTES.get(image.mode, 4)
    most = min(LARGEST_PX, int(DECODER_BYTES / kept)) if kept else LARGEST_PX
    beside = _tiff_bytes(image) if image.format == "TIFF" else 0.0
    return min(most, int(_DECODING_BYTES / (kept + beside))) if beside else most


def set_draft_size(image: Image.Image, factor: int) -> None:
    """Make Pillow decode a JPEG at half, a quarter or an eighth of its size (only its low frequencies)."""
    image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))


def read_pixels(image: Image.Image, factor: int = 1) -> NDArray[np.generic]:
    """(H, W) or (H, W, 3), the sides divided by *factor*: uint8, or the file's own type from 16 bits up."""
    image.load()
    width, height = image.size
    rows, columns = -(-height // factor), -(-width // factor)
    step = max(1, _STRIP_PX // width // factor) * factor
    pixels: NDArray[np.generic] | None = None
    for top in range(0, height, step):
        strip = _convert_strip(image.crop((0, top, width, min(top + step, height))), factor)
        if pixels is None:
            pixels = np.empty((rows, columns, *strip.shape[2:]), strip.dtype)
        pixels[top // factor : top // factor + len(strip)] = strip
    if pixels is None:
        raise ValueError("a picture without rows")
    return pixels


def turn_upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """*pixels* rotated and mirrored by the EXIF *orientation* (CIPA DC-008 4.6.4)."""
    turned = pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _convert_strip(strip: Image.Image, factor: int) -> NDArray[np.generic]:
    if strip.mode in _GREY:
        return _reduce_strip(strip.convert("L"), factor)
    if strip.mode not in ("I", "F") and not strip.mode.startswith("I;16"):
        return _reduce_strip(strip.convert("RGB"), factor)
    words = np.asarray(strip)
    if factor == 1:
        return words
    means = _reduce_strip(Image.fromarray(words.astype(np.float32)), factor)
    return means if words.dtype.kind == "f" else np.rint(means).astype(words.dtype)


def _reduce_strip(strip: Image.Image, factor: int) -> NDArray[np.generic]:
    return np.asarray(strip.reduce(factor) if factor > 1 else strip)


def _coefficient_bytes(image: Image.Image) -> float:
    """Bytes of coefficients that libjpeg keeps for each pixel of a JPEG with several scans; 0 for a JPEG with one."""
    if not image.info.get("progressive") and not _is_in_several_scans(image):
        return 0.0
    layers = [(across, down) for _, across, down, _ in getattr(image, "layer", ())]
    if not layers:
        return 0.0
    most = max(across for across, _ in layers) * max(down for _, down in layers)
    return float(2 * sum(across * down for across, down in layers) / max(most, 1))


def _is_in_several_scans(image: Image.Image) -> bool:
    """Whether a baseline JPEG has several scans.  As in libjpeg: its first scan has fewer components than its frame.

    Pillow has read the file up to the end of that scan's header.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return False
    read = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(read)
    scans = (start for marker, start in codestream.iterate_segments(head) if marker == codestream.START_OF_SCAN)
    scan = next(scans, len(head))
    return int.from_bytes(head[scan + 4 : scan + 5]) < len(getattr(image, "layer", ()))


def _tiff_bytes(image: Image.Image) -> float:
    """Bytes needed for each pixel in addition to Pillow's own: libtiff decodes whole strips (TIFF 6.0, section 3), and
    a picture with a rotated orientation is turned as a whole."""
    tags = getattr(image, "tag_v2", {})
    kept = _BYTES.get(image.mode, 4)
    turned = float(kept) if tags.get(_TIFF_ORIENTATION, 1) != 1 else 0.0
    if tags.get(_TIFF_COMPRESSION, 1) == 1:
        return turned
    bits = tags.get(_TIFF_BITS, (1,))
    sample_bytes = max(bits if isinstance(bits, tuple) else (bits,)) / 8 * tags.get(_TIFF_SAMPLES, 1)
    share = min(1.0, tags.get(_TIFF_ROWS_PER_STRIP, image.height) / max(image.height, 1))
    coded = max(tags.get(_TIFF_STRIP_BYTES, (0,)), default=0) / max(image.width * image.height, 1)
    return max(turned, float(share * sample_bytes + coded))

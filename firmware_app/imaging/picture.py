"""Pictures without a DICOM header (PNG, JPEG, TIFF, BMP, WebP), opened and decoded by Pillow.

The size is checked before decoding.  Of a JPEG only the first picture is used, not the smaller copy or depth map that
phones append (MPO, CIPA DC-007).  Of a TIFF every page is a frame, except smaller copies or masks of others.  A picture
of more than `WHOLE_PX` pixels is reduced while it is decoded.  Pixels are copied in strips, because Pillow keeps a
coloured pixel in four bytes and a decode child has no room for a second copy of a phone's 50 megapixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
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


class HeaderlessImage:
    """An `ImageFile` without a DICOM header: no patient data, no window, no padding.

    `frame_pixels` decodes a frame, (H, W) or (H, W, 3), upright.  The last one is kept: model and viewer use the same.
    """

    hints: tuple[str, ...] = ()
    identity: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._last: tuple[int, NDArray[np.generic]] | None = None

    def frame_pixels(self, index: int) -> NDArray[np.generic]:
        raise NotImplementedError

    @property
    def rows(self) -> int:
        """The height of the decoded picture, which may be reduced."""
        return int(self._current().shape[0])

    @property
    def columns(self) -> int:
        """The width of the decoded picture, which may be reduced."""
        return int(self._current().shape[1])

    @property
    def is_colour(self) -> bool:
        """Whether its frames have three channels."""
        return self._current().ndim == 3

    def read_padding_mask(self, index: int) -> None:
        """None: only a DICOM header names padding pixels."""

    def grey(self, index: int) -> NDArray[np.float32]:
        pixels = self._pixels(index)
        if pixels.ndim == 3:
            return luminance(pixels)
        return np.nan_to_num(pixels.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)

    def aspect(self, index: int) -> float:
        """Square: what a picture file says of its density is about printing."""
        return SQUARE

    def read_grey_limits(self, index: int) -> tuple[float, float]:
        """Of 8 or 16 bits, and the frame's own for others."""
        pixels = self._pixels(index)
        if pixels.dtype.kind == "f" or pixels.max(initial=0) > _SIXTEEN_BITS:
            grey = self.grey(index)
            return float(grey.min()), float(grey.max())
        return 0.0, 255.0 if pixels.dtype == np.uint8 else _SIXTEEN_BITS

    def render_frame(self, index: int) -> DisplayFrame:
        pixels, aspect = self._pixels(index), self.aspect(index)
        if pixels.ndim == 3:
            return DisplayFrame(pixels.astype(np.uint8, copy=False), aspect=aspect)
        limits = (0.0, 255.0) if pixels.dtype == np.uint8 else None
        shown, slope, intercept = to_greys(self.grey(index), 0.0 if pixels.dtype == np.float32 else 1.0, False, limits)
        return DisplayFrame(shown, slope, intercept, aspect=aspect)

    def _current(self) -> NDArray[np.generic]:
        return self._pixels(self._last[0] if self._last else 0)

    def _pixels(self, index: int) -> NDArray[np.generic]:
        if self._last is None or self._last[0] != index:
            self._last = None
            self._last = index, self.frame_pixels(index)
        return self._last[1]


@dataclass(eq=False)
class Picture(HeaderlessImage):
    """An opened picture; its frames are the `pages`, by number in the file; `mode` is Pillow's mode of the first.

    The file is opened again for each frame, because Pillow would keep its own copy.
    """

    path: Path
    mode: str
    pages: tuple[int, ...] = (0,)
    alike: bool = True
    """Whether all pages are of one size and kind, as the frames of a clip are."""
    reduced: bool = False
    """Whether any of the pages is reduced."""

    def __post_init__(self) -> None:
        super().__init__()
        self.hints = (REDUCED_HINT,) if self.reduced else ()

    @property
    def frames(self) -> int:
        return len(self.pages)

    def frame_pixels(self, index: int) -> NDArray[np.generic]:
        """WhiteIsZero TIFFs above 8 bits are inverted here, the others by Pillow."""
        try:
            return _decode_page(self.path, self.pages[index])
        except DECODING_ERRORS:
            raise Undecodable(detail="the picture is broken") from None


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
            image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))
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
_STRIP_PX: Final = 1 << 20
_GREY: Final = ("1", "L", "LA")
_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
"""Bytes of a pixel in Pillow, by mode; four in any other mode."""
_WEBP_BYTES: Final = 13
"""Bytes of a WebP pixel: two canvases of libwebp, one of Pillow, and a little for the copies between them."""


def largest_px(image: Image.Image) -> int:
    """The largest number of pixels for a picture of this kind; needs only its header."""
    if image.format == "JPEG":
        kept = _coefficient_bytes(image)
    else:
        kept = _WEBP_BYTES if image.format == "WEBP" else _BYTES.get(image.mode, 4)
    return min(LARGEST_PX, int(DECODER_BYTES / kept)) if kept else LARGEST_PX


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
    """Bytes of coefficients that libjpeg keeps for each pixel of a progressive JPEG; 0 for a JPEG with one scan."""
    layers = [(across, down) for _, across, down, _ in getattr(image, "layer", ())]
    if not image.info.get("progressive") or not layers:
        return 0.0
    most = max(across for across, _ in layers) * max(down for _, down in layers)
    return float(2 * sum(across * down for across, down in layers) / max(most, 1))

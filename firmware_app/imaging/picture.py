"""Pictures without a DICOM header (PNG, JPEG, TIFF, BMP, WebP), through Pillow, their size checked before decoding.

Of a JPEG only the first picture is used: what phones append (MPO, CIPA DC-007: a smaller copy, a depth map) is no
frame.  Of a TIFF every page is a frame, except pages marked as smaller copies or masks of others.  A picture of more
than `WHOLE_PX` pixels, as phones take them, is reduced while it is decoded: no model or screen needs more, and a decode
child does not have the memory.
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
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from firmware_app.core.errors import FrameTooLarge, PixelsUnsupported, Undecodable
from firmware_app.imaging.codec import raster
from firmware_app.imaging.codec.bounds import DECODING_ERRORS, LONGEST_SIDE_PX, MOST_FRAMES
from firmware_app.imaging.display import ShownFrame, greys
from firmware_app.imaging.grey.pipeline import luminance
from firmware_app.imaging.jpeg import codestream, lost_data
from firmware_app.imaging.pixel_size import SQUARE

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
WHOLE_PX: Final = 16 * 1024 * 1024
"""The largest picture decoded in full size: a 43 × 35 cm film at 0.1 mm has 15 million pixels."""
REDUCED: Final = "hint.reduced"  # its sentence is in `reading.hints`
MOST_PAGES: Final = 1_000
"""The most pages of a TIFF: Pillow reads their directories one after the other."""
_TIFF_NEW_SUBFILE_TYPE, _TIFF_SUBFILE_TYPE, _TIFF_PHOTOMETRIC = 254, 255, 262
_SMALLER_COPY_OR_MASK: Final = 0b101  # bits of NewSubfileType (TIFF 6.0, section 8)
_SMALLER_COPY: Final = 2  # value of SubfileType, the older tag
_JPEG_HEAD: Final = b"\xff\xd8\xff"
_WHITE_IS_ZERO: Final = 0
_SIXTEEN_BITS: Final = 65535.0
_ORIENTATION: Final = 0x0112
# Pillow's own limit only warns; `opened` refuses a picture above `raster.most_px` before a pixel is decoded.
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
        """As `film.Film.hints`; known before any frame is decoded."""
        return (REDUCED,) if self.reduced else ()

    def hidden(self, index: int) -> None:
        """None: only a DICOM header names padding pixels."""

    def grey(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32, as `film.Film.grey`."""
        pixels = self._pixels(index)
        if pixels.ndim == 3:
            return luminance(pixels)
        return np.nan_to_num(pixels.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)

    def aspect(self, index: int) -> float:
        """As `film.Film.aspect`: what a picture file says of its density is about printing."""
        return SQUARE

    def ends(self, index: int) -> tuple[float, float]:
        """As `film.Film.ends`: of 8 or 16 bits, and the frame's own for others."""
        pixels = self._pixels(index)
        if pixels.dtype.kind == "f" or pixels.max(initial=0) > _SIXTEEN_BITS:
            grey = self.grey(index)
            return float(grey.min()), float(grey.max())
        return 0.0, 255.0 if pixels.dtype == np.uint8 else _SIXTEEN_BITS

    def shown(self, index: int) -> ShownFrame:
        """As `film.Film.shown`; pictures carry no window."""
        pixels = self._pixels(index)
        if pixels.ndim == 3:
            return ShownFrame(pixels.astype(np.uint8, copy=False))
        limits = (0.0, 255.0) if pixels.dtype == np.uint8 else None
        shown, slope, intercept = greys(self.grey(index), 0.0 if pixels.dtype == np.float32 else 1.0, False, limits)
        return ShownFrame(shown, slope, intercept)

    def _pixels(self, index: int) -> NDArray[np.generic]:
        """(H, W) or (H, W, 3), upright.  WhiteIsZero TIFFs above 8 bits are inverted here, the others by Pillow."""
        if index not in self._last:
            self._last.clear()
            try:
                self._last[index] = _decoded(self.path, self.pages[index])
            except DECODING_ERRORS:
                raise Undecodable(detail="the picture is broken") from None
        return self._last[index]


@contextmanager
def opened(path: Path) -> Iterator[Picture]:
    """Open the picture at *path*; raises `FrameTooLarge`, `PixelsUnsupported` or `Undecodable`."""
    yield _looked_at(path)


def _looked_at(path: Path) -> Picture:
    """Read the header of the picture.  Pillow's image is closed before the return: its WebP holds whole canvases."""
    try:  # as a file: with a path, Pillow would map an uncompressed TIFF, a rotated one with the wrong size
        with path.open("rb") as file, _begun(file) as image:
            _check_size(image)
            _check_work(path, image)
            return _of_pages(path, image)
    except DECODING_ERRORS:
        raise Undecodable(detail="the picture is broken") from None


def _begun(file: BinaryIO) -> Image.Image:
    """The picture in *file*, its header read.  By itself Pillow would open a JPEG with appended pictures as a clip."""
    is_jpeg = file.read(len(_JPEG_HEAD)) == _JPEG_HEAD
    file.seek(0)
    return JpegImageFile(file) if is_jpeg else Image.open(file, formats=FORMATS)


def _of_pages(path: Path, image: Image.Image) -> Picture:
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


def _decoded(path: Path, page: int) -> NDArray[np.generic]:
    """The pixels of a *page*."""
    with path.open("rb") as file, _begun(file) as image:
        image.seek(page)
        _check_size(image)
        factor = _factor(image)
        if image.format == "JPEG" and factor > 1:
            raster.draft(image, factor)
            pixels = raster.of(image)
        else:
            pixels = raster.of(image, factor)
        whole_numbers = image.mode.startswith("I")
        turned = image.getexif().get(_ORIENTATION, 1)  # 1 for a TIFF, which Pillow has already turned
        tags = getattr(image, "tag_v2", {})
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO and whole_numbers:
        pixels = np.asarray(pixels.max() - pixels)
    return raster.upright(pixels, turned)


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
        lost_data.check(stream)
    elif image.format == "TIFF" and _pages(path) > MOST_PAGES:
        raise PixelsUnsupported(detail=f"more than {MOST_PAGES} pages")


def _pages(path: Path) -> int:
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
    most = raster.most_px(image)
    if max(image.size) > LONGEST_SIDE_PX or image.width * image.height > most or 0 in image.size:
        raise FrameTooLarge(columns=image.width, rows=image.height, megapixels=most // 1_000_000)
